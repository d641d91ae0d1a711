/* The work of a batch. */
#include "model_priv.h"

#include "banned.h"

/* Work of an op by that of its forward pass: once more for the gradient of its
 * input, and of its weights.  Attention has two inputs, no weights. */
static double
times(bool backward, bool input, bool weights)
{
	return backward ? 1 + input + weights : 1;
}

static double
tower_flops(const struct gv_model *m, const struct gv_batch *b, bool backward)
{
	const struct gv_vision_config *v = &m->cfg.vision;
	double rows = (double)(b->B * v->T), C = (double)v->C;
	double patches = (double)(b->B * v->grid * v->grid);
	bool back = back_vision(m);

	return 2 * patches * 3 * (double)(v->patch * v->patch) * C *
		   times(backward, false, back) +
	       (double)v->layer * rows *
		   (8 * C * C + 4 * C * (double)v->F + 4 * (double)v->T * C) *
		   times(backward, back, back);
}

/* Products of a Perceiver: on patches P and latents R, with queries of width Q
 * and keys of width K. */
static double
perceiver_flops(
    const struct gv_model *m, const struct gv_batch *b, bool backward)
{
	const struct gv_config *c = &m->cfg;
	double P = (double)(b->B * c->vision.P), R = (double)(b->B * c->R);
	double C = (double)c->rs_C, Q = (double)(c->rs_H * c->rs_D);
	double K = (double)(c->rs_G * c->rs_D), F = (double)c->rs_F;
	double seen = (double)(c->vision.P + c->R), f;
	bool back = back_resampler(m), trains = m->part[GV_RESAMPLER].trains;
	bool gated = c->resampler == GV_RESAMPLER_IDEFICS2;

	f = 4 * R * C * Q + 4 * (P + R) * C * K + (gated ? 6 : 4) * R * C * F;
	f = f * times(backward, back, trains) +
	    4 * R * seen * Q * times(backward, back, back);
	return (double)c->rs_L * f +
	       2 * P * (double)c->rs_front *
		   (2 * (double)c->vision.C *
			   times(backward, back_vision(m), trains) +
		       C * times(backward, back, trains));
}

/* From images, or features, to embeds. */
static double
vision_flops(const struct gv_model *m, const struct gv_batch *b, bool backward)
{
	const struct gv_config *c = &m->cfg;
	double f = 0, rows = 2 * (double)(b->B * c->R);
	double in = (double)c->rs_C, out = (double)c->text.C;
	bool trains = m->part[GV_PROJECTOR].trains;
	double first = times(backward, back_resampler(m), trains);

	if (b->input == GV_IN_EMBEDS)
		return 0;
	if (b->input == GV_IN_IMAGE)
		f += tower_flops(m, b, backward);
	if (c->rs_L)
		f += perceiver_flops(m, b, backward);
	if (c->projector == GV_PROJECTOR_LINEAR)
		return f + rows * in * out * first;
	return f + rows * (double)c->pj_C *
		       (in * first +
			   out * times(backward, back_projector(m), trains));
}

double
gv_model_flops(
    const struct gv_model *m, const struct gv_batch *b, bool backward)
{
	const struct gv_text_config *c = &m->cfg.text;
	double N = (double)b->N, C = (double)c->C, pairs = 0, f;
	bool back = back_language(m);
	int64_t s;

	for (s = 0; s < b->S; s++) {
		double q = b->q_at[s + 1] - b->q_at[s];
		double own = b->kv_row ? b->k_len[s] : q;

		pairs +=
		    q * (own - (q - 1) / 2) + (b->p_len ? q * b->p_len[s] : 0);
	}
	/* behind the last attention there are only the rows of the head */
	f = (double)c->L * N * 2 * C * (double)((c->H + 2 * c->G) * c->D);
	f += ((double)(c->L - 1) * N + (double)b->M) *
	     (2 * C * (double)(c->H * c->D) +
		 (c->gated ? 6 : 4) * C * (double)c->F);
	f += 2 * (double)b->M * C * (double)c->V;
	f *= times(backward, back, m->part[GV_LANGUAGE].trains);
	f += (double)c->L * 4 * pairs * (double)(c->H * c->D) *
	     times(backward, back, back);
	return b->B ? f + vision_flops(m, b, backward) : f;
}
