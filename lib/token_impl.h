/* The inside of a tokenizer, shared by the files that make it up: token.c
 * (opening and looking up), token_open.c (which files), token_load.c
 * (tokenizer.json), token_rules.c (how it prepares and cuts text),
 * token_vocab.c (its tokens), token_merges.c (its merges), token_spell.c (how
 * these spell bytes), token_scan.c (finding them in its text), token_tiktoken.c
 * and token_clip.c (other files), token_image.c (the compiled form),
 * token_encode.c (from text to stretches of it), token_added.c (added tokens in
 * it), token_threads.c (long texts), bpe.c (from these to ids), bpe_index.c,
 * bpe_trie.c, bpe_match.c, bpe_run.c and bpe_merge.c (the merges of a piece),
 * chat_form.c (the model's chat template).
 * Not part of the library's interface.
 */
#ifndef GV_TOKEN_IMPL_H
#define GV_TOKEN_IMPL_H

#include "dir.h"
#include "io.h"
#include "mem.h"
#include "sha.h"
#include "split.h"
#include "token.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

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

/* Merges are found by a hash table of one word a slot: the ids of the left and
 * the right (20 bits each), and the rank (24), of which the lowest goes first.
 * An empty slot has all bits set. */
#define GV_NO_RANK 0xffffffu

static inline uint64_t
gv_pair_key(int32_t a, int32_t b)
{
	return (uint64_t)(uint32_t)a << 20 | (uint32_t)b;
}

static inline uint32_t
gv_pair_hash(uint64_t key)
{
	return (uint32_t)(key * 0x9e3779b97f4a7c15u >> 32);
}

/* How merging comes to a token: `left` and `right` meet in the merge of rank
 * `when` - 1, or it is a symbol (0), or it is never met.  `shorter` is the
 * longest other token that it begins with, or -1. */
#define GV_NEVER UINT32_MAX

struct gv_made {
	int32_t left, right;
	uint32_t when;
	int32_t shorter;
	uint32_t len; /* bytes */
};

/* Added tokens that are looked for in the text as it comes, or in the
 * normalised text.  Zero it first.  Those that start with byte c are
 * item[sorted[first[c]]] up to that of first[c + 1]. */
struct gv_added {
	struct gv_added_item {
		int32_t id;
		uint32_t len;
		char *text; /* normalised, if the set is */
		/* the longest other that it begins with, or NULL */
		const struct gv_added_item *shorter;
	} * item;
	size_t n, cap;
	uint32_t *sorted, first[257];
	int starts; /* how many bytes start one ... */
	char start; /* ... and the last of them */
};

struct gv_piece_cache;

struct gv_tokenizer {
	/* These eight are allocated, or lie in `map`. */
	struct gv_tok *tok;
	char *blob;
	int32_t *by_bytes; /* hash table of the model's tokens */
	uint64_t *pair; /* hash table of merges */
	uint64_t *sieve; /* what isn't in it */
	int32_t *merged; /* the id that the merge of a rank gives */
	struct gv_made *made; /* by id; NULL: pieces are merged by the heap */
	uint64_t *trie; /* of the tokens in it, with `slots` slots */

	int32_t size, tok_cap;
	size_t blob_bytes, blob_cap, slots;
	uint32_t by_mask, pair_mask, merges;
	int32_t byte_id[256];
	/* The merges as in `pair`, by rank, of which a pair may have several;
	 * for the index and the digest, then NULL. */
	uint64_t *order;
	size_t orders, order_cap;
	struct gv_map map; /* of the compiled form, if it was opened from it */

	struct gv_split *split; /* NULL: the whole text is one piece */
	bool nfc, ignore_merges;
	bool by_rank; /* a pair's rank is the id of what it becomes: tiktoken */

	/* CLIP's: text in lower case, and words that end in </w>.  That is a
	 * blank here, of which a word has this one; a byte and it are merged
	 * before anything else. */
	enum gv_clip {
		GV_CLIP_NONE,
		GV_CLIP_WORDS,
		GV_CLIP_MARKS /* <|startoftext|> and <|endoftext|> are words */
	} clip;

