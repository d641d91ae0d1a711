/* A whole model, forward and backward, on the device against the CPU with the
 * same weights; and that what the device does ahead, again or in another
 * micro-batch's time gives the same bits.
 */
#include "batch.h"
#include "check.h"
#include "mem.h"
#include "model_priv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define V     300
#define ROWS  16 /* of an image */
#define IMAGE 5 /* the id of their placeholders */
#define SIDE  64
#define LONG  200 /* rows of a batch at most */

static struct gv_error e;

static void
must(int r)
{
	if (r < 0 || e.code) {
		printf("Bail out! %s\n", e.msg);
		exit(1);
	}
}

static struct gv_model *
make(struct gvk *k)
{
	static const char text[] =
	    "{'model_type':'ghostvis','text_config':{'model_type':'qwen2',"
	    "'vocab_size':300,'hidden_size':256,'intermediate_size':320,"
	    "'num_hidden_layers':3,'num_attention_heads':4,"
	    "'num_key_value_heads':2,'max_position_embeddings':256,"
	    "'rope_theta':1e4,'rms_norm_eps':1e-6,'hidden_act':'silu',"
	    "'tie_word_embeddings':true},'vision_config':{"
	    "'model_type':'siglip_vision_model','image_size':64,"
	    "'patch_size':8,'hidden_size':128,'intermediate_size':344,"
	    "'num_hidden_layers':2,'num_attention_heads':2},"
	    "'vision_feature_layer':-1,'vision_post_norm':true,"
	    "'resampler':{'type':'perceiver','rows':16,'blocks':2,'heads':2},"
	    "'projector':{'hidden_size':192,'act':'gelu'},'image_token_id':5,"
	    "'init':{'gain':1,'patch':0.4,'position':0.02,'embedding':0.1}}";
	char json[sizeof text];
	struct gv_config c = {0};
	struct gv_model *m;
	json_t *o;
	size_t i;

	for (i = 0; i < sizeof text; i++)
		json[i] = (char)(text[i] == '\'' ? '"' : text[i]);
	o = json_loads(json, 0, NULL);
	must(gv_config_parse(&c, o, &e));
	json_decref(o);
	must(gv_model_new(&m, k, &c, ~0u, &e));
	must(gv_model_init(m, 7, &e));
	return m;
}

/* What storage has rounded is exact for both. */
static void
copy_weights(struct gv_model *to, struct gv_model *from)
{
	int p;

	for (p = 0; p < GV_PARTS; p++) {
		size_t n = from->part[p].n;
		float *v = gv_alloc(n, sizeof *v);

		if (!v)
			exit(1);
		must(gv_get_f32(
		    from, v, from->part[p].w, gvk_dtype(from->k), n, &e));
		must(gv_put_f32(to, to->part[p].w, v, n, &e));
		gv_free(v);
	}
}

/* ---- batches ------------------------------------------------------------- */

/* One example: `seqs` sequences of n tokens, each with the image, if there is
 * one, behind its first two, all of them trained on what follows it. */
static void
add(struct chk *c, struct gv_packer *p, int seqs, int n, bool image)
{
	static uint8_t px[3 * SIDE * SIDE];
	int32_t token[LONG], target[LONG], start[8], at[8], d, i;
	struct gv_example x = {.token = token,
	    .target = target,
	    .start = start,
	    .image_at = at,
	    .D = seqs,
	    .T = seqs * n};
	int32_t first = image ? 2 + ROWS : 0;

	for (i = 0; i < x.T; i++) {
		token[i] = 6 + (int32_t)chk_below(c, V - 6);
		target[i] = i % n < first || i % n == n - 1
				? -1
				: (int32_t)chk_below(c, V);
		x.trained += target[i] >= 0;
	}
	for (d = 0; d <= seqs; d++)
		start[d] = d * n;
	for (d = 0; image && d < seqs; d++) {
		token[d * n] = token[0];
		token[d * n + 1] = token[1];
		for (i = 0; i < ROWS; i++)
			token[d * n + 2 + i] = IMAGE;
		at[x.runs++] = d * n + 2;
	}
	if (image) {
		for (i = 0; i < (int32_t)sizeof px; i++)
			px[i] = (uint8_t)chk_below(c, 256);
		x.N = 1;
		x.input = GV_IN_IMAGE;
		x.dtype = GV_U8;
		x.image = px;
		x.image_bytes = sizeof px;
	}
	must(gv_packer_add(p, &x, &e));
}

#define BATCHES 3
struct data {
	struct gv_packer *packer[BATCHES];
	struct gv_batch b[BATCHES];
	int64_t M; /* of all */
};

static void
make_data(struct chk *c, struct data *d, const struct gv_config *cfg)
{
	const int32_t *bytes;
	int i;

	d->M = 0;
	for (i = 0; i < BATCHES; i++) {
		must(gv_packer_open(&d->packer[i], cfg, LONG, 2, &e));
		if (i != 1)
			add(c, d->packer[i], 3, 30 + i, true);
		add(c, d->packer[i], 1, 61 - i, false);
		if (i == 0)
			add(c, d->packer[i], 1, 25, true);
		gv_packer_batch(d->packer[i], -0.01f, &d->b[i], &bytes);
		d->M += d->b[i].M;
	}
}

