/* Matrix products by cuBLASLt.
 *
 * cuBLASLt is column-major.  A row-major matrix (r,c) with row stride ld is
 * its column-major matrix (c,r) with leading dimension ld, so a row-major
 * c = a b is asked for as c^T = b^T a^T: b comes first, with op T where the
 * stored b is (N,K) and op N where it is (K,N); then a, with op N where it is
 * stored (M,K) and op T where (K,M); the result has N rows and M columns, and
 * a bias of one number a row of it is our bias of one number a column.
 *
 * The heuristic's first answer for a shape is kept in the stream's table
 * (lt_cache), so each shape is looked up once.
 */
#include "product.cuh"

#include <stdlib.h>
#include <string.h>

#define PLANS 512 /* shapes a stream remembers */
#define TRIES 8 /* answers asked from the heuristic */

/* What the choice of an algorithm depends on; compared as bytes. */
struct key {
	int64_t M, N, K, lda, ldb, ldc;
	int32_t kind, f32, add, bias, align_a, align_b, align_c, align_r;
	int32_t used, none;
};

struct plan {
	struct key key;
	cublasLtMatmulAlgo_t algo;
	bool found; /* else it is not for cuBLASLt */
};

struct call { /* cuBLASLt's description of a product */
	cublasLtMatmulDescOpaque_t op;
	cublasLtMatrixLayoutOpaque_t a, b, c; /* ours */
};

/* What the address is a multiple of; 16 is enough for every kernel. */
static int32_t
alignment(const void *p)
{
	uintptr_t low = (uintptr_t)p & -(uintptr_t)p;

	return low == 0 || low > 16 ? 16 : (int32_t)low;
}

static struct key
key_of(const struct product *p)
{
	struct key k;

	memset(&k, 0, sizeof k);
	k.M = p->M;
	k.N = p->N;
	k.K = p->K;
	k.lda = p->lda;
	k.ldb = p->ldb;
	k.ldc = p->ldc;
	k.kind = p->kind;
	k.f32 = p->f32;
	k.add = p->add ? 1 : p->r == p->c ? 2 : p->r ? 3 : 0;
	k.bias = p->bias != NULL;
	k.align_a = alignment(p->a);
	k.align_b = alignment(p->b);
	k.align_c = alignment(p->c);
	k.align_r = alignment(p->r);
	k.used = 1;
	return k;
}

static uint64_t
hash(const struct key *k)
{
	const unsigned char *b = (const unsigned char *)k;
	uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */

	for (size_t i = 0; i < sizeof *k; i++)
		h = (h ^ b[i]) * 0x100000001b3u;
	return h ^ h >> 32;
}

static bool
describe(struct gvk_stream *s, struct call *c, const struct product *p)
{
	cudaDataType_t out = p->f32 ? CUDA_R_32F : CUDA_R_16BF;
	cublasOperation_t op_b = p->kind == PRODUCT_NT ? CUBLAS_OP_T : CUBLAS_OP_N;
	cublasOperation_t op_a = p->kind == PRODUCT_TN ? CUBLAS_OP_T : CUBLAS_OP_N;
	cublasLtEpilogue_t bias = CUBLASLT_EPILOGUE_BIAS;
	int64_t b_rows = p->kind == PRODUCT_NT ? p->K : p->N;
	int64_t a_rows = p->kind == PRODUCT_TN ? p->M : p->K;
	cublasStatus_t e;

	e = cublasLtMatmulDescInit(&c->op, CUBLAS_COMPUTE_32F, CUDA_R_32F);
	if (e == CUBLAS_STATUS_SUCCESS)
		e = cublasLtMatmulDescSetAttribute(
		    &c->op, CUBLASLT_MATMUL_DESC_TRANSA, &op_b, sizeof op_b);
	if (e == CUBLAS_STATUS_SUCCESS)
		e = cublasLtMatmulDescSetAttribute(
		    &c->op, CUBLASLT_MATMUL_DESC_TRANSB, &op_a, sizeof op_a);
	if (e == CUBLAS_STATUS_SUCCESS && p->bias)
		e = cublasLtMatmulDescSetAttribute(
		    &c->op, CUBLASLT_MATMUL_DESC_EPILOGUE, &bias, sizeof bias);
	if (e == CUBLAS_STATUS_SUCCESS && p->bias)
		e = cublasLtMatmulDescSetAttribute(
		    &c->op, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &p->bias, sizeof p->bias);
	if (e == CUBLAS_STATUS_SUCCESS)
		e = cublasLtMatrixLayoutInit(&c->b, CUDA_R_16BF, (uint64_t)b_rows,
		    (uint64_t)(p->kind == PRODUCT_NT ? p->N : p->K), p->ldb);
	if (e == CUBLAS_STATUS_SUCCESS)
		e = cublasLtMatrixLayoutInit(&c->a, CUDA_R_16BF, (uint64_t)a_rows,
		    (uint64_t)(p->kind == PRODUCT_TN ? p->K : p->M), p->lda);
	if (e == CUBLAS_STATUS_SUCCESS)
		e = cublasLtMatrixLayoutInit(&c->c, out, (uint64_t)p->N, (uint64_t)p->M, p->ldc);
	return cuda_lt_ok(s, e, "product");
}

