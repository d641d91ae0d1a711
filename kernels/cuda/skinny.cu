/* Products with few rows: bound by reading b once. */
#include "product.cuh"

bool
cuda_skinny(struct gvk_stream *s, const struct product *p)
{
	(void)s;
	(void)p;
	return false;
}
