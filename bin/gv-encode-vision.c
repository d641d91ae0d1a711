/* gv-encode-vision: pixels to what a model's vision tower makes of them. */
#include "cli.h"
#include "inputs.h"
#include "mem.h"
#include "model.h"
#include "prov.h"
#include "visual.h"

#include <string.h>

enum stage { ENCODER, FULL };

static struct gv_opt_common common;
static const char *model_dir;
static int stage = -1, dtype;
static int64_t batch = 16;

static const struct gv_opt opts[] = {
    {"model", 'm', GV_OPT_STR, &model_dir, "DIR", "the model's directory", 0, 0,
	NULL},
    {"stage", 0, GV_OPT_WORD, &stage, NULL,
	"stop at the tower's features, or go on to embeds", 0, 0,
	"encoder|full"},
    {"dtype", 0, GV_OPT_WORD, &dtype, NULL, "of the output (f32)", 0, 0,
	"f32|bf16"},
    {"batch", 0, GV_OPT_INT, &batch, "N", "images in a forward pass (16)", 1,
	65536, NULL},
    {0}};

static const struct gv_opt_prog prog = {
    "gv-encode-vision",
    "-m MODEL --stage encoder|full [-o FILE] [FILE ...]",
    "run images through a model's vision tower",
    GV_OPT_C_OUTPUT | GV_OPT_C_DEVICE | GV_OPT_C_THREADS,
    opts,
};

/* A record that waits for its images: those from `first` on of the batch. */
struct waiting {
	struct gv_kept kept;
	int64_t first, n;
};

struct run {
	struct gv_inputs in;
	size_t image; /* index of the field */
	bool keep[GV_MAX_FIELDS];
	struct gvk *k;
	struct gv_model *m;
	struct gv_out *o;
	struct gv_writer *w;
	size_t image_bytes, row; /* of one image, values that it becomes */
	int64_t shape[3]; /* of a record's output, N first */
	struct waiting *wait;
	size_t waiting, wait_cap;
	uint8_t *px; /* images that wait */
	size_t images, px_cap;
	uint64_t encoded;
};

static const char *
field(void)
{
	return stage == FULL ? "embeds" : "features";
}

/* ---- the start ----------------------------------------------------------- */

/* What goes out besides the images, and that this program made it. */
static int
begin(struct run *r, const struct gv_config *c, struct gv_error *e)
{
	static const char *const parts[] = {
	    "preprocess", "vision", "resampler", "projector"};
	const struct gv_facts f = {model_dir, c, NULL};
	json_t *digests = json_object();
	struct gv_schema s;
	char spec[64];
	size_t i, n = 0;

	if (gv_schema_copy(&s, gv_reader_schema(r->in.first), e))
		return e->code;
	for (i = 0; i < s.nfields; i++) {
		r->keep[i] = !gv_visual_is(s.fields[i].name);
		if (r->keep[i])
			s.fields[n++] = s.fields[i];
	}
	s.nfields = n;
	snprintf(s.kind, sizeof s.kind, "%s", field());
	snprintf(spec, sizeof spec, "%s (N,%lld,%lld)", dtype ? "BF16" : "F32",
	    (long long)r->shape[1], (long long)r->shape[2]);
	for (i = 0; i < (stage == FULL ? 4 : 2) && !e->code; i++)
		if (gv_prov_add(digests, &f, parts[i], e))
			break;
	if (!e->code && !gv_schema_field(&s, field(), spec, "", e) &&
	    !gv_schema_prog(&s, prog.name,
		json_pack("[ssss]", "--stage",
		    stage == FULL ? "full" : "encoder", "--dtype",
		    dtype ? "bf16" : "f32"),
		json_incref(digests), e) &&
	    !gv_out_open(&r->o, common.output, true, common.force, e))
		i = (size_t)gv_writer_open(&r->w, r->o, &s, e);
	json_decref(digests);
	gv_schema_free(&s);
	return e->code;
}

/* The sizes that the model gives, and whether the stream is for it. */
static int
fit(struct run *r, const struct gv_config *c, struct gv_error *e)
{
	const struct gv_facts f = {model_dir, c, NULL};
	char spec[64];

	if (!c->has_vision)
		return gv_fail(
		    e, GV_ERR_MATCH, "'%s' has no vision tower", model_dir);
	if (stage == FULL && !c->has_text)
		return gv_fail(e, GV_ERR_MATCH,
		    "'%s' is a vision tower alone: take --stage encoder",
		    model_dir);
	if (gv_prov_check_input(
		gv_reader_schema(r->in.first), &f, GV_IN_IMAGE, e))
		return gv_fail_in(
		    e, "cannot use '%s'", gv_reader_name(r->in.first));
	snprintf(spec, sizeof spec, "U8 (N,%lld,%lld,3)",
	    (long long)c->vision.image, (long long)c->vision.image);
	if (gv_reader_need(r->in.first, "image", spec, &r->image, e))
		return e->code;
	r->image_bytes = (size_t)(c->vision.image * c->vision.image * 3);
	r->shape[1] = stage == FULL ? c->R : c->vision.P;
	r->shape[2] = stage == FULL ? c->text.C : c->vision.C;
	r->row = (size_t)(r->shape[1] * r->shape[2]);
	return begin(r, c, e);
}

static int
open_model(struct run *r, struct gv_error *e)
{
	struct gv_limits l = {.images = batch};
	unsigned parts = 1u << GV_VISION;
	struct gv_config c;

	if (stage == FULL)
		parts |= 1u << GV_RESAMPLER | 1u << GV_PROJECTOR;
	if (gv_config_open(&c, model_dir, e))
		return e->code;
	if (!fit(r, &c, e) &&
	    !gv_backend_open(&r->k, common.device, common.threads, e) &&
	    !gv_model_open(&r->m, r->k, model_dir, parts, e) &&
	    !gv_model_reserve(r->m, &l, e))
		cli_say(1, "%s", gvk_name(r->k));
	gv_config_free(&c);
	return e->code;
}

