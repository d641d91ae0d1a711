/* For tests of configurations: objects from short text, parsed, and written to
 * and read from the directory "m".
 */
#ifndef CONFIGS_H
#define CONFIGS_H

#include "config.h"
#include "dir.h"
#include "tap.h"

#include <stdlib.h>
#include <sys/stat.h>

/* A new object; single quotes stand for double ones. */
static inline json_t *
json(const char *text)
{
	char *s = strdup(text), *p;
	json_error_t je;
	json_t *o;

	for (p = s; *p; p++)
		if (*p == '\'')
			*p = '"';
	o = json_loads(s, 0, &je);
	if (!o)
		printf("# %s in %s\n", je.text, s);
	free(s);
	return o;
}

/* The members of `patch` into `o`; "DELETE" deletes one. */
static inline void
merge(json_t *o, const json_t *patch)
{
	const char *key;
	json_t *v, *old;

	json_object_foreach((json_t *)patch, key, v)
	{
		old = json_object_get(o, key);
		if (json_is_object(v) && json_is_object(old))
			merge(old, v);
		else if (json_is_string(v) &&
			 !strcmp(json_string_value(v), "DELETE"))
			json_object_del(o, key);
		else
			json_object_set(o, key, v);
	}
}

/* An empty directory "m". */
static inline void
fresh(void)
{
	struct gv_error e = {0};

	if (gv_remove_tree("m", &e) || mkdir("m", 0777))
		printf("# %s\n", e.msg);
}

/* A configuration from `o`, which is taken over, and a patch. */
static inline int
parse(json_t *o, const char *patch, struct gv_config *c, struct gv_error *e)
{
	json_t *p = json(patch);
	int r;

	merge(o, p);
	json_decref(p);
	gv_error_clear(e);
	r = gv_config_parse(c, o, e);
	json_decref(o);
	return r;
}

/* Equal but for the files that they came from. */
static inline int
same(const struct gv_config *a, const struct gv_config *b)
{
	struct gv_config x = *a, y = *b;

	x.json = x.preprocessor = x.generation = NULL;
	y.json = y.preprocessor = y.generation = NULL;
	return !memcmp(&x, &y, sizeof x);
}

static inline void
back(struct gv_config *c, const char *what)
{
	struct gv_error e = {0};
	struct gv_config d;

	is_int(gv_config_write(c, "m", &e), 0, "%s is written %s", what, e.msg);
	is_int(gv_config_open(&d, "m", &e), 0, "and read %s", e.msg);
	if (e.code)
		return;
	ok(same(c, &d), "with the same values");
	gv_config_free(&d);
}

#endif
