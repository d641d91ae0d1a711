/* The product with few rows (skinny.cu) that takes the norm before it along. */
#ifndef GVK_CUDA_SKINNY_CUH
#define GVK_CUDA_SKINNY_CUH

#include "product.cuh"

/* The product of p with the rows of a normalised first, as by gvk_rmsnorm with
 * the weight w (K): queues it and returns true, or does nothing and returns
 * false if it is not for it. */
bool cuda_skinny_norm(struct gvk_stream *s, const struct product *p, const bf16 *w, float eps);

#endif
