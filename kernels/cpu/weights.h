/* Weights as an op of the CPU backend reads them: F32, or BF16 that is widened
 * on the way (gvk_wtype), which changes no bit of the result. */
#ifndef GVK_CPU_WEIGHTS_H
#define GVK_CPU_WEIGHTS_H

#include <string.h>

#include "cpu.h"

/* y = the n BF16 numbers at p. */
static inline void
cpu_widen(float *y, const uint16_t *p, int64_t n)
{
#pragma omp simd
	for (int64_t i = 0; i < n; i++) {
		uint32_t u = (uint32_t)p[i] << 16;

		memcpy(&y[i], &u, sizeof u);
	}
}

/* Weights at..at+n-1 as F32: where they are, or widened into buf (n). */
static inline const float *
cpu_weights(
    float *buf, const void *w, enum gvk_dtype type, int64_t at, int64_t n)
{
	if (type == GVK_F32)
		return (const float *)w + at;
	cpu_widen(buf, (const uint16_t *)w + at, n);
	return buf;
}

#endif
