/* Matrix products on the pool, with what follows a product done while its
 * result is in the cache.  Beneath linear, logits and xent. */
#ifndef GVK_GEMM_H
#define GVK_GEMM_H

#include "cpu.h"

/* What is done to finished rows of C, columns at..at+n-1: C's row starts at
 * column 0.  Called once for each element. */
typedef void gemm_epilogue(
    const void *arg, float *c_row, int64_t row, int64_t at, int64_t n);

/* C (M,N) (+)= A (M,K) B (K,N).
 *	NT	A rows of lda, B = (N,K) rows of ldb, transposed
 *	NN	A rows of lda, B rows of ldb
 *	TN	A = (K,M) rows of lda, transposed, B rows of ldb
 * BF16 numbers of B are widened as they are read, and the sums have the order
 * that they have for F32: C's bits are those of a B that was widened before.
 */
enum gemm_kind { GEMM_NT, GEMM_NN, GEMM_TN };

struct gemm {
	enum gemm_kind kind;
	int64_t M, N, K;
	const float *a;
	const void *b;
	enum gvk_dtype b_type; /* NT: F32 or BF16; else F32 */
	float *c;
	int64_t lda, ldb, ldc;
	bool add;
	float *a_sum; /* TN: += the sum of A's rows (M), or NULL */
	gemm_epilogue *epilogue; /* or NULL */
	const void *arg;
};

void CPU(gemm)(struct gvk_pool *pool, const struct gemm *g);

#endif
