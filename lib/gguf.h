/* GGUF: a text model in one file, as llama.cpp's tools write it, read only.
 *
 * A file is (all numbers little-endian)
 *
 *	"GGUF", version (u32: 2 or 3), tensors (u64), pairs (u64)
 *	pairs	key, type (u32), value
 *	tensors	name, dimensions (u32), sizes (u64 each, the innermost first),
 *		type (u32), offset (u64)
 *	data	from the next multiple of general.alignment (32)
 *
 * where a string is its length (u64) and that many bytes, and a list its
 * element type (u32), count (u64) and values.  All of it is checked when the
 * file is opened, and no count or length is believed before the bytes that it
 * promises are there:
 *
 *	pairs	at most 65,536, keys at most 256 bytes, none twice; lists of
 *		numbers or strings, not of lists
 *	tensors	at most 65,536, names at most 128 bytes, none twice, one to
 *		four dimensions of at least 1, rows of whole blocks
 *	data	each tensor at a multiple of the alignment, right behind the one
 *		before; nothing behind the last but padding
 *
 * A file that ends early is GV_ERR_CUT, one beyond a limit GV_ERR_LIMIT, a
 * tensor type that is not read (all but F32, F16, BF16, Q8_0, Q4_0, Q4_1 and
 * Q6_K), big-endian files and other versions GV_ERR_NOSUP, any other fault
 * GV_ERR_FORMAT.
 *
 * Quantised tensors are rows of blocks, see blocks.h.
 *
 * Source: ggml-org/ggml docs/gguf.md.
 */
#ifndef GV_GGUF_H
#define GV_GGUF_H

#include "err.h"
#include "tensor.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define GV_GGUF_MAX_PAIRS   65536
#define GV_GGUF_MAX_TENSORS 65536
#define GV_GGUF_MAX_KEY     256
#define GV_GGUF_MAX_NAME    128

struct gv_gguf; /* an opened file; immutable */

/* Whether a model's path means a GGUF file: it ends in ".gguf". */
bool gv_gguf_named(const char *path);

int gv_gguf_open(
    struct gv_gguf **g, const char *path, struct gv_error *e) GV_USE_RESULT;
void gv_gguf_close(struct gv_gguf **g);

/* The i-th tensor in order of offset.  Shapes are row-major, the outermost
 * size first.  Name and data live until gv_gguf_close(). */
size_t gv_gguf_count(const struct gv_gguf *g);
const char *gv_gguf_name(const struct gv_gguf *g, size_t i);
const struct gv_tensor *gv_gguf_tensor(const struct gv_gguf *g, size_t i);

/* llama.cpp stores the query and key rows of a `llama` model for rotation of
 * neighbours: row (j,s) of a head, j < D/2, s < 2, is row (s,j) elsewhere.
 * The number of heads of such a tensor, else 0. */
int64_t gv_gguf_paired(const struct gv_gguf *g, size_t i);

/* What the file says of the model, as a new config.json object: of the
 * architectures `llama` and `qwen2`.  Another one, and scaled rotation that
 * config.json could not say, are GV_ERR_NOSUP by name. */
int gv_gguf_config(
    const struct gv_gguf *g, json_t **config, struct gv_error *e) GV_USE_RESULT;

/* Its vocabulary as new tokenizer.json and tokenizer_config.json objects:
 * byte-level BPE ("gpt2") whose cut ("tokenizer.ggml.pre") is one of those of
 * SmolLM, Qwen2, Llama 3 and GPT-2.  Others are GV_ERR_NOSUP by name.
 * `tokenizer` may be NULL where the vocabulary is known already. */
int gv_gguf_tokenizer(const struct gv_gguf *g, json_t **tokenizer,
    json_t **config, struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
