/* Records of a tokens stream as examples: checked, copied, cut to length. */
#include "batch.h"

#include "mem.h"
#include "banned.h"

struct gv_examples {
	struct gv_reader *r;
	struct gv_config cfg; /* a view: nothing owned */
	int32_t max_length;
	size_t tokens;
	/* field indices, -1 if absent; there are targets or a mask */
	int targets, mask, bytes, starts, image_at, image;
	enum gv_input input;
	enum gv_dtype rows; /* features and embeds become */
	float *f32; /* on the way there */
	size_t f32_cap;
	uint64_t cut;
};

enum { CAP_TOKEN, CAP_START, CAP_AT, CAP_IMAGE };

void
gv_example_free(struct gv_example *x)
{
	gv_free(x->token);
	gv_free(x->start);
	gv_free(x->image_at);
	gv_free(x->image);
	memset(x, 0, sizeof *x);
}

/* The images of a record enter as pixels, features or embeds. */
static int
find_images(struct gv_examples *x, struct gv_error *e)
{
	static const struct {
		const char *name;
		enum gv_input input;
	} kinds[] = {{"embeds", GV_IN_EMBEDS}, {"features", GV_IN_FEATURES},
	    {"image", GV_IN_IMAGE}};
	size_t i;

	x->image = -1;
	x->input = GV_IN_NONE;
	for (i = 0; i < 3; i++) {
		int at = gv_reader_has(x->r, kinds[i].name);

		if (at < 0)
			continue;
		if (x->image >= 0)
			return gv_fail(e, GV_ERR_MATCH,
			    "'%s' has images in two forms: cut one field",
			    gv_reader_name(x->r));
		x->image = at;
		x->input = kinds[i].input;
	}
	if (x->image >= 0 && !(x->cfg.has_vision && x->cfg.has_text))
		return gv_fail(e, GV_ERR_MATCH,
		    "'%s' has images, and this model takes none",
		    gv_reader_name(x->r));
	return 0;
}

static int
find_targets(struct gv_examples *x, struct gv_error *e)
{
	size_t at = 0;

	x->targets = gv_reader_has(x->r, "targets");
	x->mask = gv_reader_has(x->r, "loss_mask");
	if (x->targets < 0 && x->mask >= 0)
		return gv_reader_need(x->r, "loss_mask", "U8 (T)", &at, e);
	return gv_reader_need(x->r, "targets", "I32 (T)", &at, e);
}

int
gv_examples_open(struct gv_examples **out, struct gv_reader *r,
    const struct gv_config *c, int32_t max_length, enum gv_dtype rows,
    struct gv_error *e)
{
	struct gv_examples *x = gv_alloc(1, sizeof *x);

	if (!x)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	x->r = r;
	x->cfg = *c;
	x->max_length = max_length;
	x->rows = rows;
	if (gv_reader_need(r, "tokens", "I32 (T)", &x->tokens, e) ||
	    find_targets(x, e) || find_images(x, e)) {
		gv_free(x);
		return e->code;
	}
	x->bytes = gv_reader_has(r, "bytes");
	x->starts = gv_reader_has(r, "starts");
	x->image_at = gv_reader_has(r, "image_at");
	*out = x;
	return 0;
}

void
gv_examples_close(struct gv_examples **x)
{
	if (*x)
		gv_free((*x)->f32);
	gv_free(*x);
	*x = NULL;
}

uint64_t
gv_examples_cut(const struct gv_examples *x)
{
	return x->cut;
}

static int
wrong(const struct gv_example *ex, const struct gv_rec *rec, struct gv_error *e,
    const char *what)
{
	char q[GV_MAX_KEY];

	return gv_fail(e, GV_ERR_MATCH, "record %llu ('%s'): %s",
	    (unsigned long long)rec->n,
	    gv_quote(q, sizeof q, ex->key, strlen(ex->key)), what);
}

/* An I32 vector of the record, of `want` elements if want >= 0. */
static int
vector(const struct gv_example *ex, const struct gv_rec *rec, int at,
    int64_t want, const int32_t **v, int32_t *n, struct gv_error *e)
{
	const struct gv_tensor *t = &rec->v[at].t;

	if (t->dtype != GV_I32 || t->rank != 1 ||
	    (want >= 0 && t->shape[0] != want) || t->shape[0] > INT32_MAX)
		return wrong(ex, rec, e,
		    "a field that counts tokens is not a vector of I32 of "
		    "the right length");
	*v = t->data;
	*n = (int32_t)t->shape[0];
	return 0;
}

/* The mask of the record's T tokens. */
static int
mask_of(const struct gv_examples *x, const struct gv_example *ex,
    const struct gv_rec *rec, int32_t T, const uint8_t **mask,
    struct gv_error *e)
{
	const struct gv_tensor *t = &rec->v[x->mask].t;

