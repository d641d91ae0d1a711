/* Dtypes and shapes: what streams, safetensors and models agree on. */
#ifndef GV_TENSOR_H
#define GV_TENSOR_H

#include "err.h"

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define GV_MAX_RANK 8

enum gv_dtype {
	GV_NONE, /* not a tensor */
	GV_BOOL,
	GV_U8,
	GV_I8,
	GV_I32,
	GV_I64,
	GV_F16,
	GV_BF16,
	GV_F32,
	GV_F64,
	GV_F8_E4M3,
	GV_DTYPES,
	/* blocks of quantised numbers, which only GGUF files hold: blocks.h
	 * converts them; gv_dtype_parse() doesn't know them, and an element
	 * has no size */
	GV_Q4_0 = GV_DTYPES,
	GV_Q4_1,
	GV_Q8_0,
	GV_Q6_K
};

/* A view of an array: row-major, dense, little-endian.  `data` belongs to
 * whoever made the view. */
struct gv_tensor {
	enum gv_dtype dtype;
	int rank;
	int64_t shape[GV_MAX_RANK];
	const void *data;
	size_t bytes;
};

size_t gv_dtype_size(enum gv_dtype t); /* bytes an element, 0 for NONE */
const char *gv_dtype_name(enum gv_dtype t); /* safetensors: "BF16" */
enum gv_dtype gv_dtype_parse(const char *s, size_t n); /* GV_NONE if unknown */

/* Elements, or bytes, of a shape; false if that overflows or a size is
 * negative. */
bool gv_shape_count(const int64_t *shape, int rank, size_t *n);
bool gv_shape_bytes(
    enum gv_dtype t, const int64_t *shape, int rank, size_t *bytes);

/* Fills in a view and its byte count; GV_ERR_LIMIT if the shape overflows. */
int gv_tensor_set(struct gv_tensor *t, enum gv_dtype dtype, int rank,
    const int64_t *shape, const void *data, struct gv_error *e) GV_USE_RESULT;

/* "(3,224,224)" for messages. */
char *gv_shape_text(char *dst, size_t cap, const int64_t *shape, int rank);

/* Conversions, round to nearest even; NaN stays NaN. */
float gv_bf16_to_f32(uint16_t x);
uint16_t gv_f32_to_bf16(float x);
float gv_f16_to_f32(uint16_t x);
uint16_t gv_f32_to_f16(float x);

/* dst[i] = src[i] as F32 for n elements of BF16, F16, F32, F64, U8 or I32;
 * and F32 to BF16, F16 or F32.  Another dtype is GV_ERR_NOSUP. */
int gv_to_f32(float *dst, const void *src, enum gv_dtype from, size_t n,
    struct gv_error *e) GV_USE_RESULT;
int gv_from_f32(void *dst, enum gv_dtype to, const float *src, size_t n,
    struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
