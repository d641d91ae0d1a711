/* Images shared by prompts and encoded in batches. */
#include "visual.h"

#include "mem.h"
#include "banned.h"

const char *
gv_visual_field(enum gv_input input)
{
	switch (input) {
	case GV_IN_IMAGE:
		return "image";
	case GV_IN_FEATURES:
		return "features";
	case GV_IN_EMBEDS:
		return "embeds";
	default:
		return "";
	}
}

bool
gv_visual_is(const char *field)
{
	return !strcmp(field, "image") || !strcmp(field, "features") ||
	       !strcmp(field, "embeds");
}

unsigned
gv_visual_parts(enum gv_input input)
{
	unsigned parts = 1u << GV_LANGUAGE;

	if (input == GV_IN_IMAGE)
		parts |= 1u << GV_VISION;
	if (input == GV_IN_IMAGE || input == GV_IN_FEATURES)
		parts |= 1u << GV_RESAMPLER | 1u << GV_PROJECTOR;
	return parts;
}

/* The shape of one image that the model wants; its rank. */
static int
wanted(const struct gv_config *c, enum gv_input input, int64_t shape[3])
{
	switch (input) {
	case GV_IN_IMAGE:
		shape[0] = shape[1] = c->vision.image;
		shape[2] = 3;
		return 3;
	case GV_IN_FEATURES:
		shape[0] = c->vision.P;
		shape[1] = c->vision.C;
		return 2;
	default:
		shape[0] = c->R;
		shape[1] = c->text.C;
		return 2;
	}
}

static int
check(const struct gv_config *c, enum gv_input input, const struct gv_tensor *t,
    struct gv_error *e)
{
	char got[64], want[64];
	int64_t shape[3];
	int rank = wanted(c, input, shape);

	if (!c->has_vision || !c->has_text)
		return gv_fail(e, GV_ERR_MATCH,
		    "images, but the model has no %s",
		    c->has_text ? "vision tower" : "decoder");
	if ((input == GV_IN_IMAGE) != (t->dtype == GV_U8))
		return gv_fail(e, GV_ERR_MATCH, "field '%s': dtype %s",
		    gv_visual_field(input), gv_dtype_name(t->dtype));
	if (t->rank == rank + 1 &&
	    !memcmp(t->shape + 1, shape, (size_t)rank * sizeof *shape))
		return 0;
	return gv_fail(e, GV_ERR_MATCH,
	    "field '%s': an image of shape %s, but the model takes %s",
	    gv_visual_field(input),
	    gv_shape_text(got, sizeof got, t->shape + (t->rank > 0),
		t->rank - (t->rank > 0)),
	    gv_shape_text(want, sizeof want, shape, rank));
}

/* The tensor's content in the form that a batch takes. */
static int
copy_in(struct gv_visual *v, const struct gv_tensor *t, struct gv_error *e)
{
	size_t n = t->bytes / gv_dtype_size(t->dtype);

	v->bytes = v->input == GV_IN_IMAGE ? n : n * sizeof(float);
	v->data = gv_alloc(v->bytes, 1);
	if (!v->data)
		return gv_fail(
		    e, GV_ERR_NOMEM, "no memory for %zu bytes", v->bytes);
	if (v->input != GV_IN_IMAGE)
		return gv_to_f32(v->data, t->data, t->dtype, n, e);
	memcpy(v->data, t->data, n);
	return 0;
}

int
gv_visual_take(struct gv_visual **out, const struct gv_config *c,
    enum gv_input input, const struct gv_tensor *t, struct gv_visual *last,
    struct gv_error *e)
{
	struct gv_visual *v;

	if (check(c, input, t, e))
		return e->code;
	if (t->shape[0] == 0) {
		*out = NULL;
		return 0;
	}
	v = gv_alloc(1, sizeof *v);
	if (!v)
		return gv_fail(e, GV_ERR_NOMEM, "no memory");
	v->input = input;
	v->n = t->shape[0];
	v->refs = 1;
	if (copy_in(v, t, e)) {
		gv_visual_drop(&v);
		return e->code;
	}
	if (last && last->input == input && last->n == v->n &&
	    last->bytes == v->bytes && !memcmp(last->data, v->data, v->bytes)) {
		gv_visual_drop(&v);
		v = last;
		v->refs++;
	}
	if (input == GV_IN_EMBEDS)
		v->embeds = v->data;
	*out = v;
	return 0;
}