	/* A vocabulary of SentencePiece's kind, whose symbols are characters
	 * and not bytes.  Its mark for a blank, U+2581, is a blank here, in
	 * tokens and in text, so that tokens are what they decode to. */
	bool chars;
	bool byte_fallback; /* byte_id[] are the tokens <0x00> ... */
	bool fuse_unk; /* unknown characters in a row are one unk */
	int32_t unk; /* -1: unknown characters are left out */
	bool strip; /* decoding drops a blank at the beginning */
	enum gv_prefix {
		GV_PREFIX_NONE,
		GV_PREFIX_NORMAL, /* the normaliser puts a blank first */
		GV_PREFIX_ALWAYS, /* before a stretch that has none there */
		GV_PREFIX_FIRST /* the same, at the text's beginning */
	} prefix;
	struct gv_added raw, normal;
	struct gv_piece_cache *cache;
	char digest[GV_DIGEST];

	/* what tokenizer_config.json says */
	int32_t bos, eos, image; /* -1 without */
	bool add_bos; /* documents start with bos */

	/* of the model's chat template */
	const struct gv_chat_form *form; /* NULL: it has none, or */
	bool strange; /* it is none of those built in */
	char *system; /* ChatML: its system message, or NULL */
};

/* What token_scan.c found in the text of a tokenizer.json: the inside of
 * model.vocab and model.merges, with their brackets; NULL where the values are
 * to be taken from the parsed JSON. */
struct gv_token_text {
	const char *vocab, *merges;
	size_t vocab_bytes, merges_bytes;
};

/* Parses `n` bytes of text but for those two, which can be 99 % of it: NULL,
 * and nothing to tell, if the text is not as expected, and then the usual
 * parser is to judge it. */
json_t *gv_token_scan(const char *s, size_t n, struct gv_token_text *x);

/* A walk over the strings and numbers of what was found.  gv_scan_string()
 * gives the bytes of a JSON string at *p without its quotes: in the text
 * itself, or where it has escapes in `buf` of GV_MAX_TOKEN bytes.  All return
 * false for what they don't expect. */
bool gv_scan_char(const char **p, const char *end, char want);
bool gv_scan_string(
    const char **p, const char *end, char *buf, const char **s, size_t *n);
bool gv_scan_number(const char **p, const char *end, int64_t *v);

/* For these: an error, of which nobody hears. */
int gv_scan_refuse(struct gv_error *e);

/* token_rules.c: how a tokenizer.json says that text is prepared, cut and
 * decoded, or GV_ERR_NOSUP by name. */
int gv_token_rules(struct gv_tokenizer *t, const json_t *tokenizer,
    struct gv_error *e) GV_USE_RESULT;

/* GV_ERR_NOSUP: `what` of this type, a text, is not supported. */
int gv_token_nosup(struct gv_error *e, const char *what, const json_t *type);

/* token_load.c: fills in everything up to `cache` from tokenizer.json. */
int gv_token_load(struct gv_tokenizer *t, const json_t *o,
    const struct gv_token_text *x, struct gv_error *e) GV_USE_RESULT;

/* token_vocab.c, token_merges.c: the parts of that which are tables. */
int gv_token_vocab(struct gv_tokenizer *t, json_t *vocab,
    const struct gv_token_text *x, struct gv_error *e) GV_USE_RESULT;
int gv_token_merges(struct gv_tokenizer *t, const json_t *list,
    const struct gv_token_text *x, struct gv_error *e) GV_USE_RESULT;

/* For lists that aren't JSON: finds tokens by their bytes, of which each has
 * one id and each byte one of its own; then gv_token_pair() for all merges,
 * those of the lowest rank first, and the table of these. */
int gv_token_index(struct gv_tokenizer *t, struct gv_error *e) GV_USE_RESULT;
int gv_token_pair(struct gv_tokenizer *t, int32_t a, int32_t b, uint32_t rank,
    struct gv_error *e) GV_USE_RESULT;
int gv_token_index_pairs(
    struct gv_tokenizer *t, struct gv_error *e) GV_USE_RESULT;

/* An id of its own for an added token with these bytes. */
int gv_token_add(struct gv_tokenizer *t, int64_t id, const char *s, size_t n,
    uint8_t flags, struct gv_error *e) GV_USE_RESULT;

/* token_added.c: enters an added token into a set; `s` is normalised, if the
 * set is.  Of two with the same text the first counts. */
int gv_token_enter(struct gv_added *set, int32_t id, const char *s, size_t n,
    struct gv_error *e) GV_USE_RESULT;
void gv_token_free_added(struct gv_added *set);