/* Our b is cuBLASLt's A. */
static cublasStatus_t
preferences(cublasLtMatmulPreferenceOpaque_t *pref, const struct key *k)
{
	struct {
		cublasLtMatmulPreferenceAttributes_t name;
		uint32_t value;
	} set[] = {
	    {CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE},
	    {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, (uint32_t)k->align_b},
	    {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, (uint32_t)k->align_a},
	    {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
	     (uint32_t)cuda_min(k->align_c, k->align_r)},
	    {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, (uint32_t)k->align_c},
	};
	size_t ws = CUDA_LT_WS;
	cublasStatus_t e = cublasLtMatmulPreferenceInit(pref);

	if (e == CUBLAS_STATUS_SUCCESS)
		e = cublasLtMatmulPreferenceSetAttribute(
		    pref, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &ws, sizeof ws);
	for (size_t i = 0; i < sizeof set / sizeof *set && e == CUBLAS_STATUS_SUCCESS; i++)
		e = cublasLtMatmulPreferenceSetAttribute(
		    pref, set[i].name, &set[i].value, sizeof set[i].value);
	return e;
}

/* Asks the heuristic; a shape that it has no kernel for is no error. */
static bool
choose(struct gvk_stream *s, struct plan *plan, struct call *c)
{
	struct cuda_stream *cs = (struct cuda_stream *)s->priv;
	cublasLtMatmulHeuristicResult_t result[TRIES];
	cublasLtMatmulPreferenceOpaque_t pref;
	cublasStatus_t e;
	int n = 0;

	plan->found = false;
	if (!cuda_lt_ok(s, preferences(&pref, &plan->key), "product's preferences"))
		return false;
	e = cublasLtMatmulAlgoGetHeuristic(
	    cs->lt, &c->op, &c->b, &c->a, &c->c, &c->c, &pref, TRIES, result, &n);
	if (e != CUBLAS_STATUS_SUCCESS && e != CUBLAS_STATUS_NOT_SUPPORTED)
		return cuda_lt_ok(s, e, "product's heuristic");
	if (e == CUBLAS_STATUS_NOT_SUPPORTED)
		n = 0;
	for (int i = 0; i < n && !plan->found; i++) {
		plan->found = result[i].state == CUBLAS_STATUS_SUCCESS &&
			      result[i].workspaceSize <= CUDA_LT_WS;
		plan->algo = result[i].algo;
	}
	return true;
}

/* The plan for this key, made if it is new; NULL after a failure.  Where eight
 * places are taken by others the first of them is made anew. */
static struct plan *
plan_for(struct gvk_stream *s, const struct key *key, struct call *c)
{
	struct cuda_stream *cs = (struct cuda_stream *)s->priv;
	struct plan *table = (struct plan *)cs->lt_cache, *to = NULL;
	uint64_t h = hash(key);

	if (!table) {
		table = (struct plan *)calloc(PLANS, sizeof *table);
		if (!table) {
			gvk_stream_fail(s, "out of memory");
			return NULL;
		}
		cs->lt_cache = table;
		cs->lt_free = free;
	}
	for (int i = 0; i < 8; i++) {
		struct plan *at = &table[(h + (uint64_t)i) % PLANS];

		if (at->key.used && memcmp(&at->key, key, sizeof *key) == 0)
			return at;
		if (!at->key.used && !to)
			to = at;
	}
	if (!to)
		to = &table[h % PLANS];
	to->key = *key;
	if (choose(s, to, c))
		return to;
	to->key.used = 0;
	return NULL;
}

bool
cuda_lt(struct gvk_stream *s, const struct product *p)
{
	struct cuda_stream *cs = (struct cuda_stream *)s->priv;
	const float one = 1, beta = p->add || p->r ? 1.f : 0.f;
	const void *r = p->r ? (const void *)p->r : p->c;
	struct key key = key_of(p);
	struct call c;
	struct plan *plan;
	cublasStatus_t e;

	if (p->end != PRODUCT_PLAIN)
		return false;
	if (!describe(s, &c, p))
		return true; /* the stream has failed */
	plan = plan_for(s, &key, &c);
	if (!plan)
		return true;
	if (!plan->found)
		return false;
	e = cublasLtMatmul(cs->lt, &c.op, &one, p->b, &c.b, p->a, &c.a, &beta, r, &c.c, p->c, &c.c,
	    &plan->algo, cs->lt_ws, CUDA_LT_WS, cs->st);
	if (e != CUBLAS_STATUS_NOT_SUPPORTED)
		return cuda_lt_ok(s, e, "product"), true;
	plan->found = false; /* and stays so */
	return false;
}
