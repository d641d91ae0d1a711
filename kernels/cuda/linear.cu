/* Linear layers: one product forward, two backward, each with what follows it
 * as its end (product.cuh).
 *
 * Bound by the products.  db is a pass over dy, 2NO bytes.
 */
#include "product.cuh"

void
gvk_cuda_linear(struct gvk_stream *s, void *y, void *pre, const void *x, const void *w,
    const void *b, const void *r, enum gvk_act act, int64_t N, int64_t C, int64_t O)
{
	struct product p = product_dense(PRODUCT_NT, y, x, w, N, O, C);

	assert(N >= 0 && C > 0 && O > 0 && (act == GVK_ACT_NONE || !r));
	cuda_of(s);
	if (N == 0)
		return;
	p.bias = (const bf16 *)b;
	p.r = (const bf16 *)r;
	if (act != GVK_ACT_NONE) {
		p.end = PRODUCT_ACT;
		p.act = act;
		p.pre = (bf16 *)pre;
	}
	cuda_product(s, &p);
}

/* dx (N,C) = dy (N,O) w (O,C), times act'(pre) if there is one. */
static void
input_gradient(struct gvk_stream *s, void *dx, const void *dy, const void *pre, const void *w,
    enum gvk_act act, bool add, int64_t N, int64_t C, int64_t O)
{
	struct product p = product_dense(PRODUCT_NN, dx, dy, w, N, C, O);

	p.add = add;
	if (pre && act != GVK_ACT_NONE) {
		p.end = PRODUCT_SLOPE;
		p.act = act;
		p.pre = (bf16 *)const_cast<void *>(pre);
	}
	cuda_product(s, &p);
}

/* dw (O,C) += dy^T (O,N) x (N,C). */
static void
weight_gradient(
    struct gvk_stream *s, float *dw, const void *dy, const void *x, int64_t N, int64_t C, int64_t O)
{
	struct product p = product_dense(PRODUCT_TN, dw, dy, x, O, C, N);

	p.f32 = true;
	p.add = true;
	cuda_product(s, &p);
}

void
gvk_cuda_linear_bwd(struct gvk_stream *s, void *dx, float *dw, float *db, const void *dy,
    const void *x, const void *pre, const void *w, enum gvk_act act, bool add, int64_t N, int64_t C,
    int64_t O)
{
	assert(N >= 0 && C > 0 && O > 0 && !(add && pre));
	cuda_of(s);
	if (N == 0)
		return;
	if (dx)
		input_gradient(s, dx, dy, pre, w, act, add, N, C, O);
	if (dw)
		weight_gradient(s, dw, dy, x, N, C, O);
	if (db)
		cuda_colsum(s, db, (const bf16 *)dy, N, O, O);
}
