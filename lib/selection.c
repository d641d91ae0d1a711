/* Fields by name; records by number and by key. */
#include "selection.h"

#include "io.h"
#include "mem.h"
#include "banned.h"

#include <inttypes.h>
#include <stdlib.h>

struct range {
	uint64_t from, to; /* both included */
	bool met;
};

struct wanted {
	char *key;
	bool met;
};

struct gv_selection {
	struct range *range; /* ascending, none touches another */
	size_t nranges, range_cap, at; /* at: the first that isn't over */
	struct wanted *key; /* ascending, each once */
	size_t nkeys, key_cap;
	bool by_number, by_key, except;
	uint64_t asked; /* records */
};

/* ---- fields -------------------------------------------------------------- */

int
gv_fields_named(const struct gv_schema *s, const char *list, bool *named,
    struct gv_error *e)
{
	const struct gv_field *f;
	char name[sizeof f->name];
	size_t n;

	for (;; list += n + 1) {
		n = strcspn(list, ",");
		f = NULL;
		if (n && n < sizeof name) {
			memcpy(name, list, n);
			name[n] = '\0';
			f = gv_schema_find(s, name);
		}
		if (!f)
			return gv_fail(e, GV_ERR_MATCH,
			    "there is no field '%.*s'", (int)n, list);
		named[f - s->fields] = true;
		if (!list[n])
			return 0;
	}
}

/* ---- numbers ------------------------------------------------------------- */

static const char *
read_number(const char *s, uint64_t *v)
{
	*v = 0;
	if (*s < '0' || *s > '9')
		return NULL;
	for (; *s >= '0' && *s <= '9'; s++) {
		if (*v > (UINT64_MAX - 9) / 10)
			return NULL;
		*v = *v * 10 + (uint64_t)(*s - '0');
	}
	return s;
}

/* "N", "N-M", "N-" or "-M"; the end of what was read, or NULL. */
static const char *
read_range(const char *s, struct range *r)
{
	r->from = 0;
	if (*s != '-') {
		s = read_number(s, &r->from);
		if (!s)
			return NULL;
	}
	r->to = r->from;
	if (*s == '-') {
		r->to = UINT64_MAX;
		s++;
		if (*s && *s != ',')
			s = read_number(s, &r->to);
	}
	return s && (!*s || *s == ',') && r->from <= r->to ? s : NULL;
}

static int
read_ranges(struct gv_selection *s, const char *text, struct gv_error *e)
{
	const char *at = text;
	struct range r = {0};

	for (;; at++) {
		const char *end = strcmp(at, "-") ? read_range(at, &r) : NULL;
		const struct range *last = s->range + s->nranges - 1;

		if (!end)
			return gv_fail(e, GV_ERR_USAGE,
			    "'%s' is no list of record numbers, such as "
			    "0-9,20,100-",
			    text);
		if (s->nranges && r.from <= last->to)
			return gv_fail(e, GV_ERR_USAGE,
			    "the record numbers '%s' don't ascend: records "
			    "keep their order",
			    text);
		if (gv_room(&s->range, &s->range_cap, s->nranges + 1,
			sizeof *s->range, e))
			return e->code;
		s->range[s->nranges++] = r;
		at = end;
		if (!*at)
			return 0;
	}
}

/* ---- keys ---------------------------------------------------------------- */

static int
add_key(struct gv_selection *s, const char *key, size_t n, struct gv_error *e)
{
	char *copy;

	if (gv_room(&s->key, &s->key_cap, s->nkeys + 1, sizeof *s->key, e))
		return e->code;
	copy = gv_strndup(key, n);
	if (!copy)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	s->key[s->nkeys++] = (struct wanted){copy, false};
	return 0;
}

static int
read_keys(struct gv_selection *s, const char *path, struct gv_error *e)
{
	struct gv_lines *l;
	const char *line;
	size_t n;
	int got;

	if (gv_lines_open(&l, path, GV_MAX_KEY, e))
		return e->code;
	while ((got = gv_lines_next(l, &line, &n, e)) > 0) {
		if (memchr(line, 0, n))
			gv_fail(e, GV_ERR_FORMAT,
			    "'%s', line %" PRIu64 ": a key has no NUL",
			    gv_lines_name(l), gv_lines_number(l));
		if (e->code || add_key(s, line, n, e))
			break;
	}
	gv_lines_close(&l);
	return e->code;
}

