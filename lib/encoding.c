/* Records go through the tower and back into a stream. */
#include "encoding.h"

#include "encode.h"
#include "mem.h"
#include "model.h"
#include "ordered.h"
#include "prov.h"
#include "say.h"
#include "visual.h"
#include "banned.h"

/* A record and the place of its images in their batch. */
struct waiting {
	struct gv_kept kept;
	int64_t first, n;
};

struct records {
	struct waiting *rec;
	size_t n, cap;
};

/* What is encoded together: whole records, as many as hold `batch` images, or
 * one that has more. */
struct load {
	struct gvk *k; /* whose memory `image` is */
	struct records records;
	uint8_t *image;
	size_t images, cap;
	uint64_t read; /* records so far */
};

/* A thread reads, into loads.  The main thread has one load encoded while it
 * writes what has become of the load before. */
struct gv_encoding {
	struct gv_encoding_opts o;
	struct gv_inputs *in; /* the reading thread's, as the next two */
	struct gv_rec rec;
	bool held; /* rec is the first of the next load */
	size_t image; /* index of the field */
	bool keep[GV_MAX_FIELDS];
	struct gvk *k;
	struct gv_model *m;
	struct gv_encoder *x;
	struct gv_ordered *loads;
	struct gv_out *out;
	struct gv_writer *w;
	size_t image_bytes, row; /* of one image, values that it becomes */
	int64_t shape[3]; /* of a record's output, N first */
	struct records now; /* whose images the encoder has, the oldest */
	uint64_t encoded;
};

static const char *
field(const struct gv_encoding *r)
{
	return r->o.full ? "embeds" : "features";
}

/* ---- the start ----------------------------------------------------------- */

/* What goes out besides the images, and that this program made it. */
static int
begin(struct gv_encoding *r, const struct gv_config *c, struct gv_error *e)
{
	static const char *const names[] = {
	    "preprocess", "vision", "features", "resampler", "projector"};
	const struct gv_facts f = {r->o.model, c, NULL};
	json_t *digests = json_object();
	struct gv_schema s;
	char spec[64];
	size_t i, n = 0;

	if (gv_schema_copy(&s, gv_reader_schema(r->in->first), e))
		return e->code;
	for (i = 0; i < s.nfields; i++) {
		r->keep[i] = !gv_visual_is(s.fields[i].name);
		if (r->keep[i])
			s.fields[n++] = s.fields[i];
	}
	s.nfields = n;
	snprintf(s.kind, sizeof s.kind, "%s", field(r));
	snprintf(spec, sizeof spec, "%s (N,%lld,%lld)",
	    gv_dtype_name(r->o.dtype), (long long)r->shape[1],
	    (long long)r->shape[2]);
	for (i = 0; i < (r->o.full ? 5 : 3) && !e->code; i++)
		if (gv_prov_add(digests, &f, names[i], e))
			break;
	if (!e->code && !gv_schema_field(&s, field(r), spec, "", e) &&
	    !gv_schema_prog(&s, "gv-encode-vision",
		json_pack("[ssss]", "--stage", r->o.full ? "full" : "encoder",
		    "--dtype", r->o.dtype == GV_BF16 ? "bf16" : "f32"),
		json_incref(digests), e) &&
	    !gv_out_open(&r->out, r->o.output, true, r->o.force, e))
		i = (size_t)gv_writer_open(&r->w, r->out, &s, e);
	if (!e->code)
		gv_inputs_watch(r->in, r->out);
	json_decref(digests);
	gv_schema_free(&s);
	return e->code;
}

/* The sizes that the model gives, and whether the stream is for it. */
static int
fit(struct gv_encoding *r, const struct gv_config *c, struct gv_error *e)
{
	const struct gv_facts f = {r->o.model, c, NULL};
	char spec[64];

	if (!c->has_vision)
		return gv_fail(
		    e, GV_ERR_MATCH, "'%s' has no vision tower", r->o.model);
	if (r->o.full && !c->has_text)
		return gv_fail(e, GV_ERR_MATCH,
		    "'%s' is a vision tower alone: take --stage encoder",
		    r->o.model);
	if (gv_prov_check_input(
		gv_reader_schema(r->in->first), &f, GV_IN_IMAGE, e))
		return gv_fail_in(
		    e, "cannot use '%s'", gv_reader_name(r->in->first));
	snprintf(spec, sizeof spec, "U8 (N,%lld,%lld,3)",
	    (long long)c->vision.image, (long long)c->vision.image);
	if (gv_reader_need(r->in->first, "image", spec, &r->image, e))
		return e->code;
	r->image_bytes = (size_t)(c->vision.image * c->vision.image * 3);
	r->shape[1] = r->o.full ? c->R : c->vision.P;
	r->shape[2] = r->o.full ? c->text.C : c->vision.C;
	r->row = (size_t)(r->shape[1] * r->shape[2]);
	return begin(r, c, e);
}

