/* Learning byte-level BPE vocabularies from any amount of text.
 *
 *	gv_bpe_train_open(&b, &law, e);
 *	gv_bpe_train_add(b, s, n, e); ... in any number of threads
 *	gv_bpe_train_learn(b, &result, e);
 *	gv_bpe_train_write(b, dir, e);
 *	gv_bpe_train_close(&b);
 *
 * Text is normalised and cut into pieces as the encoder will do it; each
 * distinct piece is counted, and then merged once however often it occurs.  The
 * most frequent pair of neighbours becomes a token, until there are enough or
 * no pair occurs twice (then the vocabulary is smaller than asked for).  Of
 * pairs that are equally frequent the one with the smaller left id goes first,
 * then the smaller right id; ids of bytes are in the order of GPT-2's alphabet.
 *
 * So the result depends on the documents alone, not on their order or the
 * number of threads, and is that of Hugging Face's BpeTrainer with
 * min_frequency 2, but for this: a piece longer than 1 KiB counts as several,
 * so tokens are at most that long, and where memory is short some of the rarest
 * pieces are left out: which ones depends on the text and the memory alone.
 */
#ifndef GV_BPE_TRAIN_H
#define GV_BPE_TRAIN_H

#include "err.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What brings text to its normal form. */
enum gv_bpe_normalizer {
	GV_BPE_USUAL, /* as the family of the split pattern has it */
	GV_BPE_NFC,
	GV_BPE_NONE
};

/* How a vocabulary is to be.  What it points to must stay. */
struct gv_bpe_law {
	int32_t vocab; /* ids, special tokens included */

	/* A family whose pattern cuts text ("gpt2", "smollm", "qwen2",
	 * "llama3", "cl100k", "o200k"), or a regular expression: split.h.
	 * NULL: "qwen2". */
	const char *split;
	enum gv_bpe_normalizer normalizer; /* usual of a pattern: NFC */

	/* "nano" or "chatml": its special tokens come behind the learned ones,
	 * and its template into tokenizer_config.json.  NULL: without; then
	 * the first special token, if there is any, ends a text. */
	const char *chat_template;
	const char *const *special; /* more of them, behind these */
	size_t specials;

	size_t threads; /* that will add text at a time; 0: one */
	size_t memory; /* bytes to use, about; 0: 2 GiB */
};

#define GV_BPE_FAMILIES     "gpt2|smollm|qwen2|llama3|cl100k|o200k"
#define GV_BPE_LEAST_MEMORY ((size_t)16 << 20)

struct gv_bpe_train;

/* GV_ERR_USAGE for a law that can't be met: a vocabulary that is too small for
 * 256 bytes and the special tokens, a special token twice, an unknown template;
 * GV_ERR_NOSUP for a pattern that can't be used. */
int gv_bpe_train_open(struct gv_bpe_train **b, const struct gv_bpe_law *law,
    struct gv_error *e) GV_USE_RESULT;
void gv_bpe_train_close(struct gv_bpe_train **b);

/* Counts the pieces of a document of at most 1 GiB.  May be called by several
 * threads at a time. */
int gv_bpe_train_add(struct gv_bpe_train *b, const char *s, size_t n,
    struct gv_error *e) GV_USE_RESULT;

struct gv_bpe_result {
	int32_t size; /* ids, special tokens included */
	size_t pieces; /* distinct ones that were learned from */
	uint64_t least; /* of those that occur so often, all; 1: of all */
	double left_out; /* the others' share of the text's pieces */
};

/* Learns from what was added, once. */
int gv_bpe_train_learn(struct gv_bpe_train *b, struct gv_bpe_result *result,
    struct gv_error *e) GV_USE_RESULT;

/* Writes tokenizer_config.json and then tokenizer.json into `dir`, which must
 * exist; each appears complete or not at all. */
int gv_bpe_train_write(
    struct gv_bpe_train *b, const char *dir, struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
