/* Captions as words: the longest token at each place, and how it is written. */
#include "reward_ptb_priv.h"

#include "mem.h"
#include "utf8.h"
#include "banned.h"

#include <utf8proc.h>

#define BEHIND 8 /* zeros behind a text's end: rules look so far ahead */

/* ---- tokens -------------------------------------------------------------- */

static const char *
bracket(uint32_t c)
{
	static const char in[] = "()[]{}";
	static const char *const out[] = {
	    "-lrb-", "-rrb-", "-lsb-", "-rsb-", "-lcb-", "-rcb-"};
	const char *p = c && c < 0x80 ? strchr(in, (int)c) : NULL;

	return p ? out[p - in] : NULL;
}

/* Appends a token, still in its own case. */
static int
put(struct gv_bytes *out, const struct gv_ptb_text *t, size_t i, size_t end,
    struct gv_error *e)
{
	/* of 's and its like, but nowhere else */
	bool straight = gv_ptb_verb_end(t, i) == end;

	if (out->n && gv_bytes_add(out, " ", 1, e))
		return e->code;
	for (; i < end; i++) {
		uint32_t c = t->c[i];
		char utf8[4];
		int r;

		if (straight && gv_ptb_apostrophe(c))
			c = '\'';
		if (bracket(c))
			r = gv_bytes_add(out, bracket(c), 5, e);
		else
			r = gv_bytes_add(out, utf8, gv_utf8_put(c, utf8), e);
		if (r)
			return r;
	}
	return 0;
}

static int
put_text(struct gv_bytes *out, const char *s, struct gv_error *e)
{
	if (out->n && gv_bytes_add(out, " ", 1, e))
		return e->code;
	return gv_bytes_add(out, s, strlen(s), e);
}

/* What is removed, if it is a token by itself. */
static bool
is_removed(uint32_t c)
{
	return (c < 0x80 && strchr("'\"`.?!,:-;", (int)c)) ||
	       gv_ptb_apostrophe(c) || (c >= 0x2010 && c <= 0x2015) ||
	       (c >= 0x2018 && c <= 0x201f) || c == 0x2026 || c == 0xab ||
	       c == 0xbb || c == 0x2039 || c == 0x203a;
}

static const char *
sign(uint32_t c)
{
	switch (c) {
	case 0xa2:
		return "cents";
	case 0xa3:
		return "#";
	case 0x20ac:
		return "$";
	case 0xbc:
		return "1/4";
	case 0xbd:
		return "1/2";
	case 0xbe:
		return "3/4";
	case 0x2153:
		return "1/3";
	case 0x2154:
		return "2/3";
	default:
		return NULL;
	}
}

/* A character that no rule takes. */
static int
put_single(struct gv_bytes *out, const struct gv_ptb_text *t, size_t i,
    struct gv_error *e)
{
	uint32_t c = t->c[i];

	if (sign(c))
		return put_text(out, sign(c), e);
	if (is_removed(c))
		return 0;
	switch (utf8proc_category((utf8proc_int32_t)c)) {
	case UTF8PROC_CATEGORY_CC:
	case UTF8PROC_CATEGORY_CF:
	case UTF8PROC_CATEGORY_CN:
	case UTF8PROC_CATEGORY_CO:
	case UTF8PROC_CATEGORY_NL:
		return 0;
	default:
		return put(out, t, i, i + 1, e);
	}
}

static int
tokens(struct gv_bytes *out, const struct gv_ptb_text *t, struct gv_error *e)
{
	size_t i = 0, end, first;

	while (i < t->n) {
		if (gv_py_space(t->c[i])) {
			i++;
			continue;
		}
		end = gv_ptb_longest(t, i);
		if (gv_ptb_assimilated(t, i, &first) >=
		    (end > i ? end : i + 1)) {
			if (put(out, t, i, first, e))
				return e->code;
			end = gv_ptb_assimilated(t, i, &first);
			i = first;
		} else if (end > i) {
			end = gv_ptb_without_nt(t, i, end);
		}
		if (end == i ? put_single(out, t, i, e)
			     : put(out, t, i, end, e))
			return e->code;
		i = end > i ? end : i + 1;
	}
	return 0;
}

int
gv_ptb_words(struct gv_bytes *out, struct gv_bytes *scratch,
    struct gv_span text, struct gv_error *e)
{
	struct gv_ptb_text t;
	uint32_t *c;
	size_t bytes, i, k;

	out->n = scratch->n = 0;
	if (!gv_mul(text.n + BEHIND, sizeof *c, &bytes) || text.n > bytes)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	if (gv_bytes_room(scratch, bytes, e))
		return e->code;
	c = (uint32_t *)(void *)scratch->s; /* as all memory, aligned */
	for (i = 0, t.n = 0; i < text.n; i += k) {
		k = gv_utf8_next(text.s + i, text.n - i, &c[t.n]);
		t.n += c[t.n] && c[t.n] != GV_UTF8_BAD;
	}
	memset(&c[t.n], 0, BEHIND * sizeof *c);
	t.c = c;
	if (tokens(out, &t, e))
		return e->code;
	scratch->n = 0;
	if (gv_py_lower(scratch, gv_span_of(out), e))
		return e->code;
	out->n = 0;
	return gv_bytes_add(out, scratch->s, scratch->n, e);
}

/* ---- runs ---------------------------------------------------------------- */

int
gv_ptb_runs(struct gv_span words,
    int (*each)(void *arg, struct gv_span run, int n, struct gv_error *e),
    void *arg, struct gv_error *e)
{
	int n;

	for (n = 1; n <= GV_PTB_RUN; n++) {
		size_t from = 0, end = 0;
		int k = 0;

		while (end < words.n) {
			const char *gap =
			    memchr(words.s + end, ' ', words.n - end);

			end = gap ? (size_t)(gap - words.s) : words.n;
			if (++k >= n) {
				struct gv_span run = {
				    words.s + from, end - from};

				if (each(arg, run, n, e))
					return e->code;
				while (from < end && words.s[from] != ' ')
					from++;
				from++;
			}
			end++;
		}
	}
	return 0;
}
