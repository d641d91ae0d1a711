/* Images shared by prompts and encoded in batches. */
#include "visual.h"

#include "mem.h"
#include "model_priv.h"
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

enum gv_dtype
gv_visual_dtype(const struct gv_model *m)
{
	return gvk_dtype(m->k) == GVK_BF16 ? GV_BF16 : GV_F32;
}

/* n numbers as `dtype`, F32 or BF16. */
static int
convert(void *to, enum gv_dtype dtype, const struct gv_tensor *t, size_t n,
    struct gv_error *e)
{
	float *tmp;
	int r;

	if (t->dtype == dtype) {
		memcpy(to, t->data, t->bytes);
		return 0;
	}
	if (dtype == GV_F32)
		return gv_to_f32(to, t->data, t->dtype, n, e);
	tmp = gv_alloc(n, sizeof *tmp);
	if (!tmp)
		return gv_fail(e, GV_ERR_NOMEM, "no memory for %zu rows", n);
	r = gv_to_f32(tmp, t->data, t->dtype, n, e);
	if (!r)
		r = gv_from_f32(to, dtype, tmp, n, e);
	gv_free(tmp);
	return r;
}

/* The tensor's content in the form that a batch takes. */
static int
copy_in(struct gv_visual *v, const struct gv_tensor *t, struct gv_error *e)
{
	size_t n = t->bytes / gv_dtype_size(t->dtype);

	v->bytes = v->input == GV_IN_IMAGE ? n : n * gv_dtype_size(v->dtype);
	v->data = gv_alloc(v->bytes, 1);
	if (!v->data)
		return gv_fail(
		    e, GV_ERR_NOMEM, "no memory for %zu bytes", v->bytes);
	if (v->input != GV_IN_IMAGE)
		return convert(v->data, v->dtype, t, n, e);
	memcpy(v->data, t->data, n);
	return 0;
}

int
gv_visual_take(struct gv_visual **out, const struct gv_model *m,
    enum gv_input input, const struct gv_tensor *t, struct gv_visual *last,
    struct gv_error *e)
{
	struct gv_visual *v;

	if (check(&m->cfg, input, t, e))
		return e->code;
	if (t->shape[0] == 0) {
		*out = NULL;
		return 0;
	}
	v = gv_alloc(1, sizeof *v);
	if (!v)
		return gv_fail(e, GV_ERR_NOMEM, "no memory");
	v->input = input;
	v->dtype = gv_visual_dtype(m);
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

/* Bytes of an image's embeds. */
static size_t
embeds_bytes(const struct gv_model *m)
{
	return (size_t)(m->cfg.R * m->cfg.text.C) * m->priv->esize;
}

/* Lists the images without embeds and makes room for these. */
static int
list(struct one **out, size_t *nout, const struct gv_model *m,
    struct gv_visual *const *v, size_t n, struct gv_error *e)
{
	size_t cap = 0, used = 0, at;
	struct one *one = NULL;

	for (at = 0; at < n; at++) {
		int64_t i;

		if (!v[at] || v[at]->embeds)
			continue; /* a repeated visual is listed once, too */
		if (gv_grow((void **)&one, &cap, used + (size_t)v[at]->n,
			sizeof *one))
			break;
		v[at]->embeds = gv_alloc((size_t)v[at]->n, embeds_bytes(m));
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
    uint8_t *in, char *out, struct gv_error *e)
{
	size_t image_bytes = one->v->bytes / (size_t)one->v->n;
	size_t bytes = embeds_bytes(m), at, i;

	for (at = 0; at < n; at += batch) {
		size_t some = n - at < batch ? n - at : batch;
		struct gv_batch b = {0};

		for (i = 0; i < some; i++)
			memcpy(in + i * image_bytes,
			    (uint8_t *)one[at + i].v->data +
				(size_t)one[at + i].i * image_bytes,
			    image_bytes);
		b.input = one->v->input;
		b.dtype = one->v->dtype;
		b.B = (int64_t)some;
		b.image = in;
		if (gv_vision_rows(m, &b, GV_IN_EMBEDS, out, e))
			return e->code;
		for (i = 0; i < some; i++)
			memcpy((char *)one[at + i].v->embeds +
				   (size_t)one[at + i].i * bytes,
			    out + i * bytes, bytes);
	}
	return 0;
}

int
gv_visual_encode(struct gv_model *m, struct gv_visual *const *v, size_t n,
    int64_t batch, struct gv_error *e)
{
	struct one *one;
	uint8_t *in = NULL;
	char *out = NULL;
	size_t images, i;

	if (!list(&one, &images, m, v, n, e) && images) {
		size_t image_bytes = one->v->bytes / (size_t)one->v->n;

		in = gv_alloc((size_t)batch, image_bytes);
		out = gv_alloc((size_t)batch, embeds_bytes(m));
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
