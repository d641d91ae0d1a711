/* What the rotary embeddings share: the angle's sine and cosine.
 *
 * The angle is the F32 product that the interface names; its reduction is F64,
 * because the angle of position 131071 has no more than 2^-7 of precision to
 * give away, and the polynomials are F32, without the library's slow path and
 * its table in local memory.
 */
#ifndef GVK_CUDA_ROPE_CUH
#define GVK_CUDA_ROPE_CUH

#include "cuda.h"

/* Sine and cosine of a F32 angle, |a| < 2^31: a = q pi/2 + t, |t| <= pi/4. */
static __device__ __forceinline__ void
rope_sincos(float a, float *sine, float *cosine)
{
	double v = rint((double)a * 0.63661977236758134308);
	float t = (float)((double)a - v * 1.57079632679489661923);
	float t2 = t * t, s, c, swap;
	int q = __double2int_rn(v);

	s = -1 / 5040.f + t2 * (1 / 362880.f);
	s = t + t * t2 * (-1 / 6.f + t2 * (1 / 120.f + t2 * s));
	c = -1 / 720.f + t2 * (1 / 40320.f - t2 * (1 / 3628800.f));
	c = 1 + t2 * (-.5f + t2 * (1 / 24.f + t2 * c));
	swap = s;
	s = q & 1 ? c : s;
	c = q & 1 ? swap : c;
	*sine = q & 2 ? -s : s;
	*cosine = (q + 1) & 2 ? -c : c;
}

#endif
