/* Quantised numbers in blocks, as GGUF files hold them.
 *
 * A row is whole blocks.  With d and m in F16:
 *
 *	Q8_0	32 numbers in 34 bytes: d, 32 x i8 q		d q
 *	Q4_0	32 numbers in 18 bytes: d, 16 x u8		d (q - 8)
 *	Q4_1	32 numbers in 20 bytes: d, m, 16 x u8		d q + m
 *	Q6_K	256 numbers in 210 bytes: 128 x u8 low bits, 64 x u8 high
 *		bits, 16 x i8 scale s, d			d s (q - 32)
 *
 * The q of four bits for numbers i and 16 + i are the lower and upper half of
 * byte i.  Of Q6_K each half of 128 numbers has 64 bytes low and 32 bytes high:
 * number 32 k + i (k < 4, i < 32) has its four low bits in byte 32 (k % 2) + i,
 * the lower half of it for k < 2, its two high bits at 2 k of byte i, and the
 * scale 2 k + i / 16 of that half's eight.
 *
 * Source: ggml-org/ggml, the dequantize_row functions of ggml-quants.c.
 */
#ifndef GV_BLOCKS_H
#define GV_BLOCKS_H

#include "err.h"
#include "tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Numbers in a block and its bytes; for types without blocks 1 and
 * gv_dtype_size(). */
size_t gv_block_numbers(enum gv_dtype t);
size_t gv_block_bytes(enum gv_dtype t);

/* dst[i] = the i-th of n numbers in whole blocks, computed in F32; types
 * without blocks are gv_to_f32()'s, from `src` of any alignment. */
int gv_blocks_to_f32(float *dst, const void *src, enum gv_dtype from, size_t n,
    struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
