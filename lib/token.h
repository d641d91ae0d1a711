/* Tokenizers: bytes to ids and back, and the training of vocabularies.
 *
 * A tokenizer is Hugging Face's `tokenizer.json` (byte-level BPE), with
 * `tokenizer_config.json` for the chat template.
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

/* Opens DIR/tokenizer.json (and tokenizer_config.json, if it is there).
 * Unsupported models, normalisers or pre-tokenisers are GV_ERR_NOSUP by name. */
int gv_tokenizer_open(struct gv_tokenizer **t, const char *dir,
    struct gv_error *e) GV_USE_RESULT;
void gv_tokenizer_close(struct gv_tokenizer **t);

int32_t gv_tokenizer_size(const struct gv_tokenizer *t); /* highest id + 1 */
const char *gv_tokenizer_digest(const struct gv_tokenizer *t); /* SHA-256 hex */

/* The id of a special (added) token by its text, or -1. */
int32_t gv_tokenizer_special(const struct gv_tokenizer *t, const char *text);
bool gv_tokenizer_is_special(const struct gv_tokenizer *t, int32_t id);

/* Ids that end a turn or a text ("stop ids"): from the chat template in use
 * and tokenizer_config.json's eos_token.  Returns how many; at most cap are
 * stored. */
size_t gv_tokenizer_stops(const struct gv_tokenizer *t, int32_t *id,
    size_t cap);

/* A growing list of ids; zero it first, gv_ids_free() at the end. */
struct gv_ids {
	int32_t *id;
	size_t n, cap;
};
void gv_ids_free(struct gv_ids *ids);
int gv_ids_push(struct gv_ids *ids, int32_t id, struct gv_error *e)
    GV_USE_RESULT;

/* Appends the ids of `n` bytes of text.  Special tokens spelled in the text
 * are plain text unless `specials`.  Invalid UTF-8 is encoded byte by byte. */
int gv_encode(const struct gv_tokenizer *t, const char *s, size_t n,
    bool specials, struct gv_ids *out, struct gv_error *e) GV_USE_RESULT;

/* The bytes of one id (not NUL-terminated; a special token's text). */
const char *gv_token_bytes(const struct gv_tokenizer *t, int32_t id,
    size_t *n);

/* Decodes ids; special tokens are left out unless `specials`.  *out, NUL-
 * terminated, is freed with gv_free(). */
int gv_decode(const struct gv_tokenizer *t, const int32_t *id, size_t n,
    bool specials, char **out, size_t *len, struct gv_error *e) GV_USE_RESULT;

/* For streaming output: of `n` bytes, how many end on a whole UTF-8
 * character (the rest may become one with the bytes to come). */
size_t gv_utf8_whole(const char *s, size_t n);

/* ---- chat ---------------------------------------------------------------- */

/* A rendered conversation.  target[i] is the id to be predicted at position i
 * if it is trained on, else -1 (already shifted).  bytes[i] is the number of
 * UTF-8 bytes that target[i] stands for (0 for specials and -1). */
struct gv_rendered {
	int32_t *token, *target, *bytes;
	size_t n, cap;
	int32_t *image_at; /* position of the first placeholder of each image */
	size_t images, image_cap;
};
void gv_rendered_free(struct gv_rendered *r);

/* Renders `messages` (JSON list of {"role", "content"}; content is a string,
 * or a list of {"type":"text","text"} and {"type":"image"}), by construction,
 * never by tokenizing rendered text again: literal special tokens in text stay
 * text.  The template is the model's: ChatML (vocabularies with
 * <|im_start|>) or nano (with <|user_start|>).
 *	image_rows	placeholders an image takes
 *	prompt		end with the opening of the assistant's turn
 * Appends to *r, so that several sequences can share one (targets never cross).
 * Trained on: assistant text and its end token, unless `prompt`. */
int gv_chat(const struct gv_tokenizer *t, const json_t *messages,
    int image_rows, bool prompt, struct gv_rendered *r, struct gv_error *e)
    GV_USE_RESULT;

/* Renders a plain document: begin token if the vocabulary has one, text, end
 * token; all of it trained on. */
int gv_document(const struct gv_tokenizer *t, const char *s, size_t n,
    struct gv_rendered *r, struct gv_error *e) GV_USE_RESULT;

/* The id that stands for an image row (<|image|>, <|image_pad|>), or -1. */
int32_t gv_tokenizer_image(const struct gv_tokenizer *t);

/* ---- training ------------------------------------------------------------ */

/* Learns a byte-level BPE vocabulary of `vocab` ids (256 bytes, merges, then
 * the special tokens of `template`, "nano" or "chatml") from text given piece
 * by piece, and writes tokenizer.json and tokenizer_config.json into `dir`
 * (which must exist), atomically. */
struct gv_bpe_train;
int gv_bpe_train_open(struct gv_bpe_train **b, int32_t vocab,
    const char *chat_template, struct gv_error *e) GV_USE_RESULT;
int gv_bpe_train_add(struct gv_bpe_train *b, const char *s, size_t n,
    struct gv_error *e) GV_USE_RESULT;
int gv_bpe_train_write(struct gv_bpe_train *b, const char *dir,
    struct gv_error *e) GV_USE_RESULT;
void gv_bpe_train_close(struct gv_bpe_train **b);

#ifdef __cplusplus
}
#endif
#endif
