/* From text to stretches of it: added tokens, normalisation. */
#include "token_impl.h"

#include "mem.h"
#include "utf8.h"
#include "banned.h"

/* ---- normalisation ------------------------------------------------------- */

#define MARK "\xe2\x96\x81" /* U+2581, SentencePiece's blank */

/* Turns marks into blanks, with one more in front if `prefix`.  *out is NULL
 * where nothing changes. */
static int
blanks(const char *s, size_t n, bool prefix, char **out, size_t *len,
    struct gv_error *e)
{
	const char *p = s, *end = s + n, *at;
	char *to;

	*out = NULL;
	*len = n;
	if (!prefix && !memmem(s, n, MARK, 3))
		return 0;
	*out = to = gv_alloc(n + 1, 1);
	if (!to)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	if (prefix)
		*to++ = ' ';
	for (; (at = memmem(p, (size_t)(end - p), MARK, 3)); p = at + 3) {
		memcpy(to, p, (size_t)(at - p));
		to += at - p;
		*to++ = ' ';
	}
	memcpy(to, p, (size_t)(end - p));
	*len = (size_t)(to + (end - p) - *out);
	return 0;
}

int
gv_token_normal(const struct gv_tokenizer *t, const char *s, size_t n,
    char **out, size_t *len, struct gv_error *e)
{
	*out = NULL;
	*len = n;
	if (t->clip)
		return gv_clip_normal(s, n, out, len, e);
	if (t->nfc)
		return gv_nfc(s, n, out, len, e);
	if (t->chars && n)
		return blanks(s, n, t->prefix == GV_PREFIX_NORMAL, out, len, e);
	return 0;
}

/* ---- added tokens -------------------------------------------------------- */

/* One text on its way. */
struct walk {
	const struct gv_tokenizer *t;
	const char *start; /* of the document; NULL: not in this text */
	bool specials;
	struct gv_ids *out;
	struct gv_error *e;
};

typedef int inner(const struct walk *w, const char *s, size_t n);

/* Cuts the text at added tokens; `rest` encodes what lies between.  A special
 * token that is to stay text is stepped over whole, as the reference does. */
static int
cut_added(const struct walk *w, const struct gv_added *set, const char *s,
    size_t n, inner *rest)
{
	const struct gv_added_item *it;
	size_t from = 0, at = 0;

	while (set->n && (it = gv_token_find_added(set, s, n, &at))) {
		if (w->specials ||
		    !(w->t->tok[it->id].flags & GV_TOK_SPECIAL)) {
			if (rest(w, s + from, at - from) ||
			    gv_ids_push(w->out, it->id, w->e))
				return w->e->code;
			from = at + it->len;
		}
		at += it->len;
	}
	return rest(w, s + from, n - from);
}

/* The blanks that a stretch gets here: CLIP's behind words, and one in front
 * where the normaliser gave none. */
static int
last_step(const struct walk *w, const char *s, size_t n)
{
	bool lead = n && *s != ' ' && !(n >= 3 && !memcmp(s, MARK, 3)) &&
		    (w->t->prefix == GV_PREFIX_ALWAYS ||
			(w->t->prefix == GV_PREFIX_FIRST && s == w->start));
	char *spaced;
	size_t len;

	if (!lead && !w->t->clip)
		return gv_token_pieces(w->t, s, n, w->out, w->e);
	if (w->t->clip ? gv_clip_words(w->t->clip, s, n, &spaced, &len, w->e)
		       : blanks(s, n, true, &spaced, &len, w->e))
		return w->e->code;
	(void)!gv_token_pieces(w->t, spaced, len, w->out, w->e);
	gv_free(spaced);
	return w->e->code;
}

static int
normal_step(const struct walk *w, const char *s, size_t n)
{
	struct walk in = *w;
	char *norm;
	size_t len;

	if (gv_token_normal(w->t, s, n, &norm, &len, w->e))
		return w->e->code;
	if (norm)
		in.start = s == w->start ? norm : NULL;
	(void)!cut_added(&in, &w->t->normal, norm ? norm : s, len, last_step);
	gv_free(norm);
	return w->e->code;
}

/* `start` is the beginning of the document, if the text has it. */
static int
encode(const struct gv_tokenizer *t, const char *s, size_t n, const char *start,
    bool specials, struct gv_ids *out, struct gv_error *e)
{
	struct walk w = {t, start, specials, out, e};
	size_t had = out->n;

	if (n > GV_MAX_TEXT)
		return gv_fail(e, GV_ERR_LIMIT,
		    "a text of %zu bytes is too long (at most %zu)", n,
		    GV_MAX_TEXT);
	/* room for what ordinary text becomes, so that it needn't grow often */
	if (gv_ids_room(out, n / 4, e))
		return e->code;
	if (cut_added(&w, &t->raw, s, n, normal_step)) {
		out->n = had;
		return e->code;
	}
	return 0;
}

int
gv_encode(const struct gv_tokenizer *t, const char *s, size_t n, bool specials,
    struct gv_ids *out, struct gv_error *e)
{
	return encode(t, s, n, s, specials, out, e);
}

int
gv_encode_on(const struct gv_tokenizer *t, const char *s, size_t n,
    bool specials, struct gv_ids *out, struct gv_error *e)
{
	return encode(t, s, n, NULL, specials, out, e);
}
