/* Every combination of tower, resampler and projector: gradients are those of
 * the loss, by finite differences along each part's own; a part's gradient is
 * the same whatever else trains; images that come as features or embeds give
 * the same as pixels.
 */
#include "joined.h"

struct joined {
	struct gv_model *m;
	struct joined_batch x;
	struct gv_error e;
	char name[64];
};

static double
loss_of(struct joined *j, bool backward)
{
	float logp[12];
	double sum = 0;
	int i;

	must(gv_model_loss(j->m, &j->x.b, backward, logp, NULL, &j->e), &j->e);
	for (i = 0; i < 12; i++)
		sum += (double)j->x.g[i] * (double)logp[i];
	return sum;
}

static void
train(struct joined *j, unsigned parts)
{
	struct gv_limits l = limits_of(&j->x.b, true);

	must(gv_model_train(j->m, parts, &j->e), &j->e);
	must(gv_model_reserve(j->m, &l, &j->e), &j->e);
	gv_model_zero_grad(j->m);
}

static unsigned
parts_of(const struct gv_model *m)
{
	unsigned parts = 0;
	int i;

	for (i = 0; i < GV_PARTS; i++)
		if (m->part[i].n)
			parts |= 1u << i;
	return parts;
}

/* All parts' gradients, one after the other. */
static float *
gradients(struct joined *j, unsigned parts)
{
	const struct gv_model *m = j->m;
	size_t n = 0, at = 0;
	float *g;
	int i;

	train(j, parts);
	loss_of(j, true);
	must(gv_model_sync(j->m, &j->e), &j->e);
	for (i = 0; i < GV_PARTS; i++)
		n += m->part[i].n;
	g = calloc(n, sizeof *g);
	if (!g)
		bail(j->name, "out of memory");
	for (i = 0; i < GV_PARTS; at += m->part[i++].n)
		if (m->part[i].grad)
			memcpy(
			    g + at, m->part[i].grad, m->part[i].n * sizeof *g);
	return g;
}

/* The loss `step` away along the direction g / norm from the weights `keep`. */
static double
loss_at(struct joined *j, int part, const float *keep, const float *g,
    double norm, double step)
{
	float *w = j->m->part[part].w;
	size_t i;

	for (i = 0; i < j->m->part[part].n; i++)
		w[i] = (float)((double)keep[i] + step * (double)g[i] / norm);
	return loss_of(j, false);
}

/* d loss / d step along the part's gradient g is its norm.  The slope is that
 * of Richardson's extrapolation from two steps. */
static double
slope_error(struct joined *j, int part, const float *g)
{
	size_t n = j->m->part[part].n, i;
	double norm = 0, slope[2], step = 2e-3;
	float *keep = malloc(n * sizeof *keep);
	int k;

	if (!keep)
		bail(j->name, "out of memory");
	memcpy(keep, j->m->part[part].w, n * sizeof *keep);
	for (i = 0; i < n; i++)
		norm += (double)g[i] * (double)g[i];
	norm = sqrt(norm);
	for (k = 0; k < 2; k++, step /= 2)
		slope[k] = (loss_at(j, part, keep, g, norm, step) -
			       loss_at(j, part, keep, g, norm, -step)) /
			   (2 * step);
	memcpy(j->m->part[part].w, keep, n * sizeof *keep);
	free(keep);
	return fabs((4 * slope[1] - slope[0]) / 3 - norm) / norm;
}

static void
test_gradients(struct joined *j)
{
	unsigned all = parts_of(j->m), parts;
	float *g = gradients(j, all), *alone;
	double worst = 0, apart = 0;
	size_t at = 0;
	int i;

	for (i = 0; i < GV_PARTS; at += j->m->part[i++].n) {
		double err;

		if (!j->m->part[i].n)
			continue;
		err = slope_error(j, i, g + at);
		worst = err <= worst ? worst : err;
	}
	within(worst, 2e-3, "slopes along gradients", j->name);
	for (parts = 1; parts < 1u << GV_PARTS; parts++) {
		if (parts & ~all)
			continue;
		alone = gradients(j, parts);
		for (i = 0, at = 0; i < GV_PARTS; at += j->m->part[i++].n)
			if (parts & 1u << i && memcmp(alone + at, g + at,
						   j->m->part[i].n * sizeof *g))
				apart += 1;
		free(alone);
	}
	is_int((long long)apart, 0,
	    "%s: the same gradients whatever else trains", j->name);
	free(g);
}

/* What comes out of a part goes in instead. */
static void
test_inputs(struct joined *j)
{
	const struct gv_config *c = &j->m->cfg;
	float features[2 * 17 * 12], embeds[2 * 17 * 12];
	struct gv_batch pixels = j->x.b;
	double want, got[2];

	if (c->vision.P > 17 || c->R > 17)
		bail(j->name, "has more rows than this test expects");
	train(j, 0);
	want = loss_of(j, false);
	must(gv_model_vision(j->m, &pixels, GV_IN_FEATURES, features, &j->e),
	    &j->e);
	must(
	    gv_model_vision(j->m, &pixels, GV_IN_EMBEDS, embeds, &j->e), &j->e);
	j->x.b.input = GV_IN_FEATURES;
	j->x.b.image = features;
	got[0] = loss_of(j, false);
	j->x.b.input = GV_IN_EMBEDS;
	j->x.b.image = embeds;
	got[1] = loss_of(j, false);
	j->x.b = pixels;
	ok(got[0] == want && got[1] == want,
	    "%s: features and embeds instead of pixels", j->name);
}

int
main(void)
{
	struct joined j = {0};
	int t, r, p, tried = 0;
	struct gvk *k;

	must(gv_backend_open(&k, "cpu", 0, &j.e), &j.e);
	for (t = 0; t < JOINED_TOWERS; t++)
		for (r = 0; r < JOINED_RESAMPLERS; r++)
			for (p = 0; p < JOINED_PROJECTORS; p++) {
				if (!joined_fits(t, r, p))
					continue;
				snprintf(j.name, sizeof j.name, "%s %d %d",
				    joined_tower[t].name, r, p);
				j.m = joined_model(k, t, r, p, &j.e);
				joined_batch(&j.x, j.m);
				test_gradients(&j);
				test_inputs(&j);
				gv_model_close(&j.m);
				tried++;
			}
	is_int(tried, 103, "combinations");
	gvk_close(&k);
	return done();
}