/* Once all are entered. */
int gv_token_sort_added(struct gv_added *set, struct gv_error *e) GV_USE_RESULT;

/* The leftmost, longest added token at or behind *at: its item and, in *at,
 * where it stands; NULL if there is none. */
const struct gv_added_item *gv_token_find_added(
    const struct gv_added *set, const char *s, size_t n, size_t *at);

/* A file that holds a vocabulary. */
struct gv_token_source {
	char path[GV_PATH_MAX + 300];
	char config[GV_PATH_MAX + 300]; /* tokenizer_config.json beside it */
	char image[GV_PATH_MAX + 300]; /* where its compiled form lies */
	/* size, inode, mtime and ctime of it, and of the file beside it if the
	 * vocabulary depends on that, too; else zeros */
	int64_t state[8];
};

/* token_open.c: fills in everything up to `cache`, and *config from what says
 * tokenizer_config.json, which is NULL if there is none. */
int gv_token_open_files(struct gv_tokenizer *t, json_t **config,
    const char *path, struct gv_error *e) GV_USE_RESULT;

/* token.c: the digest of all that decides which ids a text gets; frees
 * `order`. */
int gv_token_digest(struct gv_tokenizer *t, struct gv_error *e) GV_USE_RESULT;

/* token_tiktoken.c: fills in the same from a list of tokens and ranks, `n`
 * bytes of text.  `name` is the encoding's; pattern and special tokens come
 * from it, or else from the object "tiktoken" in `config`, which may be NULL.
 */
int gv_token_tiktoken(struct gv_tokenizer *t, const char *s, size_t n,
    const char *name, const json_t *config, struct gv_error *e) GV_USE_RESULT;

/* token_clip.c: the same from OpenAI's list of merges, packed by gzip. */
int gv_token_clip(struct gv_tokenizer *t, const char *s, size_t n,
    struct gv_error *e) GV_USE_RESULT;

/* What a tokenizer.json of CLIP says, if this is one; else GV_CLIP_NONE. */
enum gv_clip gv_clip_json(const json_t *tokenizer);

/* The text in NFC and lower case; and its words with a blank behind each.  Both
 * in new memory. */
int gv_clip_normal(const char *s, size_t n, char **out, size_t *len,
    struct gv_error *e) GV_USE_RESULT;
int gv_clip_words(enum gv_clip how, const char *s, size_t n, char **out,
    size_t *len, struct gv_error *e) GV_USE_RESULT;

/* token_image.c: the compiled form.  It is taken only if it was made of a file
 * in the same state and is whole; false otherwise, with `t` as it was.  Saving
 * fails silently where the directory can't be written; small files and those
 * that changed within the last two seconds, which might change again unnoticed,
 * are not compiled. */
bool gv_token_image_open(
    struct gv_tokenizer *t, const struct gv_token_source *source);
void gv_token_image_save(
    const struct gv_tokenizer *t, const struct gv_token_source *source);

/* token_encode.c: the normalised text, in new memory, or in *out NULL if it is
 * as it was. */
int gv_token_normal(const struct gv_tokenizer *t, const char *s, size_t n,
    char **out, size_t *len, struct gv_error *e) GV_USE_RESULT;

/* token_threads.c: may text be cut at i, with 3 bytes or more on both sides?  A
 * word ends there in all patterns of words (gv_split_by_words()), its ending
 * doesn't show what follows, and no character on either side is normalised
 * together with one on the other. */
bool gv_token_cut(const char *s, size_t i);

/* token.c: frees all that loading allocates. */
void gv_token_clear(struct gv_tokenizer *t);

/* chat_form.c: finds the chat template of the model that `path` is of, in files
 * beside it or in tokenizer_config.json; and gives the names of the tokens that
 * end a turn or a text, at most two. */
int gv_chat_find(struct gv_tokenizer *t, const char *path, const json_t *config,
    struct gv_error *e) GV_USE_RESULT;
size_t gv_chat_stops(const struct gv_tokenizer *t, const char *stop[2]);

/* The id of the model (not added) with these bytes, or -1. */
int32_t gv_token_find(const struct gv_tokenizer *t, const char *s, size_t n);

/* Tokens are found by their bytes in a hash table of ids.  The bits above an
 * id's are of the hash, and tell nearly all others from the one that is looked
 * for without a look at their bytes.  An empty slot is negative. */
#define GV_ID_BITS 20