	if (t->dtype != GV_U8 || t->rank != 1 || t->shape[0] != T)
		return wrong(ex, rec, e,
		    "'loss_mask' is not a vector of U8, one a token");
	*mask = t->data;
	return 0;
}

static int
copy_tokens(struct gv_examples *x, struct gv_example *ex,
    const struct gv_rec *rec, struct gv_error *e)
{
	const int32_t *tok = NULL, *tgt = NULL, *byt = NULL;
	const uint8_t *mask = NULL;
	int32_t T = 0, n, i;

	if (vector(ex, rec, (int)x->tokens, -1, &tok, &T, e) ||
	    (x->targets >= 0 ? vector(ex, rec, x->targets, T, &tgt, &n, e)
			     : mask_of(x, ex, rec, T, &mask, e)) ||
	    (x->bytes >= 0 && vector(ex, rec, x->bytes, T, &byt, &n, e)))
		return e->code;
	if (gv_room(&ex->token, &ex->cap[CAP_TOKEN], 3 * (size_t)T + 3,
		sizeof *tok, e))
		return e->code;
	ex->T = T;
	ex->target = ex->token + T;
	ex->bytes = byt ? ex->target + T : NULL;
	ex->trained = 0;
	for (i = 0; i < T; i++) {
		int32_t next = tgt ? tgt[i] : -1;

		if (!tgt && i + 1 < T && mask[i + 1])
			next = tok[i + 1];
		if (tok[i] < 0 || tok[i] >= x->cfg.text.V || next < -1 ||
		    next >= x->cfg.text.V)
			return wrong(ex, rec, e,
			    "a token id is outside the model's vocabulary");
		ex->token[i] = tok[i];
		ex->target[i] = next;
		if (byt)
			ex->bytes[i] = byt[i];
		ex->trained += next >= 0;
	}
	return 0;
}

static int
copy_starts(struct gv_examples *x, struct gv_example *ex,
    const struct gv_rec *rec, struct gv_error *e)
{
	static const int32_t zero = 0;
	const int32_t *s = &zero;
	int32_t D = 1, i;

	if (x->starts >= 0 && vector(ex, rec, x->starts, -1, &s, &D, e))
		return e->code;
	/* every sequence may be cut into pieces of max_length */
	if (gv_room(&ex->start, &ex->cap[CAP_START],
		(size_t)D + 1 + (size_t)(ex->T / x->max_length) + 1, sizeof *s,
		e))
		return e->code;
	for (i = 0; i < D; i++) {
		if (s[i] < 0 || s[i] >= ex->T || (i ? s[i] <= s[i - 1] : s[i]))
			return wrong(
			    ex, rec, e, "'starts' does not ascend from 0");
		ex->start[i] = s[i];
	}
	ex->start[D] = ex->T;
	ex->D = ex->T ? D : 0;
	return 0;
}

/* n numbers of features or embeds in the type that is wanted. */
static int
copy_rows(struct gv_examples *x, void *to, const struct gv_tensor *t, size_t n,
    struct gv_error *e)
{
	if (t->dtype == x->rows && n) {
		memcpy(to, t->data, t->bytes);
		return 0;
	}
	if (x->rows == GV_F32)
		return gv_to_f32(to, t->data, t->dtype, n, e);
	if (t->dtype == GV_F32)
		return gv_from_f32(to, x->rows, t->data, n, e);
	if (gv_room(&x->f32, &x->f32_cap, n, sizeof *x->f32, e) ||
	    gv_to_f32(x->f32, t->data, t->dtype, n, e))
		return e->code;
	return gv_from_f32(to, x->rows, x->f32, n, e);
}

static int
copy_images(struct gv_examples *x, struct gv_example *ex,
    const struct gv_rec *rec, struct gv_error *e)
{
	const struct gv_config *c = &x->cfg;
	const struct gv_tensor *t;
	int64_t want[4] = {0, 0, 0, 0};
	size_t n;
	int rank = 3, i;

	ex->N = 0;
	ex->input = x->input;
	if (x->image < 0)
		return 0;
	t = &rec->v[x->image].t;
	if (x->input == GV_IN_IMAGE) {
		rank = 4;
		want[1] = want[2] = c->vision.image;
		want[3] = 3;
	} else if (x->input == GV_IN_FEATURES) {
		want[1] = c->vision.P;
		want[2] = c->vision.C;
	} else {
		want[1] = c->R;
		want[2] = c->text.C;
	}
	if (t->rank != rank || t->shape[0] > 65536)
		return wrong(ex, rec, e, "images of another rank");
	for (i = 1; i < rank && t->shape[0]; i++)
		if (t->shape[i] != want[i])
			return wrong(ex, rec, e,
			    "images of another size than the model's");
	ex->N = (int32_t)t->shape[0];
	n = t->bytes / gv_dtype_size(t->dtype);
	ex->dtype = x->input == GV_IN_IMAGE ? GV_U8 : x->rows;
	ex->image_bytes =
	    ex->N ? n / (size_t)ex->N * gv_dtype_size(ex->dtype) : 0;
	if (gv_room(&ex->image, &ex->cap[CAP_IMAGE],
		ex->image_bytes * (size_t)ex->N + 1, 1, e))
		return e->code;
	if (x->input != GV_IN_IMAGE)
		return copy_rows(x, ex->image, t, n, e);
	if (t->dtype != GV_U8)
		return wrong(ex, rec, e, "pixels that are not U8");
	memcpy(ex->image, t->data, t->bytes);
	return 0;
}

