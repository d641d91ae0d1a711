/* Learning a byte-level BPE vocabulary: from documents to words, and on. */
#include "bpe_train_priv.h"

#include "mem.h"
#include "piece_count.h"
#include "split.h"
#include "token_impl.h"
#include "utf8.h"

#include "banned.h"

#define MEMORY ((size_t)2 << 30)
#define CUTS   256 /* pieces that are asked for at a time */

struct gv_bpe_train {
	int32_t vocab; /* without special tokens */
	size_t memory;
	struct gv_bpe_cut cut;
	const struct gv_chat_template *tmpl; /* NULL: none */
	struct gv_bpe_special special;
	struct gv_split *split;
	struct gv_pieces *pieces;
	struct gv_learned out;
};

static int
no_memory(struct gv_error *e)
{
	return gv_fail(e, GV_ERR_NOMEM, "out of memory");
}

/* ---- the law ------------------------------------------------------------- */

static const struct gv_bpe_cut families[] = {
    {"qwen2", gv_split_qwen2, true, false, false},
    {"gpt2", gv_split_gpt2, false, false, true},
    {"smollm", gv_split_smollm, false, true, true},
    {"llama3", gv_split_llama3, false, false, false},
    {"cl100k", gv_split_cl100k, false, false, false},
    {"o200k", gv_split_o200k, false, false, false}};

static struct gv_bpe_cut
find_cut(const struct gv_bpe_law *law)
{
	struct gv_bpe_cut cut = {NULL, law->split, true, false, false};
	size_t i;

	for (i = 0; i < sizeof families / sizeof *families; i++)
		if (!strcmp(
			law->split ? law->split : "qwen2", families[i].name))
			cut = families[i];
	if (law->normalizer != GV_BPE_USUAL)
		cut.nfc = law->normalizer == GV_BPE_NFC;
	return cut;
}

/* May this text be a token beside those that are there? */
static int
check_special(
    const struct gv_bpe_special *list, const char *s, struct gv_error *e)
{
	size_t n = strlen(s), i, len;
	uint32_t c = 0;
	char q[64];

	gv_quote(q, sizeof q, s, n);
	for (i = 0; i < n && c != GV_UTF8_BAD; i += len)
		len = gv_utf8_next(s + i, n - i, &c);
	if (!n || c == GV_UTF8_BAD)
		return gv_fail(e, GV_ERR_USAGE, "special token '%s' is %s", q,
		    n ? "not UTF-8" : "empty");
	if (n > GV_MAX_PIECE)
		return gv_fail(e, GV_ERR_USAGE,
		    "special token '%s' is longer than %zu bytes", q,
		    GV_MAX_PIECE);
	for (i = 0; i < list->n; i++)
		if (!strcmp(list->text[i], s))
			return gv_fail(e, GV_ERR_USAGE,
			    "special token '%s' is there twice", q);
	gv_utf8_next(s, n, &c);
	if (gv_utf8_next(s, n, &c) == n && gv_char_to_byte(c) >= 0)
		return gv_fail(e, GV_ERR_USAGE,
		    "special token '%s' is how a byte is spelled", q);
	return 0;
}

static int
list_special(
    struct gv_bpe_train *b, const struct gv_bpe_law *law, struct gv_error *e)
{
	size_t n = 0, i;

	while (b->tmpl && b->tmpl->special[n])
		n++;
	b->special.text = gv_alloc(n + law->specials, sizeof(char *));
	if (!b->special.text)
		return no_memory(e);
	for (i = 0; i < n; i++)
		b->special.text[b->special.n++] = b->tmpl->special[i];
	for (i = 0; i < law->specials; i++) {
		if (check_special(&b->special, law->special[i], e))
			return e->code;
		b->special.text[b->special.n++] = law->special[i];
	}
	if (law->vocab > GV_MAX_IDS || law->vocab < 256 ||
	    (size_t)law->vocab - 256 < b->special.n)
		return gv_fail(e, GV_ERR_USAGE,
		    "a vocabulary of %d ids is not between %zu (256 bytes and "
		    "%zu special tokens) and %d",
		    (int)law->vocab, b->special.n + 256, b->special.n,
		    GV_MAX_IDS);
	b->vocab = law->vocab - (int32_t)b->special.n;
	return 0;
}

static int
open_all(
    struct gv_bpe_train *b, const struct gv_bpe_law *law, struct gv_error *e)
{
	if (law->chat_template) {
		b->tmpl = gv_chat_template_find(law->chat_template);
		if (!b->tmpl)
			return gv_fail(e, GV_ERR_USAGE,
			    "chat template '%s' is neither nano nor chatml",
			    law->chat_template);
	}
	b->memory = law->memory ? law->memory : MEMORY;
	if (b->memory < GV_BPE_LEAST_MEMORY)
		return gv_fail(e, GV_ERR_USAGE,
		    "%zu bytes of memory are less than %zu", b->memory,
		    GV_BPE_LEAST_MEMORY);
	b->cut = find_cut(law);
	if (list_special(b, law, e) ||
	    gv_split_open(&b->split, b->cut.pattern, e))
		return e->code;
	/* the rest is for the words, which are made while the tables stand */
	return gv_pieces_open(&b->pieces, law->threads, b->memory / 2, e);
}

int
gv_bpe_train_open(
    struct gv_bpe_train **out, const struct gv_bpe_law *law, struct gv_error *e)
{
	struct gv_bpe_train *b = gv_alloc(1, sizeof *b);

