/* Strings and marks in a text that comes token by token. */
#include "watch.h"

#include "mem.h"
#include "banned.h"

struct string {
	char *s;
	size_t n;
	int32_t id; /* the added token that it is, or -1 */
};

struct gv_watch {
	const struct gv_tokenizer *t;
	struct string *stop;
	size_t stops;
	bool calls;
	struct string start, end;
};

/* ---- opening ------------------------------------------------------------- */

static int
set_string(struct string *to, const char *s, struct gv_error *e)
{
	to->s = gv_strdup(s);
	to->n = strlen(s);
	to->id = -1;
	if (!to->s)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	if (!to->n)
		return gv_fail(e, GV_ERR_USAGE, "an empty string to look for");
	return 0;
}

static int
set_mark(
    struct gv_watch *w, struct string *to, const char *s, struct gv_error *e)
{
	if (set_string(to, s, e))
		return e->code;
	to->id = gv_tokenizer_special(w->t, s);
	return 0;
}

int
gv_watch_open(struct gv_watch **out, const struct gv_tokenizer *t,
    const struct gv_watch_law *law, struct gv_error *e)
{
	struct gv_watch *w = gv_alloc(1, sizeof *w);
	size_t i;

	if (!w)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	w->t = t;
	w->calls = law->start != NULL;
	w->stops = law->stops;
	w->stop = gv_alloc(law->stops, sizeof *w->stop);
	if (!w->stop)
		gv_fail(e, GV_ERR_NOMEM, "out of memory");
	for (i = 0; !e->code && i < law->stops; i++)
		if (set_string(&w->stop[i], law->stop[i], e))
			break;
	if (e->code || (w->calls && (set_mark(w, &w->start, law->start, e) ||
					set_mark(w, &w->end, law->end, e)))) {
		gv_watch_close(&w);
		return e->code;
	}
	*out = w;
	return 0;
}

void
gv_watch_close(struct gv_watch **wp)
{
	struct gv_watch *w = *wp;
	size_t i;

	*wp = NULL;
	if (!w)
		return;
	for (i = 0; w->stop && i < w->stops; i++)
		gv_free(w->stop[i].s);
	gv_free(w->stop);
	gv_free(w->start.s);
	gv_free(w->end.s);
	gv_free(w);
}

bool
gv_watch_is_mark(const struct gv_watch *w, int32_t id)
{
	return w->calls && id >= 0 && (id == w->start.id || id == w->end.id);
}

void
gv_watched_free(struct gv_watched *s)
{
	gv_free(s->s);
	*s = (struct gv_watched){0};
}

/* ---- a token ------------------------------------------------------------- */

static int
append(const struct gv_watch *w, struct gv_watched *s, int32_t id,
    struct gv_error *e)
{
	const char *b;
	size_t n;

	b = gv_token_bytes(w->t, id, &n);
	if (!n)
		return 0;
	if (gv_grow((void **)&s->s, &s->cap, s->n + n, 1))
		return gv_fail(e, GV_ERR_NOMEM, "no memory for a text");
	memcpy(s->s + s->n, b, n);
	s->n += n;
	return 0;
}

/* Finds `x` where it ends behind `old` and begins at `from` or later. */
static bool
find(const struct gv_watched *s, const struct string *x, size_t from,
    size_t old, size_t *at)
{
	size_t first = old >= x->n ? old - x->n + 1 : 0;
	const char *hit;

	first = first > from ? first : from;
	if (first > s->n || s->n - first < x->n)
		return false;
	hit = memmem(s->s + first, s->n - first, x->s, x->n);
	if (!hit)
		return false;
	*at = (size_t)(hit - s->s);
	return true;
}

static bool
find_stop(const struct gv_watch *w, struct gv_watched *s, size_t old)
{
	bool found = false;
	size_t i, at;

	for (i = 0; i < w->stops; i++)
		if (find(s, &w->stop[i], s->from, old, &at) &&
		    (!found || at < s->stop)) {
			s->stop = at;
			found = true;
		}
	return found;
}

/* A mark that this token is or completes: where it begins and ends. */
static bool
find_mark(const struct gv_watched *s, const struct string *x, int32_t id,
    size_t from, size_t old, size_t *at, size_t *end)
{
	if (x->id >= 0) {
		*at = old;
		*end = s->n;
		return x->id == id && old >= from;
	}
	if (!find(s, x, from, old, at))
		return false;
	*end = *at + x->n;
	return true;
}

int
gv_watch_add(const struct gv_watch *w, struct gv_watched *s, int32_t id,
    struct gv_error *e)
{
	size_t old = s->n, at, end;

	if (append(w, s, id, e))
		return e->code;
	if (find_stop(w, s, old))
		return GV_WATCH_STOP;
	if (w->calls && !s->calling &&
	    find_mark(s, &w->start, id, s->from, old, &at, &end)) {
		s->calling = true;
		s->call = end;
	}
	if (!s->calling || !find_mark(s, &w->end, id, s->call, old, &at, &end))
		return GV_WATCH_NONE;
	s->calling = false;
	s->call_end = at;
	s->from = s->n;
	return GV_WATCH_CALL;
}

int
gv_watch_force(const struct gv_watch *w, struct gv_watched *s,
    const int32_t *id, size_t n, struct gv_error *e)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (append(w, s, id[i], e))
			return e->code;
	s->from = s->n;
	return 0;
}

size_t
gv_watch_sure(const struct gv_watch *w, const struct gv_watched *s)
{
	size_t held = 0, i, n;

	for (i = 0; i < w->stops; i++) {
		const struct string *x = &w->stop[i];

		n = s->n - s->from < x->n - 1 ? s->n - s->from : x->n - 1;
		for (; n > held; n--)
			if (!memcmp(s->s + s->n - n, x->s, n))
				held = n;
	}
	return s->n - held;
}
