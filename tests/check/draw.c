/* Draws of a small model with QK norm, min-p and a penalty for repetition: what
 * a device does ahead of the host gives the bits of what it does step by step.
 */
#include "check.h"
#include "draw.h"
#include "mem.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define V     500
#define ROWS  3 /* sequences */
#define FIRST 6 /* tokens of the first, one more of each next */
#define STEPS 14
#define MOST  (FIRST + ROWS + STEPS) /* tokens of a sequence */

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
	    "{\"model_type\":\"qwen3\",\"vocab_size\":500,\"hidden_size\":128,"
	    "\"intermediate_size\":192,\"num_hidden_layers\":3,"
	    "\"num_attention_heads\":4,\"num_key_value_heads\":2,"
	    "\"head_dim\":64,\"max_position_embeddings\":256,"
	    "\"rope_theta\":1e4,\"rms_norm_eps\":1e-6,"
	    "\"hidden_act\":\"silu\",\"tie_word_embeddings\":true}";
	struct gv_config c = {0};
	struct gv_model *m;
	json_t *o = json_loads(text, 0, NULL);

	must(gv_config_parse(&c, o, &e));
	json_decref(o);
	must(gv_model_new(&m, k, &c, ~0u, &e));
	must(gv_model_init(m, 7, &e));
	return m;
}

struct run {
	int32_t token[ROWS][MOST]; /* prompts, then what was drawn */
	float logp[ROWS][STEPS];
};

/* The arrays of a batch; sequence s has cache rows s MOST, ... */
struct batch {
	struct gv_batch b;
	int32_t id[ROWS * MOST], pos[ROWS * MOST], kv[ROWS * MOST];
	int32_t q_at[ROWS + 1], p_at[ROWS], p_len[ROWS];
	int32_t k_at[ROWS], k_len[ROWS], out[ROWS];
	uint64_t seed[ROWS], counter[ROWS];
};

/* Step 0 is the prompts, step i token i - 1 of those drawn; ahead of it the
 * host has no such token. */
static void
fill(struct batch *a, const struct run *r, int step, bool ahead)
{
	struct gv_batch *b = &a->b;

	memset(a, 0, sizeof *a);
	*b = (struct gv_batch){.id = a->id,
	    .pos = a->pos,
	    .kv_row = a->kv,
	    .q_at = a->q_at,
	    .p_at = a->p_at,
	    .p_len = a->p_len,
	    .k_at = a->k_at,
	    .k_len = a->k_len,
	    .out = a->out,
	    .seed = a->seed,
	    .counter = a->counter,
	    .max_q = step ? 1 : FIRST + ROWS,
	    .max_k = MOST};
	for (int s = 0; s < ROWS; s++) {
		int have = FIRST + s + step, n = step ? 1 : have;

		for (int i = have - n; i < have; i++, b->N++) {
			a->id[b->N] = ahead ? 0 : r->token[s][i];
			a->pos[b->N] = i;
			a->kv[b->N] = s * MOST + i;
		}
		a->k_at[s] = s * MOST;
		a->k_len[s] = have;
		a->out[b->M++] = (int32_t)b->N - 1;
		a->seed[s] = 11 + (uint64_t)s;
		a->counter[s] = (uint64_t)have;
		a->q_at[++b->S] = (int32_t)b->N;
	}
}

static void
take(struct gv_draw *d, struct run *r, int step)
{
	const int32_t *id;
	const float *logp;

	must(gv_draw_take(d, &id, &logp, &e));
	for (int s = 0; s < ROWS; s++) {
		r->token[s][FIRST + s + step] = id[s];
		r->logp[s][step] = logp[s];
	}
}

/* Every pass waited for, with its histories told; or each chained to the last,
 * whose draws are taken after it has been put. */
static void
draws(struct gv_model *m, struct run *r, const struct gvk_sampler *law,
    bool chained)
{
	const struct gv_limits l = {.tokens = ROWS * (FIRST + ROWS),
	    .seqs = ROWS,
	    .outs = ROWS,
	    .max_q = FIRST + ROWS,
	    .max_k = MOST,
	    .kv_rows = ROWS * MOST};
	static const uint8_t ban[V] = {1, 1};
	struct batch a;
	struct gv_draw *d;

	must(gv_draw_open(&d, m, &l, ban, law, &e));
	for (int s = 0; s < ROWS; s++)
		for (int i = 0; i < FIRST + s; i++)
			r->token[s][i] = 2 + (i * 37 + s * 101) % (V - 2);
	for (int step = 0; step < STEPS; step++) {
		bool ahead = chained && step;

		fill(&a, r, step, ahead);
		for (int s = 0; s < ROWS && !ahead; s++)
			gv_draw_seen(
			    d, s, r->token[s], (size_t)(FIRST + s + step));
		must(gv_draw_put(d, &a.b, ahead, &e));
		if (ahead)
			take(d, r, step - 1);
		else if (!chained)
			take(d, r, step);
	}
	if (chained)
		take(d, r, STEPS - 1);
	gv_draw_close(&d);
}

/* Has any sequence a token twice? */
static bool
repeats(const struct run *r)
{
	for (int s = 0; s < ROWS; s++)
		for (int i = FIRST + s; i < FIRST + s + STEPS; i++)
			for (int j = 0; j < i; j++)
				if (r->token[s][i] == r->token[s][j])
					return true;
	return false;
}

static void
check(struct chk *c)
{
	static const struct gvk_sampler law[] = {{.temperature = 1, .top_p = 1},
	    {.temperature = 0, .top_p = 1, .repetition = 1.3f},
	    {.temperature = 1, .top_p = 1, .min_p = .05f, .repetition = 2},
	    {.temperature = 1, .top_p = .9f, .top_k = 50, .repetition = 2}};
	struct gv_model *m = make(c->k);
	struct run a = {0}, b = {0};

	for (int i = 0; i < 4; i++) {
		draws(m, &a, &law[i], false);
		draws(m, &b, &law[i], true);
		chk_ok(c, !memcmp(&a, &b, sizeof a),
		    "chained, the same bits: T %g, top-p %g, min-p %g, "
		    "repetition %g",
		    (double)law[i].temperature, (double)law[i].top_p,
		    (double)law[i].min_p, (double)law[i].repetition);
	}
	/* Half of all logits are positive: none that was seen can win. */
	draws(m, &a, &(struct gvk_sampler){0, 1, 0, 0, 1e6f}, true);
	chk_ok(c, !repeats(&a), "with a huge penalty nothing comes twice");
	draws(m, &a, &(struct gvk_sampler){0, 1, 0, 0, 1e-6f}, true);
	chk_ok(c, repeats(&a), "with the opposite it does");
	gv_model_close(&m);
	chk_end(c);
}

int
main(int argc, char **argv)
{
	return chk_main(argc, argv, check);
}
