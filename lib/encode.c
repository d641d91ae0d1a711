/* The encoder: two batches in turn, and a stream for each direction. */
#include "encode.h"

#include "mem.h"
#include "model_priv.h"

#include <assert.h>

#include "banned.h"

/* A batch on its way: memory for `cap` images. */
struct slot {
	int64_t cap, n;
	uint8_t *image; /* device (cap,H,W,3) */
	int32_t *r_k; /* device (batch): ranges of a last, smaller pass */
	void *out; /* device, (cap) times what an image becomes */
	void *rows; /* the same in host memory */
	struct gvk_graph *graph; /* what a batch of `recorded` images queues */
	int64_t recorded;
};

struct gv_encoder {
	struct gv_model *m;
	enum gv_input to;
	enum gvk_dtype as;
	int64_t batch;
	size_t image_bytes, row; /* of an image; values that it becomes */
	int32_t *r_k; /* device (batch): ranges of a whole pass */
	struct gvk_stream *up, *down; /* copies; the work is done on m->s */
	struct slot slot[GV_ENCODER_DEPTH];
	uint64_t put, fetched, taken; /* batches; fetched: on the way back */
};

/* ---- memory -------------------------------------------------------------- */

static void
release(struct gvk *k, struct slot *s)
{
	gvk_graph_free(k, &s->graph);
	gvk_free(k, s->image);
	gvk_free(k, s->r_k);
	gvk_free(k, s->out);
	gvk_host_free(k, s->rows);
	*s = (struct slot){0};
}

/* Makes room for n images; what the slot held has been taken. */
static int
grow(struct gv_encoder *x, struct slot *s, int64_t n, struct gv_error *e)
{
	size_t bytes = x->row * gvk_dtype_size(x->as);
	struct gvk *k = x->m->k;

	if (n <= s->cap)
		return 0;
	n = n < x->batch ? x->batch : n;
	release(k, s);
	s->image = gvk_alloc(k, (size_t)n * x->image_bytes);
	s->r_k = gvk_alloc(k, (size_t)x->batch * sizeof *s->r_k);
	s->out = gvk_alloc(k, (size_t)n * bytes);
	s->rows = gvk_host_alloc(k, (size_t)n * bytes);
	if (!s->image || !s->r_k || !s->out || !s->rows)
		return gv_fail(
		    e, GV_ERR_NOMEM, "no memory for %lld images", (long long)n);
	s->cap = n;
	return 0;
}

/* Writes where the latents of each image begin in a pass of B images, behind
 * the patches of all. */
static int
put_ranges(struct gv_encoder *x, int32_t *device, int64_t B, struct gv_error *e)
{
	const struct gv_config *c = &x->m->cfg;
	int32_t *at = gv_alloc((size_t)B, sizeof *at);
	int64_t i;
	int r;

	if (!at)
		return gv_fail(e, GV_ERR_NOMEM, "no memory");
	for (i = 0; i < B; i++)
		at[i] = (int32_t)(B * c->vision.P + i * c->R);
	gvk_put(x->up, device, at, (size_t)B * sizeof *at);
	r = gv_sync(x->up, e);
	gv_free(at);
	return r;
}

static int
check_model(const struct gv_model *m, enum gv_input to, struct gv_error *e)
{
	const struct gv_batch one = {.input = GV_IN_IMAGE, .B = 1};

	if (!m->cfg.has_vision || (to == GV_IN_EMBEDS && !m->cfg.has_text))
		return gv_fail(e, GV_ERR_MATCH, "the model encodes no images");
	return gv_check_parts(m, &one, to, e);
}

int
gv_encoder_open(struct gv_encoder **out, struct gv_model *m, enum gv_input to,
    enum gv_dtype as, int64_t batch, struct gv_error *e)
{
	const struct gv_config *c = &m->cfg;
	const struct gv_limits l = {.images = batch};
	struct gv_encoder *x;

	if (check_model(m, to, e))
		return e->code;
	x = gv_alloc(1, sizeof *x);
	if (!x)
		return gv_fail(e, GV_ERR_NOMEM, "no memory for an encoder");
	x->m = m;
	x->to = to;
	x->as = as == GV_BF16 ? GVK_BF16 : GVK_F32;
	x->batch = batch;
	x->image_bytes = (size_t)(c->vision.image * c->vision.image * 3);
	x->row = (size_t)(to == GV_IN_FEATURES ? c->vision.P * c->vision.C
					       : c->R * c->text.C);
	x->r_k = gvk_alloc(m->k, (size_t)batch * sizeof *x->r_k);
	if (!x->r_k || gvk_stream_open(m->k, &x->up) ||
	    gvk_stream_open(m->k, &x->down))
		gv_fail(e, GV_ERR_NOMEM, "no memory for an encoder");
	if (e->code || gv_model_reserve(m, &l, e) ||
	    put_ranges(x, x->r_k, batch, e)) {
		gv_encoder_close(&x);
		return e->code;
	}
	*out = x;
	return 0;
}