static int
by_key(const void *a, const void *b)
{
	return strcmp(
	    ((const struct wanted *)a)->key, ((const struct wanted *)b)->key);
}

static void
sort_keys(struct gv_selection *s)
{
	size_t i, n = 0;

	if (s->nkeys)
		qsort(s->key, s->nkeys, sizeof *s->key, by_key);
	for (i = 0; i < s->nkeys; i++)
		if (n && !by_key(&s->key[n - 1], &s->key[i]))
			gv_free(s->key[i].key);
		else
			s->key[n++] = s->key[i];
	s->nkeys = n;
}

/* ---- the whole ----------------------------------------------------------- */

int
gv_selection_open(struct gv_selection **out, const struct gv_selection_law *law,
    struct gv_error *e)
{
	struct gv_selection *s = gv_alloc(1, sizeof *s);
	size_t i;

	if (!s)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	s->by_number = law->records != NULL;
	s->by_key = law->nkeys || law->key_file;
	s->except = law->except;
	if (law->records)
		(void)!read_ranges(s, law->records, e);
	for (i = 0; i < law->nkeys && !e->code; i++)
		(void)!add_key(s, law->key[i], strlen(law->key[i]), e);
	if (law->key_file && !e->code)
		(void)!read_keys(s, law->key_file, e);
	sort_keys(s);
	*out = s;
	if (e->code)
		gv_selection_close(out);
	return e->code;
}

void
gv_selection_close(struct gv_selection **out)
{
	struct gv_selection *s = *out;
	size_t i;

	if (!s)
		return;
	*out = NULL;
	for (i = 0; i < s->nkeys; i++)
		gv_free(s->key[i].key);
	gv_free(s->key);
	gv_free(s->range);
	gv_free(s);
}

static bool
number_meant(struct gv_selection *s, uint64_t n)
{
	while (s->at < s->nranges && s->range[s->at].to < n)
		s->at++;
	if (s->at == s->nranges || n < s->range[s->at].from)
		return false;
	s->range[s->at].met = true;
	return true;
}

static bool
key_meant(struct gv_selection *s, const char *key)
{
	const struct wanted this = {.key = (char *)key};
	struct wanted *w = NULL;

	if (s->nkeys)
		w = bsearch(&this, s->key, s->nkeys, sizeof *s->key, by_key);
	if (w)
		w->met = true;
	return w != NULL;
}

bool
gv_selection_takes(struct gv_selection *s, const struct gv_rec *rec)
{
	bool number = !s->by_number || number_meant(s, rec->n);
	bool key = !s->by_key || key_meant(s, rec->key);

	s->asked = rec->n + 1;
	return (number && key) != s->except;
}

bool
gv_selection_done(const struct gv_selection *s, uint64_t n)
{
	return s->by_number && !s->except && s->range[s->nranges - 1].to < n;
}

int
gv_selection_check(const struct gv_selection *s, struct gv_error *e)
{
	char q[4 * GV_MAX_KEY];
	size_t i;

	for (i = 0; !s->except && i < s->nranges; i++)
		if (!s->range[i].met)
			return gv_fail(e, GV_ERR_MATCH,
			    "there is no record %" PRIu64 ": the input has "
			    "%" PRIu64,
			    s->range[i].from, s->asked);
	for (i = 0; !s->except && i < s->nkeys; i++)
		if (!s->key[i].met)
			return gv_fail(e, GV_ERR_MATCH,
			    "no record has the key '%s'",
			    gv_quote(q, sizeof q, s->key[i].key,
				strlen(s->key[i].key)));
	return 0;
}

int
gv_selection_digest(
    const struct gv_selection *s, char out[GV_DIGEST], struct gv_error *e)
{
	struct gv_sha *h = gv_sha_open();
	size_t i;

	if (!h)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	for (i = 0; i < s->nkeys; i++)
		gv_sha_add(h, s->key[i].key, strlen(s->key[i].key) + 1);
	gv_sha_close(&h, out);
	return 0;
}
