/* Matrix products by cuBLASLt.
 *
 * cuBLASLt is column-major.  A row-major matrix (r,c) with row stride ld is
 * its column-major matrix (c,r) with leading dimension ld, so a row-major
 * c = a b is asked for as c^T = b^T a^T: b comes first, with op T where the
 * stored b is (N,K) and op N where it is (K,N); then a, with op N where it is
 * stored (M,K) and op T where (K,M); the result has N rows and M columns, and
 * a bias of one number a row of it is our bias of one number a column.
 *
 * Ends: PLAIN, a residual being what the product is added to, in place or not;
 * and ACT and SLOPE with the tanh of GELU, the only one cuBLASLt knows, whose
 * auxiliary matrix is our `pre`.
 *
 * Hopper.  cuBLASLt's kernels of clusters of eight blocks (2 x 4, 4 x 2) are
 * left out: while another process takes turns on the GPU, those that add to c
 * fail now and then, by "illegal instruction" or "unspecified launch failure"
 * (cuBLASLt 13.1, driver 580.159).  Thirty core dumps of seven such kernels
 * name one instruction, an arrival at a barrier, and the one or two blocks of a
 * cluster in which two lanes of a warp arrive at the same one; whether kernels
 * of ours start early around them makes no difference.  BUGS in gv-kernels(7)
 * has the counts, and what it costs.
 */
#include "product.cuh"

struct call { /* cuBLASLt's description of a product */
	cublasLtMatmulDescOpaque_t op;
	cublasLtMatrixLayoutOpaque_t a, b, c; /* ours */
};

/* What the address is a multiple of; 16 is enough for every kernel. */
static uint32_t
alignment(const void *p)
{
	uintptr_t low = (uintptr_t)p & -(uintptr_t)p;

	return low == 0 || low > 16 ? 16 : (uint32_t)low;
}

static cublasLtEpilogue_t
epilogue(const struct product *p)
{
	switch (p->end) {
	case PRODUCT_ACT:
		if (p->pre)
			return p->bias ? CUBLASLT_EPILOGUE_GELU_AUX_BIAS
				       : CUBLASLT_EPILOGUE_GELU_AUX;
		return p->bias ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU;
	case PRODUCT_SLOPE:
		return CUBLASLT_EPILOGUE_DGELU;
	default:
		return p->bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
	}
}

static bool
has_end(const struct product *p)
{
	if (p->end == PRODUCT_PLAIN)
		return true;
	return (p->end == PRODUCT_ACT || p->end == PRODUCT_SLOPE) && p->act == GVK_GELU_TANH &&
	       cuda_vec8(p->pre, p->ldc);
}

template <class T>
static cublasStatus_t
set(struct call *c, cublasStatus_t before, cublasLtMatmulDescAttributes_t name, T value)
{
	if (before != CUBLAS_STATUS_SUCCESS)
		return before;
	return cublasLtMatmulDescSetAttribute(&c->op, name, &value, sizeof value);
}

static bool
describe(struct gvk_stream *s, struct call *c, const struct product *p)
{
	const bool nt = p->kind == PRODUCT_NT, tn = p->kind == PRODUCT_TN;
	cublasStatus_t e = cublasLtMatmulDescInit(&c->op, CUBLAS_COMPUTE_32F, CUDA_R_32F);

	e = set(c, e, CUBLASLT_MATMUL_DESC_TRANSA, nt ? CUBLAS_OP_T : CUBLAS_OP_N);
	e = set(c, e, CUBLASLT_MATMUL_DESC_TRANSB, tn ? CUBLAS_OP_T : CUBLAS_OP_N);
	e = set(c, e, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue(p));
	if (p->bias)
		e = set(c, e, CUBLASLT_MATMUL_DESC_BIAS_POINTER, p->bias);
	if (p->pre) {
		e = set(c, e, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, p->pre);
		e = set(c, e, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, p->ldc);
	}
	if (e == CUBLAS_STATUS_SUCCESS)
		e = cublasLtMatrixLayoutInit(&c->b, CUDA_R_16BF, (uint64_t)(nt ? p->K : p->N),
		    (uint64_t)(nt ? p->N : p->K), p->ldb);
	if (e == CUBLAS_STATUS_SUCCESS)
		e = cublasLtMatrixLayoutInit(&c->a, CUDA_R_16BF, (uint64_t)(tn ? p->M : p->K),
		    (uint64_t)(tn ? p->K : p->M), p->lda);
	if (e == CUBLAS_STATUS_SUCCESS)
		e = cublasLtMatrixLayoutInit(&c->c, p->f32 ? CUDA_R_32F : CUDA_R_16BF,
		    (uint64_t)p->N, (uint64_t)p->M, p->ldc);
	return cuda_lt_ok(s, e, "product");
}

