/* Matrix products of bf16 for linear, logits and xent: cuBLASLt behind one
 * row-major description (product.cu). */
#ifndef GVK_CUDA_PRODUCT_CUH
#define GVK_CUDA_PRODUCT_CUH

#include "cuda.h"

/* The stored shapes of a and b in c (M,N) (+)= a b with the inner size K. */
enum product_kind {
	PRODUCT_NT, /* a (M,K), b (N,K): c = a b^T */
	PRODUCT_NN, /* a (M,K), b (K,N): c = a b */
	PRODUCT_TN  /* a (K,M), b (K,N): c = a^T b */
};

/* All row-major, ld... = row stride in elements.  Accumulation is F32; c is
 * rounded once, after the bias and what was there have been added. */
struct product {
	enum product_kind kind;
	int64_t M, N, K; /* all > 0 */
	const bf16 *a;
	int64_t lda;
	const bf16 *b;
	int64_t ldb;
	void *c; /* bf16, or float if f32 */
	int64_t ldc;
	const bf16 *bias; /* (N) or NULL: added to each row; not with f32 */
	bool f32;
	bool add; /* c += */
};

/* Queues the product.  Equal bits for equal inputs: no scheme that adds up in
 * c's type or in an order that may change is allowed to cuBLASLt. */
void cuda_product(struct gvk_stream *s, const struct product *p);

#endif