static inline int32_t
gv_by_bytes_tag(uint32_t hash)
{
	return (int32_t)(hash >> (GV_ID_BITS + 1) << GV_ID_BITS);
}

static inline int32_t
gv_by_bytes_id(int32_t slot)
{
	return slot < 0 ? slot : slot & ((1 << GV_ID_BITS) - 1);
}

/* A bit for each value of a part of the pairs' hash: where it is 0 no pair has
 * that, which spares a look into a table that is larger than a cache. */
#define GV_SIEVE_BITS  21
#define GV_SIEVE_WORDS ((size_t)1 << (GV_SIEVE_BITS - 6))

static inline uint32_t
gv_sieve_bit(uint32_t hash)
{
	return hash >> (32 - GV_SIEVE_BITS);
}

/* The rank of the merge of a and b, or GV_NO_RANK. */
static inline uint32_t
gv_token_rank(const struct gv_tokenizer *t, int32_t a, int32_t b)
{
	uint64_t key = gv_pair_key(a, b);
	uint32_t h = gv_pair_hash(key), i = h & t->pair_mask;

	if (!(t->sieve[gv_sieve_bit(h) / 64] >> gv_sieve_bit(h) % 64 & 1))
		return GV_NO_RANK;
	for (; t->pair[i] >> 24 != key; i = (i + 1) & t->pair_mask)
		if (t->pair[i] == UINT64_MAX)
			return GV_NO_RANK;
	return (uint32_t)t->pair[i] & 0xffffff;
}

/* Of a hash table for n entries: a power of two, two thirds full at most. */
static inline uint32_t
gv_table_size(size_t n)
{
	uint32_t k = 16;

	while (k < n + n / 2 && k < 1u << 30)
		k *= 2;
	return k;
}

uint32_t gv_token_hash(const char *s, size_t n);

/* bpe.c: the ids of text without added tokens, normalised. */
int gv_token_pieces(const struct gv_tokenizer *t, const char *s, size_t n,
    struct gv_ids *out, struct gv_error *e) GV_USE_RESULT;

/* The cache of pieces, shared by threads without locks. */
int gv_piece_cache_open(
    struct gv_piece_cache **c, struct gv_error *e) GV_USE_RESULT;
void gv_piece_cache_close(struct gv_piece_cache **c);

/* Makes room for `more` ids behind the list's end. */
static inline int
gv_ids_room(struct gv_ids *out, size_t more, struct gv_error *e)
{
	if (out->cap - out->n >= more)
		return 0;
	return gv_room(&out->id, &out->cap, out->n + more, sizeof *out->id, e);
}

/* bpe_index.c: makes `sieve`, and `made` and `trie` where the merges are of the
 * kind that a search from the left gives the same result as; and checks those
 * of a compiled form. */
int gv_bpe_index(struct gv_tokenizer *t, struct gv_error *e) GV_USE_RESULT;
bool gv_bpe_index_sound(const struct gv_tokenizer *t);

/* bpe_match.c: appends the ids of a piece, in time linear in n.  *done is
 * false, and *out as it was, if it has symbols that the vocabulary lacks; needs
 * t->made. */
int gv_bpe_match(const struct gv_tokenizer *t, const char *s, size_t n,
    struct gv_ids *out, bool *done, struct gv_error *e) GV_USE_RESULT;

/* bpe_merge.c: the same for any piece and vocabulary, in n log n. */
int gv_bpe_merge(const struct gv_tokenizer *t, const char *s, size_t n,
    struct gv_ids *out, struct gv_error *e) GV_USE_RESULT;

/* token_spell.c.  GPT-2's alphabet: every byte as a printable character, so
 * that tokens can be spelled in JSON.  The inverse is -1 for other characters.
 */
uint32_t gv_byte_to_char(uint8_t b);
int gv_char_to_byte(uint32_t c);

/* <0x0A>: the byte, or -1. */
int gv_token_byte(const char *s, size_t n);

#define GV_WORD_END "</w>" /* of CLIP's words; a blank in what is spelled */

/* Writes the bytes that `n` bytes of a token's spelling stand for to dst (room
 * for n) and returns how many.  A token with characters that spell none stands
 * for itself, and *flags says that no text leads to it. */
size_t gv_token_spell(const struct gv_tokenizer *t, char *dst, const char *s,
    size_t n, uint8_t *flags);

#endif