/* What is multiplied by beta and added: our c or r. */
static const void *
added(const struct product *p)
{
	return p->r ? (const void *)p->r : p->c;
}

/* Our b is cuBLASLt's A.  Partial sums of one product are added up in F32. */
static cublasStatus_t
preferences(cublasLtMatmulPreferenceOpaque_t *pref, const struct product *p)
{
	struct {
		cublasLtMatmulPreferenceAttributes_t name;
		uint32_t value;
	} want[] = {
	    {CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE},
	    {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment(p->b)},
	    {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment(p->a)},
	    {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment(added(p))},
	    {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment(p->c)},
	};
	size_t ws = CUDA_LT_WS;
	cublasStatus_t e = cublasLtMatmulPreferenceInit(pref);

	if (e == CUBLAS_STATUS_SUCCESS)
		e = cublasLtMatmulPreferenceSetAttribute(
		    pref, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &ws, sizeof ws);
	for (size_t i = 0; i < sizeof want / sizeof *want && e == CUBLAS_STATUS_SUCCESS; i++)
		e = cublasLtMatmulPreferenceSetAttribute(
		    pref, want[i].name, &want[i].value, sizeof want[i].value);
	return e;
}

/* At most four blocks; those that know no clusters say AUTO. */
static bool
small_cluster(const cublasLtMatmulAlgo_t *way)
{
	uint16_t shape = CUBLASLT_CLUSTER_SHAPE_AUTO;
	size_t got;

	if (cublasLtMatmulAlgoConfigGetAttribute(way, CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID, &shape,
		sizeof shape, &got) != CUBLAS_STATUS_SUCCESS)
		return false;
	switch (shape) {
	case CUBLASLT_CLUSTER_SHAPE_AUTO:
	case CUBLASLT_CLUSTER_SHAPE_1x1x1:
	case CUBLASLT_CLUSTER_SHAPE_1x2x1:
	case CUBLASLT_CLUSTER_SHAPE_1x4x1:
	case CUBLASLT_CLUSTER_SHAPE_2x1x1:
	case CUBLASLT_CLUSTER_SHAPE_2x2x1:
	case CUBLASLT_CLUSTER_SHAPE_4x1x1:
		return true;
	default:
		return false;
	}
}

/* A way that may be taken. */
static bool
fit(const struct cuda_device *dev, const cublasLtMatmulHeuristicResult_t *found)
{
	return found->state == CUBLAS_STATUS_SUCCESS && found->workspaceSize <= CUDA_LT_WS &&
	       (dev->sm != 90 || small_cluster(&found->algo));
}

int
cuda_lt_ways(struct gvk_stream *s, const struct product *p, cublasLtMatmulAlgo_t *way, int cap)
{
	struct cuda_stream *cs = (struct cuda_stream *)s->priv;
	cublasLtMatmulHeuristicResult_t found[CUDA_LT_WAYS];
	cublasLtMatmulPreferenceOpaque_t pref;
	struct call c;
	cublasStatus_t e;
	int n = 0, ways = 0;

	if (!has_end(p) || !describe(s, &c, p) ||
	    !cuda_lt_ok(s, preferences(&pref, p), "product's preferences"))
		return 0;
	e = cublasLtMatmulAlgoGetHeuristic(cs->lt, &c.op, &c.b, &c.a, &c.c, &c.c, &pref,
	    (int)cuda_min(cap, CUDA_LT_WAYS), found, &n);
	if (e == CUBLAS_STATUS_NOT_SUPPORTED)
		return 0;
	if (!cuda_lt_ok(s, e, "product's heuristic"))
		return 0;
	for (int i = 0; i < n; i++)
		if (fit(cs->dev, &found[i]))
			way[ways++] = found[i].algo;
	return ways;
}

bool
cuda_lt(struct gvk_stream *s, const struct product *p, const cublasLtMatmulAlgo_t *way)
{
	struct cuda_stream *cs = (struct cuda_stream *)s->priv;
	const float one = 1, beta = p->add || p->r ? 1.f : 0.f;
	struct call c;
	cublasStatus_t e;

	if (!has_end(p))
		return false;
	if (!describe(s, &c, p))
		return true; /* the stream has failed */
	e = cublasLtMatmul(cs->lt, &c.op, &one, p->b, &c.b, p->a, &c.a, &beta, added(p), &c.c, p->c,
	    &c.c, way, cs->lt_ws, CUDA_LT_WS, cs->st);
	if (e == CUBLAS_STATUS_NOT_SUPPORTED || e == CUBLAS_STATUS_INVALID_VALUE)
		return false; /* another shape's way */
	/* It starts when all before it has run, and writes no weights that a
	 * product reads: so a kernel may start early behind it. */
	cs->soon = true;
	cuda_lt_ok(s, e, "product");
	return true;
}