static void
free_data(struct data *d)
{
	int i;

	for (i = 0; i < BATCHES; i++)
		gv_packer_close(&d->packer[i]);
}

/* ---- passes -------------------------------------------------------------- */

/* How a step is run. */
enum how { WAIT, AHEAD, AGAIN };

struct result {
	size_t M, n;
	float *logp; /* pinned */
	float *grad; /* of all parts, one after the other */
};

static struct result
run(struct gv_model *m, struct data *d, enum how how)
{
	struct result r = {.M = (size_t)d->M};
	struct gv_limits l;
	size_t at = 0;
	int i;

	gv_packer_limits(d->packer[0], true, &l);
	l.recompute = how == AGAIN;
	must(gv_model_train(m, 0xf, &e));
	must(gv_model_reserve(m, &l, &e));
	r.logp = gvk_host_alloc(m->k, r.M * sizeof *r.logp);
	for (i = 0; i < GV_PARTS; i++)
		r.n += m->part[i].n;
	r.grad = gv_alloc(r.n, sizeof *r.grad);
	if (!r.logp || !r.grad)
		exit(1);
	for (i = 0; i < BATCHES; i++) {
		must(gv_model_queue_loss(
		    m, &d->b[i], true, r.logp + at, NULL, &e));
		if (how == AHEAD && i + 1 < BATCHES)
			must(gv_model_feed(m, &d->b[i + 1], &e));
		if (how == WAIT)
			must(gv_model_sync(m, &e));
		at += (size_t)d->b[i].M;
	}
	for (at = 0, i = 0; i < GV_PARTS; i++) {
		must(gv_get_f32(m, r.grad + at, m->part[i].grad, GVK_F32,
		    m->part[i].n, &e));
		at += m->part[i].n;
	}
	return r;
}

static void
drop(struct gv_model *m, struct result *r)
{
	gvk_host_free(m->k, r->logp);
	gv_free(r->grad);
}

static bool
same(const struct result *a, const struct result *b)
{
	return !memcmp(a->logp, b->logp, a->M * sizeof *a->logp) &&
	       !memcmp(a->grad, b->grad, a->n * sizeof *a->grad);
}

/* |a - b| / |b|, of all elements; NaN if there is one. */
static double
distance(const float *a, const float *b, size_t n)
{
	double d = 0, s = 0, x;
	size_t i;

	for (i = 0; i < n; i++) {
		x = (double)a[i] - (double)b[i];
		d += x * x;
		s += (double)b[i] * (double)b[i];
	}
	return sqrt(d / s);
}

/* ---- the check ----------------------------------------------------------- */

/* What BF16 storage may cost; an H100 stays below both. */
#define LOGP 0.01
#define GRAD 0.08

static void
compare(struct chk *c, struct gv_model *m, struct data *d, struct result *got)
{
	double logp = gvk_is_host(c->k) ? 1e-6 : LOGP;
	double grad = gvk_is_host(c->k) ? 1e-6 : GRAD, x;
	struct gv_model *cpu;
	struct result want;
	struct gvk *k;
	size_t at = 0, i, n;
	int p;

	must(gv_backend_open(&k, "cpu", 1, &e));
	cpu = make(k);
	copy_weights(cpu, m);
	want = run(cpu, d, WAIT);
	x = distance(got->logp, want.logp, got->M);
	chk_ok(c, x <= logp, "%zu log-probabilities: %.2e of %.0e", got->M, x,
	    logp);
	for (p = 0; p < GV_PARTS; p++, at += n) {
		n = m->part[p].n;
		x = distance(got->grad + at, want.grad + at, n);
		chk_ok(c, x <= grad, "gradients of %s: %.2e of %.0e",
		    gv_part_name((enum gv_part)p), x, grad);
		/* a tenth of them gone must be seen */
		for (i = 0; i < n; i += 10)
			want.grad[at + i] = 0;
		x = distance(got->grad + at, want.grad + at, n);
		chk_ok(c, !(x <= grad), "and of a wrong one: %.2e", x);
	}
	drop(cpu, &want);
	gv_model_close(&cpu);
	gvk_close(&k);
}

static void
check(struct chk *c)
{
	struct gv_model *m = make(c->k);
	struct result a, b;
	struct data d;

	make_data(c, &d, &m->cfg);
	a = run(m, &d, WAIT);
	if (c->ref)
		compare(c, m, &d, &a);
	b = run(m, &d, WAIT);
	chk_ok(c, same(&a, &b), "twice, the same bits");
	drop(m, &b);
	b = run(m, &d, AHEAD);
	chk_ok(c, same(&a, &b), "the same with the next batch on its way");
	drop(m, &b);
	b = run(m, &d, AGAIN);
	chk_ok(c, same(&a, &b), "the same with layers that are run again");
	drop(m, &b);
	drop(m, &a);
	free_data(&d);
	gv_model_close(&m);
	chk_end(c);
}

int
main(int argc, char **argv)
{
	return chk_main(argc, argv, check);
}
