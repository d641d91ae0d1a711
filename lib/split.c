/* Cutting text into pieces: one pattern, or several in a row. */
#include "split_priv.h"

#include "mem.h"
#include "banned.h"

#define MAX_STAGES 8

struct gv_split {
	struct gv_stage stage[MAX_STAGES];
	int stages;
	char *text; /* the patterns, with a NUL between two */
	size_t bytes;
};

/* Where a walk stands in one stage: pieces of [at, end) are still to come. */
struct gv_level {
	size_t base, at, end; /* base: where the text of this stage began */
	struct gv_matcher *m; /* what a GV_CUT_REGEX needs */
};

/* ---- opening ------------------------------------------------------------- */

static int
add_stage(struct gv_split *s, const char *pattern, struct gv_error *e)
{
	struct gv_stage *g = &s->stage[s->stages];

	if (s->stages == MAX_STAGES)
		return gv_fail(e, GV_ERR_NOSUP,
		    "more than %d split patterns are not supported",
		    MAX_STAGES);
	if (!gv_stage_known(g, pattern)) {
		g->cut = GV_CUT_REGEX;
		if (gv_regex_open(&g->regex, pattern, e))
			return e->code;
	}
	s->stages++;
	return 0;
}

/* Numbers alone and then GPT-2's: one pattern known by hand does both. */
static bool
is_smollm(const char *patterns, size_t n)
{
	static const char digit[] = "\\p{N}";

	return n == sizeof digit + strlen(gv_split_gpt2) &&
	       !memcmp(patterns, digit, sizeof digit) &&
	       !memcmp(
		   patterns + sizeof digit, gv_split_gpt2, n - sizeof digit);
}

int
gv_split_open_chain(
    struct gv_split **out, const char *patterns, size_t n, struct gv_error *e)
{
	struct gv_split *s = gv_alloc(1, sizeof *s);
	const char *p;

	if (s)
		s->text = gv_alloc(n + 1, 1);
	if (!s || !s->text) {
		gv_free(s);
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	}
	memcpy(s->text, patterns, n);
	s->bytes = n;
	if (is_smollm(patterns, n))
		(void)!add_stage(s, gv_split_smollm, e);
	else
		for (p = s->text; p <= s->text + n && !e->code;
		     p += strlen(p) + 1)
			(void)!add_stage(s, p, e);
	if (e->code)
		gv_split_close(&s);
	else
		*out = s;
	return e->code;
}

int
gv_split_open(struct gv_split **s, const char *pattern, struct gv_error *e)
{
	return gv_split_open_chain(s, pattern, strlen(pattern), e);
}

void
gv_split_close(struct gv_split **s)
{
	int i;

	if (!*s)
		return;
	for (i = 0; i < (*s)->stages; i++)
		gv_regex_close(&(*s)->stage[i].regex);
	gv_free((*s)->text);
	gv_free(*s);
	*s = NULL;
}

const char *
gv_split_patterns(const struct gv_split *s, size_t *n)
{
	*n = s->bytes;
	return s->text;
}

bool
gv_split_by_words(const struct gv_split *s)
{
	int i;

	for (i = 0; i < s->stages; i++) {
		enum gv_cut cut = s->stage[i].cut;

		if (cut != GV_CUT_GPT2 && cut != GV_CUT_QWEN2 &&
		    cut != GV_CUT_O200K)
			return false;
	}
	return true;
}

/* ---- the walk ------------------------------------------------------------ */

static int
levels_open(struct gv_splitter *w, struct gv_error *e)
{
	const struct gv_split *p = w->split;
	int i;

	w->level = gv_alloc((size_t)p->stages, sizeof *w->level);
	if (!w->level)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	for (i = 0; i < p->stages; i++)
		if (p->stage[i].regex && gv_matcher_open(&w->level[i].m,
					     p->stage[i].regex, w->n, e)) {
			gv_splitter_close(w);
			return e->code;
		}
	w->level[0].end = w->n;
	if (w->level[0].m)
		gv_matcher_text(w->level[0].m, w->s, w->n);
	return 0;
}

int
gv_splitter_open(struct gv_splitter *w, const struct gv_split *split,
    const char *s, size_t n, struct gv_error *e)
{
	struct gv_splitter z = {.split = split, .s = s, .n = n};

	*w = z;
	return split->stages > 1 || split->stage[0].regex ? levels_open(w, e)
							  : 0;
}

void
gv_splitter_close(struct gv_splitter *w)
{
	int i;

	for (i = 0; w->level && i < w->split->stages; i++)
		gv_matcher_close(&w->level[i].m);
	gv_free(w->level);
	w->level = NULL;
}

/* The end of the next piece that stage k makes, cutting what the stage before
 * it made as if it were a text: 1; 0 if there is none. */
static int
next_end(struct gv_splitter *w, int k, size_t *end, struct gv_error *e)
{
	struct gv_level *l = &w->level[k];
	size_t cut[2];
	int got;

	if (l->at == l->end) {
		got = k ? next_end(w, k - 1, &l->end, e) : 0;
		if (got <= 0)
			return got;
		if (l->m)
			gv_matcher_text(l->m, w->s + l->at, l->end - l->at);
		l->base = l->at;
	}
	if (l->m) {
		if (gv_matcher_cut(l->m, l->at - l->base, &cut[1], e))
			return e->code;
		cut[1] += l->base;
	} else {
		cut[0] = l->at;
		(void)gv_stage_cut(&w->split->stage[k], w->s, l->end, cut, 1);
	}
	*end = l->at = cut[1];
	return 1;
}

int
gv_splitter_fill(
    struct gv_splitter *w, size_t *at, int most, struct gv_error *e)
{
	const struct gv_split *p = w->split;
	int k = 0, got = 1;

	at[0] = w->at;
	if (!w->level)
		k = gv_stage_cut(p->stage, w->s, w->n, at, most);
	for (; w->level && k < most && got; k += got) {
		got = next_end(w, p->stages - 1, &at[k + 1], e);
		if (got < 0)
			return got;
	}
	w->at = at[k];
	return k;
}

int
gv_splitter_next(
    struct gv_splitter *w, size_t *at, size_t *end, struct gv_error *e)
{
	size_t cut[2];
	int got = gv_splitter_fill(w, cut, 1, e);

	if (got > 0) {
		*at = cut[0];
		*end = cut[1];
	}
	return got;
}