static int
open_model(struct gv_encoding *r, struct gv_error *e)
{
	unsigned parts = 1u << GV_VISION;
	struct gv_config c;

	if (r->o.full)
		parts |= 1u << GV_RESAMPLER | 1u << GV_PROJECTOR;
	if (gv_config_open(&c, r->o.model, e))
		return e->code;
	if (!fit(r, &c, e) &&
	    !gv_backend_open(&r->k, r->o.device, r->o.threads, e) &&
	    !gv_model_open_forward(&r->m, r->k, r->o.model, parts, e)) {
		if (!r->o.batch)
			r->o.batch = gvk_is_host(r->k) ? 16 : 64;
		if (!gv_encoder_open(&r->x, r->m,
			r->o.full ? GV_IN_EMBEDS : GV_IN_FEATURES, r->o.dtype,
			r->o.batch, e))
			gv_say(r->o.say, 1, "%s", gvk_name(r->k));
	}
	gv_config_free(&c);
	return e->code;
}

/* ---- reading ------------------------------------------------------------- */

/* Makes room for n images. */
static int
make_room(struct gv_encoding *r, struct load *l, size_t n, struct gv_error *e)
{
	size_t cap = n < (size_t)r->o.batch ? (size_t)r->o.batch : n;
	uint8_t *p;

	if (n <= l->cap)
		return 0;
	l->k = r->k;
	p = gvk_host_alloc(r->k, cap * r->image_bytes);
	if (!p)
		return gv_fail(e, GV_ERR_NOMEM, "no memory for %zu images", n);
	if (l->images)
		memcpy(p, l->image, l->images * r->image_bytes);
	gvk_host_free(r->k, l->image);
	l->image = p;
	l->cap = cap;
	return 0;
}

/* Adds a record; its images, too, unless they are those of the record before
 * it. */
static int
add(struct gv_encoding *r, struct load *l, struct gv_error *e)
{
	const struct gv_tensor *t = &r->rec.v[r->image].t;
	size_t N = (size_t)t->shape[0], bytes = N * r->image_bytes;
	struct records *all = &l->records;
	struct waiting *w, *last;

	if (gv_grow((void **)&all->rec, &all->cap, all->n + 1, sizeof *w))
		return gv_fail(e, GV_ERR_NOMEM, "no memory for a record");
	w = &all->rec[all->n];
	last = all->n ? w - 1 : NULL;
	if (gv_keep(&w->kept, &r->rec, r->keep,
		gv_reader_schema(r->in->first)->nfields, e))
		return e->code;
	all->n++;
	w->n = (int64_t)N;
	w->first = (int64_t)l->images;
	if (last && N && last->n == w->n &&
	    !memcmp(l->image + (size_t)last->first * r->image_bytes, t->data,
		bytes)) {
		w->first = last->first;
		return 0;
	}
	if (make_room(r, l, l->images + N, e))
		return e->code;
	if (bytes)
		memcpy(l->image + l->images * r->image_bytes, t->data, bytes);
	l->images += N;
	return 0;
}

/* True if the record at hand may join a load. */
static bool
joins(const struct gv_encoding *r, const struct load *l)
{
	size_t N = (size_t)r->rec.v[r->image].t.shape[0];

	return !l->records.n || l->images + N <= (size_t)r->o.batch;
}

/* True if a load is to be encoded now: records without images must not pile
 * up. */
static bool
full(const struct gv_encoding *r, const struct load *l)
{
	return l->images >= (size_t)r->o.batch || l->records.n >= 1024;
}

