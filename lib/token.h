/* Tokenizers: bytes to ids and back.
 *
 * A tokenizer is Hugging Face's `tokenizer.json`, with `tokenizer_config.json`
 * for the chat template: BPE over bytes, or over characters as SentencePiece
 * does it for Llama 2 (blanks marked by U+2581, one put in front, unknown
 * characters falling back to bytes).
 */
#ifndef GV_TOKEN_H
#define GV_TOKEN_H

#include "err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct gv_tokenizer; /* immutable after opening; safe to share by threads */

/* Opens the vocabulary of a directory (tokenizer.json, else *.tiktoken, else
 * tokenizer.model with ranks, else bpe_simple_vocab_16e6.txt.gz) and its
 * tokenizer_config.json, if it is there.  `dir` may be such a file instead, or
 * a GGUF file: then tokenizer.json beside that, or else the vocabulary in it.
 * Unsupported models, normalisers or pre-tokenisers are GV_ERR_NOSUP by name.
 * An id or a token that is there twice, a token without bytes, a merge of what
 * is no token are GV_ERR_FORMAT; ids of 2^20 or more, tokens above 64 KiB and
 * files above 256 MiB GV_ERR_LIMIT.  Ids may have holes.  Of two merges of one
 * pair the later counts, of two added tokens with one text the first.
 *
 * Parsing a vocabulary of 150,000 tokens takes a tenth of a second or more, so
 * that of a file of half a megabyte or more is kept in compiled form beside it,
 * in .gv-tokenizer (of tokenizer.json) or .NAME.gv-tokenizer, which opens in a
 * few milliseconds.  It is believed only while size, inode, mtime and ctime of
 * the file are as they were, and checked all the same.  Where the directory
 * can't be written nothing is kept, and nothing is said. */
int gv_tokenizer_open(
    struct gv_tokenizer **t, const char *dir, struct gv_error *e) GV_USE_RESULT;

/* The name of the file in DIR that holds its vocabulary: tokenizer.json also
 * where there is none.  GV_ERR_MATCH where it can't be told. */
int gv_tokenizer_file(
    const char *dir, char name[256], struct gv_error *e) GV_USE_RESULT;

void gv_tokenizer_close(struct gv_tokenizer **t);

int32_t gv_tokenizer_size(const struct gv_tokenizer *t); /* highest id + 1 */
const char *gv_tokenizer_digest(const struct gv_tokenizer *t); /* SHA-256 hex */

/* The id of a special (added) token by its text, or -1. */
int32_t gv_tokenizer_special(const struct gv_tokenizer *t, const char *text);
bool gv_tokenizer_is_special(const struct gv_tokenizer *t, int32_t id);

/* Ids that end a turn or a text ("stop ids"): from the chat template in use
 * and tokenizer_config.json's eos_token.  Returns how many; at most cap are
 * stored. */
size_t gv_tokenizer_stops(
    const struct gv_tokenizer *t, int32_t *id, size_t cap);

/* A growing list of ids; zero it first, gv_ids_free() at the end. */
struct gv_ids {
	int32_t *id;
	size_t n, cap;
};
void gv_ids_free(struct gv_ids *ids);
int gv_ids_push(
    struct gv_ids *ids, int32_t id, struct gv_error *e) GV_USE_RESULT;

/* Appends the ids of `n` bytes of text (at most 1 GiB, else GV_ERR_LIMIT).
 * Special tokens spelled in the text are plain text unless `specials`; added
 * tokens that aren't special (<think>) are always found.  A byte that is not
 * UTF-8 counts as a character that is neither letter, number nor space, and is
 * kept: decoding gives the text back, in NFC where the vocabulary asks for
 * it.  Bytes that the vocabulary has no token for are left out, as Hugging Face
 * does.  A vocabulary of characters that puts a blank in front does so to every
 * text, and to every stretch behind an added token if its file says so. */
int gv_encode(const struct gv_tokenizer *t, const char *s, size_t n,
    bool specials, struct gv_ids *out, struct gv_error *e) GV_USE_RESULT;

/* The same by up to `threads` threads (0: one a core) where the text is of a
 * megabyte or more and the vocabulary's split pattern shows where it can be
 * cut; the ids don't depend on it. */
int gv_encode_threads(const struct gv_tokenizer *t, const char *s, size_t n,
    bool specials, size_t threads, struct gv_ids *out,
    struct gv_error *e) GV_USE_RESULT;

/* gv_encode() for text that goes on with a document: no blank is put in front
 * where the vocabulary's file wants one at the beginning only. */
int gv_encode_on(const struct gv_tokenizer *t, const char *s, size_t n,
    bool specials, struct gv_ids *out, struct gv_error *e) GV_USE_RESULT;

/* The bytes of one id (not NUL-terminated; a special token's text; a blank for
 * U+2581). */
const char *gv_token_bytes(const struct gv_tokenizer *t, int32_t id, size_t *n);

/* Decodes ids; special tokens are left out unless `specials`, and so is the
 * blank in front that a vocabulary of characters gave the text.  *out, NUL-
 * terminated, is freed with gv_free(). */
int gv_decode(const struct gv_tokenizer *t, const int32_t *id, size_t n,
    bool specials, char **out, size_t *len, struct gv_error *e) GV_USE_RESULT;

/* The id that stands for an image row, or -1: the image_token of
 * tokenizer_config.json, else <|image_pad|> or <|image|>. */
int32_t gv_tokenizer_image(const struct gv_tokenizer *t);

#ifdef __cplusplus
}
#endif
#endif
