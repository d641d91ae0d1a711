/* The inside of a tokenizer, shared by the files that make it up: token.c
 * (opening and looking up), token_load.c (tokenizer.json), bpe.c (encoding),
 * chat.c (conversations).  Not part of the library's interface.
 */
#ifndef GV_TOKEN_IMPL_H
#define GV_TOKEN_IMPL_H

#include "sha.h"
#include "split.h"
#include "token.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* Limits of a vocabulary: exceeding one is GV_ERR_LIMIT. */
#define GV_MAX_IDS   ((int32_t)1 << 20)
#define GV_MAX_TOKEN ((size_t)64 << 10) /* bytes of one token */
#define GV_MAX_TEXT  ((size_t)1 << 30) /* bytes of one gv_encode() */

enum {
	GV_TOK_PRESENT = 1,
	GV_TOK_ADDED = 2, /* of added_tokens: matched in text, never merged */
	GV_TOK_SPECIAL = 4, /* "special": not text, left out by decoding */
	GV_TOK_RAW = 8 /* spelled outside the byte alphabet: unreachable */
};

/* The bytes of id i are blob[off .. off + len). */
struct gv_tok {
	uint32_t off, len;
	uint8_t flags;
};

/* A merge: ids a and b become `id`; the lowest rank goes first.  An empty slot
 * of the table has id < 0. */
struct gv_merge {
	int32_t a, b, id;
	uint32_t rank;
};

/* Added tokens that are looked for in the text as it comes, or in the
 * normalised text.  Those that start with byte c are item[first[c]] and, while
 * next is not negative, on: longer ones first. */
struct gv_added {
	struct gv_added_item {
		int32_t id, next;
		uint32_t len;
		char *text; /* normalised, if the set is */
	} * item;
	size_t n, cap;
	int32_t first[256];
	int starts; /* how many bytes start one ... */
	char start; /* ... and the last of them */
};

struct gv_piece_cache;

struct gv_tokenizer {
	struct gv_tok *tok;
	int32_t size, tok_cap;
	char *blob;
	size_t blob_bytes, blob_cap;
	int32_t byte_id[256];

	int32_t
	    *by_bytes; /* hash table of the model's ids by their bytes; -1 */
	uint32_t by_mask;
	struct gv_merge *merge; /* hash table by (a, b) */
	uint32_t merge_mask;
	int32_t *order; /* slots of merge[] by rank, for the digest */
	uint32_t merges;

	struct gv_split *split; /* NULL: the whole text is one piece */
	bool nfc, ignore_merges;
	struct gv_added raw, normal;
	struct gv_piece_cache *cache;
	char digest[GV_DIGEST];

	/* what tokenizer_config.json says */
	int32_t bos, eos, image; /* -1 without */
	bool add_bos; /* documents start with bos */
	const char *system; /* ChatML: the default system message, or NULL */
};

/* token_load.c: fills in everything up to `cache` from tokenizer.json. */
int gv_token_load(
    struct gv_tokenizer *t, const json_t *o, struct gv_error *e) GV_USE_RESULT;

/* The id of the model (not added) with these bytes, or -1. */
int32_t gv_token_find(const struct gv_tokenizer *t, const char *s, size_t n);

/* The merge of a and b, or NULL. */
const struct gv_merge *gv_token_merge(
    const struct gv_tokenizer *t, int32_t a, int32_t b);

uint32_t gv_token_hash(const char *s, size_t n);

/* bpe.c: the cache of pieces, shared by threads without locks. */
int gv_piece_cache_open(
    struct gv_piece_cache **c, struct gv_error *e) GV_USE_RESULT;
void gv_piece_cache_close(struct gv_piece_cache **c);

/* GPT-2's alphabet: every byte as a printable character, so that tokens can be
 * spelled in JSON.  The inverse is -1 for other characters. */
uint32_t gv_byte_to_char(uint8_t b);
int gv_char_to_byte(uint32_t c);

#endif