void
gv_encoder_close(struct gv_encoder **xp)
{
	struct gv_encoder *x = *xp;
	struct gvk *k;
	int i;

	*xp = NULL;
	if (!x)
		return;
	k = x->m->k;
	/* a stream ends with its work done, and memory goes after that */
	if (x->down)
		gvk_wait(x->down, x->m->s);
	gvk_stream_close(&x->up);
	gvk_stream_close(&x->down);
	for (i = 0; i < GV_ENCODER_DEPTH; i++)
		release(k, &x->slot[i]);
	gvk_free(k, x->r_k);
	gv_free(x);
}

/* ---- batches ------------------------------------------------------------- */

/* Queues B images of a slot, from `first` on. */
static void
pass(struct gv_encoder *x, const struct slot *s, int64_t first, int64_t B)
{
	struct gv_model *m = x->m;
	struct gv_batch b = {.input = GV_IN_IMAGE, .B = B};
	struct acts *a = &m->priv->a;
	size_t at = (size_t)first * x->row, n = (size_t)B * x->row;
	char *out = (char *)s->out + at * gvk_dtype_size(x->as);

	gv_stage_use(m, &b, 0);
	a->in.image = s->image + (size_t)first * x->image_bytes;
	a->in.r_k = B == x->batch ? x->r_k : s->r_k;
	gv_vision_forward(m, &b, x->to);
	gvk_convert(m->s, out, x->as,
	    x->to == GV_IN_FEATURES ? a->features : a->embeds, gvk_dtype(m->k),
	    n);
}

static void
passes(struct gv_encoder *x, const struct slot *s)
{
	int64_t at, left;

	for (at = 0; at < s->n; at += x->batch) {
		left = s->n - at;
		pass(x, s, at, left < x->batch ? left : x->batch);
	}
}

/* Queues a slot's work: recorded, if the slot had as many images before, so
 * that all ops have run once. */
static void
compute(struct gv_encoder *x, struct slot *s, bool again)
{
	struct gvk_stream *to = x->m->s;

	if (!s->n)
		return;
	if (again && s->recorded != s->n) {
		gvk_graph_free(x->m->k, &s->graph);
		s->recorded = 0;
		if (gvk_graph_begin(to)) {
			passes(x, s);
			if (gvk_graph_end(to, &s->graph))
				s->recorded = s->n;
		}
	}
	if (again && s->recorded == s->n)
		gvk_graph_run(to, s->graph);
	else
		passes(x, s);
}

/* Queues the way back of the oldest batch that isn't on it: what has been
 * queued so far is what it waits for. */
static void
fetch(struct gv_encoder *x)
{
	struct slot *s = &x->slot[x->fetched++ % GV_ENCODER_DEPTH];

	gvk_wait(x->down, x->m->s);
	if (s->n)
		gvk_get(x->down, s->rows, s->out,
		    (size_t)s->n * x->row * gvk_dtype_size(x->as));
}

int
gv_encoder_put(
    struct gv_encoder *x, const uint8_t *image, int64_t n, struct gv_error *e)
{
	struct slot *s = &x->slot[x->put % GV_ENCODER_DEPTH];
	int64_t rest = n % x->batch;
	bool again;

	assert(x->put - x->taken < GV_ENCODER_DEPTH);
	if (x->fetched < x->put)
		fetch(x);
	if (grow(x, s, n, e))
		return e->code;
	again = s->n == n;
	s->n = n;
	if (n)
		gvk_put(x->up, s->image, image, (size_t)n * x->image_bytes);
	if (rest && put_ranges(x, s->r_k, rest, e))
		return e->code;
	gvk_wait(x->m->s, x->up);
	compute(x, s, again);
	x->put++;
	return gv_sync(x->up, e);
}

int
gv_encoder_take(struct gv_encoder *x, const void **rows, struct gv_error *e)
{
	assert(x->taken < x->put);
	if (x->fetched == x->taken)
		fetch(x);
	if (gv_sync(x->down, e))
		return e->code;
	*rows = x->slot[x->taken++ % GV_ENCODER_DEPTH].rows;
	return 0;
}