/* ---- the loop ------------------------------------------------------------ */

/* Encodes the images that wait. */
static int
encode(struct run *r, float *out, struct gv_error *e)
{
	size_t at;

	for (at = 0; at < r->images; at += (size_t)batch) {
		size_t left = r->images - at;
		struct gv_batch b = {.input = GV_IN_IMAGE,
		    .B = left < (size_t)batch ? (int64_t)left : batch,
		    .image = r->px + at * r->image_bytes};

		if (gv_model_vision(r->m, &b,
			stage == FULL ? GV_IN_EMBEDS : GV_IN_FEATURES,
			out + at * r->row, e))
			return e->code;
	}
	r->encoded += r->images;
	return 0;
}

static int
write_one(struct run *r, const struct waiting *w, const void *rows,
    struct gv_error *e)
{
	const struct gv_schema *s = gv_reader_schema(r->in.first);
	size_t i, size = dtype ? 2 : 4;

	if (gv_writer_begin(r->w, w->kept.key, e))
		return e->code;
	for (i = 0; i < w->kept.nfields; i++)
		if (r->keep[i] &&
		    gv_writer_value(r->w, s->fields[i].name, &w->kept.v[i], e))
			return e->code;
	r->shape[0] = w->n;
	if (gv_writer_tensor(r->w, field(), 3, r->shape,
		(const char *)rows + (size_t)w->first * r->row * size, e))
		return e->code;
	return gv_writer_end_rec(r->w, e);
}

/* Encodes and writes all that waits. */
static int
flush(struct run *r, struct gv_error *e)
{
	size_t n = r->images * r->row, i;
	float *out = gv_alloc(n, sizeof *out);
	uint16_t *half = dtype ? gv_alloc(n, sizeof *half) : NULL;

	if (!out || (dtype && !half))
		gv_fail(e, GV_ERR_NOMEM, "no memory for %zu images", r->images);
	if (!e->code && !encode(r, out, e) &&
	    (!dtype || !gv_from_f32(half, GV_BF16, out, n, e)))
		for (i = 0; i < r->waiting; i++)
			if (write_one(
				r, &r->wait[i], dtype ? (void *)half : out, e))
				break;
	for (i = 0; i < r->waiting; i++)
		gv_kept_free(&r->wait[i].kept);
	r->waiting = r->images = 0;
	gv_free(half);
	gv_free(out);
	return e->code;
}

/* Adds a record to those that wait; its images, too, unless they are those of
 * the record before it. */
static int
add(struct run *r, const struct gv_rec *rec, struct gv_error *e)
{
	const struct gv_tensor *t = &rec->v[r->image].t;
	size_t N = (size_t)t->shape[0], bytes = N * r->image_bytes;
	struct waiting *w, *last;
	void *p = r->wait, *px = r->px;

	if (gv_grow(&p, &r->wait_cap, r->waiting + 1, sizeof *r->wait))
		return gv_fail(e, GV_ERR_NOMEM, "no memory for a record");
	r->wait = p;
	w = &r->wait[r->waiting];
	last = r->waiting ? w - 1 : NULL;
	if (gv_keep(&w->kept, rec, r->keep,
		gv_reader_schema(r->in.first)->nfields, e))
		return e->code;
	r->waiting++;
	w->n = (int64_t)N;
	w->first = (int64_t)r->images;
	if (last && N && last->n == w->n &&
	    !memcmp(
		r->px + (size_t)last->first * r->image_bytes, t->data, bytes)) {
		w->first = last->first;
		return 0;
	}
	if (gv_grow(&px, &r->px_cap, r->images + N, r->image_bytes))
		return gv_fail(e, GV_ERR_NOMEM, "no memory for images");
	r->px = px;
	if (bytes)
		memcpy(r->px + r->images * r->image_bytes, t->data, bytes);
	r->images += N;
	return 0;
}

static int
loop(struct run *r, struct gv_error *e)
{
	struct gv_rec rec;
	int more;

	while ((more = gv_inputs_next(&r->in, &rec, e)) > 0) {
		if (add(r, &rec, e))
			return e->code;
		/* records without images must not pile up */
		if ((r->images >= (size_t)batch || r->waiting >= 1024) &&
		    flush(r, e))
			return e->code;
		cli_progress("%llu records, %llu images encoded",
		    (unsigned long long)r->in.records,
		    (unsigned long long)r->encoded);
	}
	return more < 0 ? more : flush(r, e);
}

int
main(int argc, char **argv)
{
	int n = cli_start(&prog, &common, argc, argv);
	struct gv_error e = {0};
	struct run r = {0};

	if (!model_dir)
		cli_usage("no model: -m DIR");
	if (stage < 0)
		cli_usage("no stage: --stage encoder|full");
	if (gv_inputs_open(&r.in, argv + 1, n, &e) || open_model(&r, &e) ||
	    loop(&r, &e))
		cli_die(&e);
	cli_say(1, "%llu records, %llu images encoded",
	    (unsigned long long)r.in.records, (unsigned long long)r.encoded);
	if (gv_writer_close(&r.w, r.in.bad, &e) || gv_out_commit(&r.o, &e))
		cli_die(&e);
	gv_free(r.px);
	gv_free(r.wait);
	gv_model_close(&r.m);
	gvk_close(&r.k);
	gv_inputs_close(&r.in);
	return cli_finish();
}