/* A sequence shows all images of its record or none, each in a run of R
 * placeholders, and has no other placeholders. */
static int
check_runs(struct gv_examples *x, struct gv_example *ex,
    const struct gv_rec *rec, struct gv_error *e)
{
	int32_t d, i, k, r = 0, R = (int32_t)x->cfg.R, id = x->cfg.image_token;

	for (d = 0; d < ex->D; d++) {
		int32_t lo = ex->start[d], hi = ex->start[d + 1], seen = 0;
		int32_t first = r, found = 0;

		for (; r < ex->runs && ex->image_at[r] < hi; r++, seen += R) {
			int32_t at = ex->image_at[r];

			if (at < lo || hi - at < R ||
			    (r > first && at < ex->image_at[r - 1] + R))
				return wrong(ex, rec, e,
				    "'image_at' points outside its sequence");
			for (k = 0; k < R; k++)
				found += ex->token[at + k] == id;
		}
		for (i = lo; id >= 0 && i < hi; i++)
			seen -= ex->token[i] == id;
		if (seen || found != (r - first) * R)
			return wrong(ex, rec, e,
			    "placeholders and 'image_at' don't agree");
		if (r > first && r - first != ex->N)
			return wrong(ex, rec, e,
			    "the placeholders are not those of its images");
	}
	if (r != ex->runs)
		return wrong(ex, rec, e, "'image_at' does not ascend");
	return 0;
}

static int
copy_runs(struct gv_examples *x, struct gv_example *ex,
    const struct gv_rec *rec, struct gv_error *e)
{
	const int32_t *at;
	int32_t n = 0;

	ex->runs = 0;
	if (x->image_at >= 0) {
		if (vector(ex, rec, x->image_at, -1, &at, &n, e) ||
		    gv_room(&ex->image_at, &ex->cap[CAP_AT], (size_t)n + 1,
			sizeof *at, e))
			return e->code;
		if (n)
			memcpy(ex->image_at, at, (size_t)n * sizeof *at);
		ex->runs = n;
	}
	return check_runs(x, ex, rec, e);
}

/* Takes tokens [at, end) out of training and out of the example's count. */
static void
forget(struct gv_example *ex, int32_t at, int32_t end)
{
	for (; at < end; at++) {
		ex->trained -= ex->target[at] >= 0;
		ex->target[at] = -1;
	}
}

/* Cuts sequences to max_length.  Text goes on in a new sequence; behind an
 * image the rest is dropped (the tail becomes a sequence without trained
 * tokens, which the packer leaves out). */
static int
cut(struct gv_examples *x, struct gv_example *ex, const struct gv_rec *rec,
    struct gv_error *e)
{
	int32_t max = x->max_length, d, r = 0;

	for (d = 0; d < ex->D; d++) {
		int32_t lo = ex->start[d], hi = ex->start[d + 1];
		int32_t last = -1;

		for (; r < ex->runs && ex->image_at[r] < hi; r++)
			last = ex->image_at[r] + (int32_t)x->cfg.R;
		if (hi - lo <= max)
			continue;
		if (last > lo + max)
			return wrong(ex, rec, e,
			    "its images alone exceed the maximum length");
		if (last >= 0) {
			x->cut++;
			forget(ex, lo + max, hi);
		}
		if (gv_room(&ex->start, &ex->cap[CAP_START], (size_t)ex->D + 2,
			sizeof *ex->start, e))
			return e->code;
		memmove(&ex->start[d + 2], &ex->start[d + 1],
		    (size_t)(ex->D - d) * sizeof *ex->start);
		ex->start[d + 1] = lo + max;
		ex->D++;
	}
	return 0;
}

int
gv_examples_take(struct gv_examples *x, struct gv_example *ex,
    const struct gv_rec *rec, struct gv_error *e)
{
	snprintf(ex->key, sizeof ex->key, "%s", rec->key);
	if (copy_tokens(x, ex, rec, e) || copy_starts(x, ex, rec, e) ||
	    copy_images(x, ex, rec, e) || copy_runs(x, ex, rec, e))
		return e->code;
	return cut(x, ex, rec, e);
}

int
gv_examples_next(
    struct gv_examples *x, struct gv_example *ex, struct gv_error *e)
{
	struct gv_rec rec;
	int r = gv_reader_next(x->r, &rec, e);

	if (r <= 0)
		return r;
	return gv_examples_take(x, ex, &rec, e) ? e->code : 1;
}
