/* The factor that clips a gradient's norm, from its sum of squares: one
 * thread, bound by its launch.  The next rung is sumsq's last block. */
#include "cuda.h"

static __global__ void
clip_kernel(float *scale, const double *sum, float max_norm)
{
	double norm, factor = 1;

	cuda_follow();
	norm = sqrt(*sum);

	if (max_norm > 0)
		factor = fmin(1.0, (double)max_norm / (norm + 1e-6));
	scale[1] = (float)norm;
	scale[0] = isfinite((float)norm) ? (float)factor : 0;
}

void
gvk_cuda_clip(struct gvk_stream *s, float scale[2], const double *sum, float max_norm)
{
	cuda_of(s);
	CUDA_LAUNCH_SOON(s, clip_kernel, 1, 1, 0, scale, sum, max_norm);
}
