/* The factor that clips a gradient's norm, from its sum of squares. */
#include <math.h>

#include "cpu.h"

void
CPU(clip)(
    struct gvk_stream *s, float scale[2], const double *sum, float max_norm)
{
	double norm = sqrt(*sum), factor = 1;

	(void)s;
	if (max_norm > 0)
		factor = fmin(1, (double)max_norm / (norm + 1e-6));
	scale[1] = (float)norm;
	scale[0] = isfinite(scale[1]) ? (float)factor : 0;
}