/* Fills the next load. */
static int
next_load(void *ctx, void *item, struct gv_error *e)
{
	struct gv_encoding *r = ctx;
	struct load *l = item;
	int more = 1;

	l->images = 0;
	while (!full(r, l)) {
		if (!r->held)
			more = gv_inputs_next(r->in, &r->rec, e);
		r->held = more > 0;
		if (more <= 0 || !joins(r, l))
			break;
		if (add(r, l, e))
			return e->code;
		r->held = false;
	}
	l->read = r->in->records - r->held;
	return more < 0 ? more : l->records.n > 0;
}

/* To read is all that a load needs. */
static void
leave_load(void *ctx, void *item)
{
	(void)ctx;
	(void)item;
}

static void
clear(struct records *all)
{
	size_t i;

	for (i = 0; i < all->n; i++)
		gv_kept_free(&all->rec[i].kept);
	all->n = 0;
}

static void
drop_load(void *item)
{
	struct load *l = item;

	clear(&l->records);
	gv_free(l->records.rec);
	if (l->image)
		gvk_host_free(l->k, l->image);
}

/* ---- the loop ------------------------------------------------------------ */

static int
write_one(struct gv_encoding *r, const struct waiting *w, const void *rows,
    struct gv_error *e)
{
	const struct gv_schema *s = gv_reader_schema(r->in->first);
	size_t i, size = gv_dtype_size(r->o.dtype);

	if (gv_writer_begin(r->w, w->kept.key, e))
		return e->code;
	for (i = 0; i < w->kept.nfields; i++)
		if (r->keep[i] &&
		    gv_writer_value(r->w, s->fields[i].name, &w->kept.v[i], e))
			return e->code;
	r->shape[0] = w->n;
	if (gv_writer_tensor(r->w, field(r), 3, r->shape,
		(const char *)rows + (size_t)w->first * r->row * size, e))
		return e->code;
	return gv_writer_end_rec(r->w, e);
}

/* Writes the records of the oldest batch that the encoder has. */
static int
finish(struct gv_encoding *r, struct gv_error *e)
{
	const void *rows;
	size_t i;

	if (gv_encoder_take(r->x, &rows, e))
		return e->code;
	for (i = 0; i < r->now.n; i++)
		if (write_one(r, &r->now.rec[i], rows, e))
			return e->code;
	clear(&r->now);
	return 0;
}

static int
loop(struct gv_encoding *r, struct gv_error *e)
{
	struct records swap;
	struct load *l;
	void *item;
	int more;

	while ((more = gv_ordered_take(r->loads, &item, e)) > 0) {
		l = item;
		if (gv_encoder_put(r->x, l->image, (int64_t)l->images, e) ||
		    (r->now.n && finish(r, e)))
			return e->code;
		swap = r->now;
		r->now = l->records;
		l->records = swap;
		r->encoded += l->images;
		if (r->o.progress)
			r->o.progress(l->read, r->encoded);
	}
	if (more < 0)
		return more;
	return r->now.n ? finish(r, e) : 0;
}

/* ---- from outside -------------------------------------------------------- */

int
gv_encoding_open(struct gv_encoding **out, struct gv_inputs *in,
    const struct gv_encoding_opts *o, struct gv_error *e)
{
	struct gv_encoding *r = gv_alloc(1, sizeof *r);

	if (!r)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	r->o = *o;
	r->in = in;
	*out = r;
	if (open_model(r, e) ||
	    gv_ordered_open(&r->loads, 2, sizeof(struct load), next_load,
		leave_load, drop_load, r, e))
		gv_encoding_close(out);
	return e->code;
}

int
gv_encoding_run(struct gv_encoding *r, struct gv_error *e)
{
	if (loop(r, e))
		return e->code;
	gv_ordered_close(&r->loads);
	gv_say(r->o.say, 1, "%llu records, %llu images encoded",
	    (unsigned long long)r->in->records, (unsigned long long)r->encoded);
	if (gv_writer_close(&r->w, r->in->bad, e))
		return e->code;
	return gv_out_commit(&r->out, e);
}

void
gv_encoding_close(struct gv_encoding **rp)
{
	struct gv_encoding *r = *rp;

	*rp = NULL;
	if (!r)
		return;
	if (r->loads)
		gv_ordered_close(&r->loads);
	gv_inputs_watch(r->in, NULL);
	clear(&r->now);
	gv_free(r->now.rec);
	gv_encoder_close(&r->x);
	gv_model_close(&r->m);
	gvk_close(&r->k);
	gv_writer_abort(&r->w);
	gv_out_abort(&r->out);
	gv_free(r);
}
