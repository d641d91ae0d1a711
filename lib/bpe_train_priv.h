/* The inside of vocabulary training, shared by bpe_train.c (from text to
 * words), bpe_learn.c (from words to merges), bpe_pairs.c (which one comes
 * next) and bpe_write.c (the files).  Not part of the library's interface.
 */
#ifndef GV_BPE_TRAIN_PRIV_H
#define GV_BPE_TRAIN_PRIV_H

#include "bpe_train.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- how a vocabulary is made -------------------------------------------- */

/* A chat template: its special tokens in the order of their ids, what
 * tokenizer_config.json names, and the template in Jinja. */
struct gv_chat_template {
	const char *name;
	const char *const *special; /* ends with NULL */
	const char *bos, *eos, *pad, *image;
	const char *jinja;
};

/* NULL if there is none of that name. */
const struct gv_chat_template *gv_chat_template_find(const char *name);

/* How text becomes pieces. */
struct gv_bpe_cut {
	const char *name; /* of the family; NULL: the user's pattern */
	const char *pattern; /* for gv_split_open() */
	bool nfc; /* the normaliser of the family */
	bool digits; /* written as Digits, and a ByteLevel that cuts */
	bool byte_level; /* written as a ByteLevel that cuts */
};

/* ---- learning ------------------------------------------------------------ */

/* Distinct words: word i is id[at .. at + n), and occurs `count` times. */
struct gv_bpe_word {
	size_t at;
	uint32_t n;
	uint64_t count;
};
struct gv_bpe_words {
	struct gv_bpe_word *word;
	size_t words;
	int32_t *id; /* ids of bytes; merged in place */
};

/* What a word and each of its bytes take while merges are learned: measured on
 * random bytes, which take most; English takes three quarters of it. */
#define GV_BPE_WORD_BYTES ((size_t)44)
#define GV_BPE_BYTE_BYTES ((size_t)44)

/* What was learned: token i < n is s[off[i] .. off[i + 1]); merge k joined
 * left[k] and right[k]. */
struct gv_learned {
	char *s;
	size_t *off, s_cap, off_cap;
	int32_t n;
	int32_t *left, *right;
	size_t merges, left_cap, right_cap;
};
void gv_learned_free(struct gv_learned *l);

/* Ids of bytes are in the order of the characters that they are spelled with.
 */
int32_t gv_bpe_byte_id(uint8_t b);

/* Special tokens, whose ids follow the learned ones. */
struct gv_bpe_special {
	const char **text;
	size_t n;
};

/* Learns merges until there are `vocab` tokens or no pair is left that occurs
 * twice.  A token that would be spelled as a special one is not made.  *out
 * needs gv_learned_free() even after an error. */
int gv_bpe_learn(struct gv_learned *out, struct gv_bpe_words *w, int32_t vocab,
    const struct gv_bpe_special *special, struct gv_error *e) GV_USE_RESULT;

/* ---- pairs that may be merged -------------------------------------------- */

/* Words that hold a pair, or did; each once, ascending. */
struct gv_bpe_list {
	struct gv_bpe_list *next;
	uint32_t n;
	uint32_t word[];
};

struct gv_bpe_pair {
	int32_t a, b;
	int64_t count;
	struct gv_bpe_list *first;
};

/* A pair as the heap knows it: its count may be too large, never too small. */
struct gv_bpe_top {
	int64_t count;
	int32_t a, b;
	uint32_t pair;
};
struct gv_bpe_heap {
	struct gv_bpe_top *top;
	size_t n, cap;
};

/* All pairs, by number.  Zero it first. */
struct gv_bpe_pairs {
	struct gv_bpe_pair *pair;
	size_t n, cap;
	uint32_t *slot; /* hash table of numbers + 1 */
	size_t mask;
	struct gv_bpe_heap heap;
	struct gv_bpe_block *block; /* memory of lists */
	char *room; /* in the first block ... */
	size_t left; /* ... and how much of it */
};
void gv_bpe_pairs_free(struct gv_bpe_pairs *p);

/* Adds to the count of x and y, which are found or made; *at is the number. */
int gv_bpe_pairs_add(struct gv_bpe_pairs *p, int32_t x, int32_t y,
    int64_t count, uint32_t *at, struct gv_error *e) GV_USE_RESULT;

/* A list more for a pair, with room for so many words, or NULL. */
struct gv_bpe_list *gv_bpe_pairs_list(
    struct gv_bpe_pairs *p, uint32_t at, uint32_t words, struct gv_error *e);

/* Puts a pair on the heap, if it occurs often enough to be merged.  That is to
 * be done whenever its count may have risen. */
int gv_bpe_pairs_push(
    struct gv_bpe_pairs *p, uint32_t at, struct gv_error *e) GV_USE_RESULT;

/* 1 and the pair to be merged next, 0 if there is none, or an error: the most
 * frequent one; of equally frequent ones that with the smaller a, then the
 * smaller b. */
int gv_bpe_pairs_pop(
    struct gv_bpe_pairs *p, uint32_t *at, struct gv_error *e) GV_USE_RESULT;

/* ---- files --------------------------------------------------------------- */

/* Writes tokenizer_config.json and tokenizer.json into `dir`; `tmpl` may be
 * NULL. */
int gv_learned_write(const struct gv_learned *l, const struct gv_bpe_cut *cut,
    const struct gv_chat_template *tmpl, const struct gv_bpe_special *special,
    const char *dir, struct gv_error *e) GV_USE_RESULT;

#endif
