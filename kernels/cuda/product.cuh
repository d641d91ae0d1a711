/* Matrix products of bf16 for linear, gated, logits and xent, with what is done
 * to the result before it is stored.
 *
 * cuda_product() (product.cu) picks who makes a product:
 *	skinny.cu	few rows: bound by reading b once
 *	gemm.cu		our own tiles on wgmma and TMA (sm_90a)
 *	lt.cu		cuBLASLt
 *	plain.cu	what all of these refuse (shapes, alignment)
 * with a pass behind those that lack an end.
 */
#ifndef GVK_CUDA_PRODUCT_CUH
#define GVK_CUDA_PRODUCT_CUH

#include "cuda.h"

/* The stored shapes of a and b in z (M,N) = a b with the inner size K. */
enum product_kind {
	PRODUCT_NT, /* a (M,K), b (N,K): z = a b^T */
	PRODUCT_NN, /* a (M,K), b (K,N): z = a b */
	PRODUCT_TN /* a (K,M), b (K,N): z = a^T b */
};

/* What becomes of z.  All but PLAIN have bf16 results. */
enum product_end {
	PRODUCT_PLAIN, /* c = z + bias + r, or c += z */
	PRODUCT_ACT, /* c = act(z + bias); pre = z + bias, if not NULL */
	PRODUCT_SLOPE, /* c = z act'(pre) */
	PRODUCT_GATED, /* NT with b (2N,K): z has the g in its first N columns,
			* the u in the others; c (M,N) = silu(g) u; gu (M,2N)
			* = z, if not NULL */
	PRODUCT_GATED_BWD /* z is the gradient of silu(g) u, g and u in gu
			   * (M,2N): c (M,2N) = gradient of gu, which may be gu;
			   * y (M,N) = silu(g) u, if not NULL */
};

/* All row-major, ld... = row stride in elements.  Accumulation is F32; c is
 * rounded once, but for the ends of the gate, before which z may be rounded. */
struct product {
	enum product_kind kind;
	enum product_end end;
	int64_t M, N, K; /* all > 0 */
	const bf16 *a;
	int64_t lda;
	const bf16 *b;
	int64_t ldb;
	void *c; /* bf16, or float if f32 */
	int64_t ldc;
	bool f32; /* PLAIN only; no bias, no r */
	bool add; /* PLAIN only; no bias, no r */
	const bf16 *bias; /* (N) or NULL; PLAIN and ACT */
	const bf16 *r; /* PLAIN: row stride ldc; NULL, or it may be c */
	enum gvk_act act;
	bf16 *pre; /* row stride ldc */
	bf16 *gu; /* row stride 2N; in for GATED_BWD */
	bf16 *y; /* row stride N */
	void *tmp; /* GATED: (M,2N), GATED_BWD: (M,N), for who needs it */
};

/* A PLAIN product of dense matrices: row strides are row lengths. */
static inline struct product
product_dense(
    enum product_kind kind, void *c, const void *a, const void *b, int64_t M, int64_t N, int64_t K)
{
	struct product p = {};

	p.kind = kind;
	p.M = M;
	p.N = N;
	p.K = K;
	p.a = (const bf16 *)a;
	p.lda = kind == PRODUCT_TN ? M : K;
	p.b = (const bf16 *)b;
	p.ldb = kind == PRODUCT_NT ? K : N;
	p.c = c;
	p.ldc = N;
	return p;
}

/* Queues the product.  Equal bits for equal inputs: no scheme that adds up in
 * c's type or in an order that may change is allowed. */
void cuda_product(struct gvk_stream *s, const struct product *p);

/* Each of these queues the product and returns true, or does nothing and
 * returns false if it is not for it.  A failure of the stream is not false. */
bool cuda_skinny(struct gvk_stream *s, const struct product *p);
bool cuda_gemm(struct gvk_stream *s, const struct product *p);
bool cuda_lt(struct gvk_stream *s, const struct product *p, const cublasLtMatmulAlgo_t *way);

/* Whether cuda_gemm() would take it; and cuBLASLt's algorithms for it, what it
 * thinks best first, of which none adds up in another type than F32. */
#define CUDA_LT_WAYS 16
bool cuda_gemm_can(struct gvk_stream *s, const struct product *p);
int cuda_lt_ways(struct gvk_stream *s, const struct product *p, cublasLtMatmulAlgo_t *way, int cap);

/* Any PLAIN product. */
void cuda_plain(struct gvk_stream *s, const struct product *p);

#endif