void
gv_visual_drop(struct gv_visual **p)
{
	struct gv_visual *v = *p;

	*p = NULL;
	if (!v || --v->refs > 0)
		return;
	if (v->embeds != v->data)
		gv_free(v->embeds);
	gv_free(v->data);
	gv_free(v);
}

/* An image that is to be encoded. */
struct one {
	struct gv_visual *v;
	int64_t i;
};

/* Lists the images without embeds and makes room for these. */
static int
list(struct one **out, size_t *nout, const struct gv_config *c,
    struct gv_visual *const *v, size_t n, struct gv_error *e)
{
	size_t cap = 0, used = 0, at;
	struct one *one = NULL;

	for (at = 0; at < n; at++) {
		int64_t rows, i;

		if (!v[at] || v[at]->embeds)
			continue; /* a repeated visual is listed once, too */
		rows = v[at]->n * c->R;
		if (gv_grow((void **)&one, &cap, used + (size_t)v[at]->n,
			sizeof *one))
			break;
		v[at]->embeds =
		    gv_alloc((size_t)rows * (size_t)c->text.C, sizeof(float));
		if (!v[at]->embeds)
			break;
		for (i = 0; i < v[at]->n; i++)
			one[used++] = (struct one){v[at], i};
	}
	*out = one;
	*nout = used;
	return at == n ? 0 : gv_fail(e, GV_ERR_NOMEM, "no memory for embeds");
}

/* Encodes one[0..n) in batches through the staging buffers. */
static int
encode(struct gv_model *m, const struct one *one, size_t n, size_t batch,
    uint8_t *in, float *out, struct gv_error *e)
{
	size_t image_bytes = one->v->bytes / (size_t)one->v->n;
	size_t rows = (size_t)m->cfg.R * (size_t)m->cfg.text.C;
	size_t at, i;

	for (at = 0; at < n; at += batch) {
		size_t some = n - at < batch ? n - at : batch;
		struct gv_batch b = {0};

		for (i = 0; i < some; i++)
			memcpy(in + i * image_bytes,
			    (uint8_t *)one[at + i].v->data +
				(size_t)one[at + i].i * image_bytes,
			    image_bytes);
		b.input = one->v->input;
		b.B = (int64_t)some;
		b.image = in;
		if (gv_model_vision(m, &b, GV_IN_EMBEDS, out, e))
			return e->code;
		for (i = 0; i < some; i++)
			memcpy(one[at + i].v->embeds +
				   (size_t)one[at + i].i * rows,
			    out + i * rows, rows * sizeof *out);
	}
	return 0;
}

int
gv_visual_encode(struct gv_model *m, struct gv_visual *const *v, size_t n,
    int64_t batch, struct gv_error *e)
{
	size_t rows = (size_t)m->cfg.R * (size_t)m->cfg.text.C;
	struct one *one;
	uint8_t *in = NULL;
	float *out = NULL;
	size_t images, i;

	if (!list(&one, &images, &m->cfg, v, n, e) && images) {
		size_t image_bytes = one->v->bytes / (size_t)one->v->n;

		in = gv_alloc((size_t)batch, image_bytes);
		out = gv_alloc((size_t)batch * rows, sizeof *out);
		if (!in || !out)
			gv_fail(e, GV_ERR_NOMEM, "no memory for images");
		else if (!encode(m, one, images, (size_t)batch, in, out, e))
			images = 0; /* nothing to undo */
	}
	for (i = 0; i < images; i++) {
		gv_free(one[i].v->embeds);
		one[i].v->embeds = NULL;
	}
	gv_free(in);
	gv_free(out);
	gv_free(one);
	return e->code;
}
