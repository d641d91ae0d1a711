/* Checked values of a JSON object by key. */
#include "config_priv.h"

#include "banned.h"

/* The value, or NULL if it is absent or null. */
json_t *
gv_obj_get(const struct gv_obj *s, const char *key)
{
	json_t *v = json_object_get(s->o, key);

	return json_is_null(v) ? NULL : v;
}

int
gv_obj_missing(const struct gv_obj *s, const char *key)
{
	return gv_fail(s->e, GV_ERR_FORMAT, "'%s%s' is missing", s->at, key);
}

int
gv_obj_bad(const struct gv_obj *s, const char *key, const char *what)
{
	return gv_fail(
	    s->e, GV_ERR_FORMAT, "'%s%s' is not %s", s->at, key, what);
}

/* An optional whole number; *v keeps its default. */
int
gv_obj_int(
    const struct gv_obj *s, const char *key, int64_t lo, int64_t hi, int64_t *v)
{
	const json_t *j = gv_obj_get(s, key);
	int64_t x = json_integer_value(j);

	if (!j)
		return 0;
	if (!json_is_integer(j))
		return gv_obj_bad(s, key, "a whole number");
	if (x < lo || x > hi)
		return gv_fail(s->e, GV_ERR_LIMIT,
		    "'%s%s' is %lld, not between %lld and %lld", s->at, key,
		    (long long)x, (long long)lo, (long long)hi);
	*v = x;
	return 0;
}

/* A size that must be there, 1..hi. */
int
gv_obj_need_int(const struct gv_obj *s, const char *key, int64_t hi, int64_t *v)
{
	if (!gv_obj_get(s, key))
		return gv_obj_missing(s, key);
	return gv_obj_int(s, key, 1, hi, v);
}

int
gv_obj_f64(
    const struct gv_obj *s, const char *key, double lo, double hi, double *v)
{
	const json_t *j = gv_obj_get(s, key);
	double x = json_number_value(j);

	if (!j)
		return 0;
	if (!json_is_number(j))
		return gv_obj_bad(s, key, "a number");
	if (!(x >= lo && x <= hi))
		return gv_fail(s->e, GV_ERR_LIMIT,
		    "'%s%s' is %g, not between %g and %g", s->at, key, x, lo,
		    hi);
	*v = x;
	return 0;
}

int
gv_obj_bool(const struct gv_obj *s, const char *key, bool *v)
{
	const json_t *j = gv_obj_get(s, key);

	if (j && !json_is_boolean(j))
		return gv_obj_bad(s, key, "true or false");
	if (j)
		*v = json_is_true(j);
	return 0;
}

int
gv_obj_text(const struct gv_obj *s, const char *key, const char **v)
{
	const json_t *j = gv_obj_get(s, key);

	if (j && !json_is_string(j))
		return gv_obj_bad(s, key, "text");
	if (j)
		*v = json_string_value(j);
	return 0;
}

/* A member that is an object itself. */
int
gv_obj_need(
    const struct gv_obj *s, const char *key, const char *at, struct gv_obj *out)
{
	out->o = gv_obj_get(s, key);
	out->at = at;
	out->e = s->e;
	if (!out->o)
		return gv_obj_missing(s, key);
	return json_is_object(out->o) ? 0 : gv_obj_bad(s, key, "an object");
}

int
gv_obj_nosup(const struct gv_obj *s, const char *key, const char *value)
{
	char q[64];

	return gv_fail(s->e, GV_ERR_NOSUP, "'%s%s' of '%s' is not supported",
	    s->at, key, gv_quote(q, sizeof q, value, strlen(value)));
}
