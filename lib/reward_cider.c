/* CIDEr-D of a caption, by coco-caption's cider_scorer.py.
 *
 * Vedantam, Zitnick, Parikh: CIDEr (2015), section 5 and its appendix: for runs
 * of n = 1..4 words, texts are vectors of tf (log N - log max(1, df)), and
 *
 *	sim_n = sum_g min(h_g, r_g) r_g / (|h| |r|) exp(-delta^2 / (2 36))
 *
 * whose mean over n and references, times 10, is the score.  As there, delta
 * is the difference of the numbers of *pairs* of words.
 */
#include "reward_priv.h"

#include "mem.h"
#include "reward_df.h"
#include "reward_ptb_priv.h"
#include "banned.h"

#include <math.h>

#define SIGMA 6.0

/* The runs of one text, with weights, in order of appearance. */
struct vector {
	struct gv_index runs;
	struct weight {
		int n; /* words */
		double w;
	} * run;
	size_t cap;
	double norm[GV_PTB_RUN];
	double pairs;
};

struct cider {
	struct gv_df *df;
	double log_images;
	struct gv_bytes words, scratch;
	struct vector text, answer;
};

static int
count_run(void *arg, struct gv_span run, int n, struct gv_error *e)
{
	struct vector *v = arg;
	void *p = v->run;
	size_t at, before = v->runs.n;

	if (gv_grow(&p, &v->cap, before + 1, sizeof *v->run))
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	v->run = p;
	if (gv_index_add(&v->runs, run, &at, e))
		return e->code;
	if (at == before)
		v->run[at] = (struct weight){n, 0};
	v->run[at].w++;
	v->pairs += n == 2;
	return 0;
}

static int
vector_of(
    struct vector *v, struct cider *c, struct gv_span text, struct gv_error *e)
{
	size_t i;
	int n;

	gv_index_clear(&v->runs);
	v->pairs = 0;
	if (gv_ptb_words(&c->words, &c->scratch, text, e) ||
	    gv_ptb_runs(gv_span_of(&c->words), count_run, v, e))
		return e->code;
	for (n = 0; n < GV_PTB_RUN; n++)
		v->norm[n] = 0;
	for (i = 0; i < v->runs.n; i++) {
		double df = (double)gv_df_of(c->df, gv_index_name(&v->runs, i));

		v->run[i].w *= c->log_images - log(fmax(df, 1));
		v->norm[v->run[i].n - 1] += v->run[i].w * v->run[i].w;
	}
	for (n = 0; n < GV_PTB_RUN; n++)
		v->norm[n] = sqrt(v->norm[n]);
	return 0;
}

/* The sum of sim_n over n. */
static double
similarity(const struct vector *h, const struct vector *r)
{
	double sim[GV_PTB_RUN] = {0}, delta = h->pairs - r->pairs, sum = 0;
	size_t i;
	int n;

	for (i = 0; i < h->runs.n; i++) {
		size_t at = gv_index_find(&r->runs, gv_index_name(&h->runs, i));
		double w;

		if (at == SIZE_MAX)
			continue;
		w = r->run[at].w;
		sim[h->run[i].n - 1] += fmin(h->run[i].w, w) * w;
	}
	for (n = 0; n < GV_PTB_RUN; n++) {
		if (h->norm[n] > 0 && r->norm[n] > 0)
			sim[n] /= h->norm[n] * r->norm[n];
		sum += sim[n] * exp(-(delta * delta) / (2 * SIGMA * SIGMA));
	}
	return sum;
}

static int
judge_cider(
    void *own, const struct gv_judged *in, double *out, struct gv_error *e)
{
	struct cider *c = own;
	double sum = 0;
	size_t i;

	if (vector_of(&c->text, c, in->text, e))
		return e->code;
	for (i = 0; i < in->nanswers; i++) {
		if (vector_of(&c->answer, c, in->answers[i], e))
			return e->code;
		sum += similarity(&c->text, &c->answer);
	}
	*out = 10 * sum / GV_PTB_RUN / (double)in->nanswers;
	return 0;
}

static void
close_cider(void *own)
{
	struct cider *c = own;

	if (!c)
		return;
	gv_df_close(&c->df);
	gv_free(c->words.s);
	gv_free(c->scratch.s);
	gv_index_free(&c->text.runs);
	gv_index_free(&c->answer.runs);
	gv_free(c->text.run);
	gv_free(c->answer.run);
	gv_free(c);
}

static int
open_cider(void **own, const struct gv_reward_opts *o, const char *arg,
    struct gv_error *e)
{
	struct cider *c;

	(void)arg;
	if (!o->df)
		return gv_fail(e, GV_ERR_USAGE,
		    "task 'cider' needs --df FILE (made by --make-df)");
	c = *own = gv_alloc(1, sizeof *c);
	if (!c)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	if (gv_df_load(&c->df, o->df, e))
		return e->code;
	c->log_images = log((double)gv_df_images(c->df));
	return 0;
}

const struct gv_task gv_task_cider = {.name = "cider",
    .needs = GV_NEED_ANSWERS,
    .open = open_cider,
    .judge = judge_cider,
    .close = close_cider};
