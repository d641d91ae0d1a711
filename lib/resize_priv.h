/* Inside resize: weights, and the inner loops that use them.
 *
 * All sums run over quads: 4 neighbours of a sample, a byte each, in 32 bits.
 * LANES of them, of samples that have the same weights, are a vector:
 *
 *	lanes	(3, quads of columns, 16)	a strip: 16 rows of one channel
 *					and 4 columns
 *	mid	(quads of rows, 3, x)	resized columns: one x of one channel
 *					and 4 rows
 *
 * so that both passes do the same: out[i] = sum of weights[q] in[q][i] over q.
 * Weights stand where their quads do, at multiples of 4 inputs, with zeros
 * beside them.
 */
#ifndef GV_RESIZE_PRIV_H
#define GV_RESIZE_PRIV_H

#include "image_priv.h"

#ifdef __cplusplus
extern "C" {
#endif

#define GV_LANES  16 /* quads of a vector */
#define GV_VECTOR (4 * GV_LANES) /* bytes */
#define GV_COEF   4 /* 32-bit words that hold the weights of a quad */
#define GV_BITS   22 /* of a weight behind the point */

/* The weights of one axis.  Output i, 0..out-1 of a window, is made of quads
 * first[i] .. first[i] + quads[i] - 1, at most cap, with coefficients from
 * coef[i * cap * GV_COEF] on; of the inputs, end[i] - 1 is the last one. */
struct gv_axis {
	int32_t out, cap;
	int32_t *first, *quads, *end;
	uint32_t *coef;
};

/* The inner loops in one version.  All buffers are aligned to GV_VECTOR. */
struct gv_passes {
	/* Four weights as the loops want them. */
	void (*coef)(uint32_t c[GV_COEF], const int32_t w[4]);

	/* lanes[c * plane + i * GV_VECTOR]: n quads of columns of channel c of
	 * the 16 rows at `rows`, `stride` bytes apart, of px_bytes a pixel.
	 * Reads up to 15 bytes behind the last of them. */
	void (*lanes)(uint8_t *lanes, size_t plane, const uint8_t *rows,
	    size_t stride, int32_t px_bytes, int32_t n);

	/* Columns: mid[k] gets rows 4 k .. 4 k + 3 of outputs x .. end - 1 of
	 * `a`, and of up to three behind them; output i of channel c is at
	 * 4 (i + c * gv_plane(a->out)).  lanes[0] has quad `left`.  x is a
	 * multiple of 4. */
	void (*columns)(uint8_t *const mid[4], const uint8_t *lanes,
	    size_t plane, int32_t left, const struct gv_axis *a, int32_t x,
	    int32_t end);

	/* Rows: line[0..n-1] = output y of `a`, whose quads are at q[0], q[1]
	 * ...; n is a multiple of GV_VECTOR. */
	void (*rows)(uint8_t *line, const uint8_t *const *q, size_t n,
	    const struct gv_axis *a, int32_t y);

	/* dst[3 * i + c] = line[c * plane + i], i < n. */
	void (*weave)(
	    uint8_t *dst, const uint8_t *line, size_t plane, size_t n);
};

/* The loops of an instruction set, or NULL if this machine has it not. */
const struct gv_passes *gv_passes_of(enum gv_image_isa isa);

/* Bytes of a channel of n samples in a line, whose quads take four times as
 * many. */
static inline size_t
gv_plane(int32_t n)
{
	return ((size_t)n + GV_VECTOR - 1) / GV_VECTOR * GV_VECTOR;
}

#ifdef __cplusplus
}
#endif
#endif