	if (!b)
		return no_memory(e);
	if (open_all(b, law, e)) {
		gv_bpe_train_close(&b);
		return e->code;
	}
	*out = b;
	return 0;
}

void
gv_bpe_train_close(struct gv_bpe_train **bp)
{
	struct gv_bpe_train *b = *bp;

	if (!b)
		return;
	gv_split_close(&b->split);
	gv_pieces_close(&b->pieces);
	gv_learned_free(&b->out);
	gv_free(b->special.text);
	gv_free(b);
	*bp = NULL;
}

/* ---- documents ----------------------------------------------------------- */

/* Of n > GV_MAX_PIECE bytes, how many count as a piece: whole characters. */
static size_t
part(const char *s)
{
	size_t n = GV_MAX_PIECE;

	while (n > GV_MAX_PIECE - 4 && ((unsigned char)s[n] & 0xc0) == 0x80)
		n--;
	return n;
}

static int
count_piece(
    struct gv_piece_counter *c, const char *s, size_t n, struct gv_error *e)
{
	while (n > GV_MAX_PIECE) {
		size_t k = part(s);

		if (gv_piece_count(c, s, k, e))
			return e->code;
		s += k;
		n -= k;
	}
	/* in one byte there is nothing to merge */
	return n > 1 ? gv_piece_count(c, s, n, e) : 0;
}

static int
count_text(struct gv_bpe_train *b, struct gv_piece_counter *c, const char *s,
    size_t n, struct gv_error *e)
{
	struct gv_splitter w;
	size_t at[CUTS + 1];
	int got, i;

	if (gv_splitter_open(&w, b->split, s, n, e))
		return e->code;
	while ((got = gv_splitter_fill(&w, at, CUTS, e)) > 0 && !e->code)
		for (i = 0; i < got && !e->code; i++)
			(void)!count_piece(c, s + at[i], at[i + 1] - at[i], e);
	gv_splitter_close(&w);
	return e->code;
}

int
gv_bpe_train_add(
    struct gv_bpe_train *b, const char *s, size_t n, struct gv_error *e)
{
	struct gv_piece_counter *c;
	char *norm = NULL;
	size_t len = n;

	if (b->out.off)
		return gv_fail(
		    e, GV_ERR_USAGE, "the vocabulary has been learned");
	if (n > GV_MAX_TEXT)
		return gv_fail(e, GV_ERR_LIMIT,
		    "a document of more than %zu bytes", GV_MAX_TEXT);
	if ((b->cut.nfc && gv_nfc(s, n, &norm, &len, e)) ||
	    gv_pieces_take(b->pieces, &c, e)) {
		gv_free(norm);
		return e->code;
	}
	(void)!count_text(b, c, norm ? norm : s, len, e); /* it is in e */
	gv_pieces_give(b->pieces, c);
	gv_free(norm);
	return e->code;
}

/* ---- learning ------------------------------------------------------------ */

/* Reads the pieces that fit as words of byte ids. */
static int
read_words(struct gv_bpe_train *b, const struct gv_pieces_fit *fit,
    struct gv_bpe_words *w, struct gv_error *e)
{
	struct gv_piece x;
	int32_t of_byte[256];
	size_t at = 0, also = fit->also, i;
	int got;

	for (i = 0; i < 256; i++)
		of_byte[i] = gv_bpe_byte_id((uint8_t)i);
	w->word = gv_alloc(fit->pieces, sizeof *w->word);
	w->id = gv_alloc(fit->bytes, sizeof *w->id);
	if (!w->word || !w->id)
		return no_memory(e);
	if (gv_pieces_walk(b->pieces, e))
		return e->code;
	while ((got = gv_pieces_next(b->pieces, &x, e)) > 0) {
		struct gv_bpe_word *v = &w->word[w->words];

		if (x.count < fit->least) {
			if (x.count + 1 < fit->least || !also)
				continue;
			also--;
		}
		v->at = at;
		v->n = (uint32_t)x.n;
		v->count = x.count;
		w->words++;
		for (i = 0; i < x.n; i++)
			w->id[at++] = of_byte[(unsigned char)x.s[i]];
	}
	return got;
}

int
gv_bpe_train_learn(
    struct gv_bpe_train *b, struct gv_bpe_result *result, struct gv_error *e)
{
	struct gv_bpe_words w = {0};
	struct gv_pieces_fit fit;

	if (b->out.off)
		return gv_fail(
		    e, GV_ERR_USAGE, "the vocabulary has been learned");
	if (gv_pieces_fit(b->pieces, b->memory, GV_BPE_WORD_BYTES,
		GV_BPE_BYTE_BYTES, &fit, e))
		return e->code;
	if (!read_words(b, &fit, &w, e)) {
		gv_pieces_close(&b->pieces);
		(void)!gv_bpe_learn(&b->out, &w, b->vocab, &b->special, e);
	}
	gv_free(w.word);
	gv_free(w.id);
	if (e->code)
		return e->code;
	result->size = b->out.n + (int32_t)b->special.n;
	result->pieces = fit.pieces;
	result->least = fit.least;
	result->left_out = fit.total ? (double)fit.left / (double)fit.total : 0;
	return 0;
}

int
gv_bpe_train_write(struct gv_bpe_train *b, const char *dir, struct gv_error *e)
{
	if (!b->out.off)
		return gv_fail(
		    e, GV_ERR_USAGE, "no vocabulary has been learned");
	return gv_learned_write(&b->out, &b->cut, b->tmpl, &b->special, dir, e);
}
