/* Examples end to end in one batch, with shared images and prefixes. */
#include "batch.h"

#include "mem.h"
#include "banned.h"

/* Sharing fewer rows than this costs more sequences than it saves. */
#define MIN_SHARED 8

struct gv_packer {
	struct gv_config cfg; /* a view: nothing owned */
	int64_t max_tokens, max_images;
	int64_t N, S, M, B;
	int32_t max_q, max_k;
	bool bytes_known;
	enum gv_input input;
	enum gv_dtype dtype;
	/* rows */
	int32_t *id, *pos;
	/* sequences */
	int32_t *q_at, *p_at, *p_len;
	/* trained positions */
	int32_t *out, *target, *bytes;
	float *g;
	/* images */
	uint8_t *image;
	uint64_t *hash;
	size_t image_cap;
	/* the example being added: its ids with rows of images */
	int32_t *mapped, *slot;
	size_t mapped_cap, slot_cap;
};

int
gv_packer_open(struct gv_packer **out, const struct gv_config *c,
    int64_t max_tokens, int64_t max_images, struct gv_error *e)
{
	struct gv_packer *p = gv_alloc(1, sizeof *p);
	size_t n = (size_t)max_tokens;

	if (!p)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	p->cfg = *c;
	p->max_tokens = max_tokens;
	p->max_images = max_images;
	p->id = gv_alloc(n, sizeof *p->id);
	p->pos = gv_alloc(n, sizeof *p->pos);
	p->q_at = gv_alloc(n + 1, sizeof *p->q_at);
	p->p_at = gv_alloc(n, sizeof *p->p_at);
	p->p_len = gv_alloc(n, sizeof *p->p_len);
	p->out = gv_alloc(n, sizeof *p->out);
	p->target = gv_alloc(n, sizeof *p->target);
	p->bytes = gv_alloc(n, sizeof *p->bytes);
	p->g = gv_alloc(n, sizeof *p->g);
	p->hash = gv_alloc((size_t)max_images, sizeof *p->hash);
	*out = p;
	if (!p->id || !p->pos || !p->q_at || !p->p_at || !p->p_len || !p->out ||
	    !p->target || !p->bytes || !p->g || !p->hash) {
		gv_packer_close(out);
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	}
	gv_packer_reset(p);
	return 0;
}

void
gv_packer_close(struct gv_packer **out)
{
	struct gv_packer *p = *out;

	if (!p)
		return;
	*out = NULL;
	gv_free(p->id);
	gv_free(p->pos);
	gv_free(p->q_at);
	gv_free(p->p_at);
	gv_free(p->p_len);
	gv_free(p->out);
	gv_free(p->target);
	gv_free(p->bytes);
	gv_free(p->g);
	gv_free(p->hash);
	gv_free(p->image);
	gv_free(p->mapped);
	gv_free(p->slot);
	gv_free(p);
}

void
gv_packer_reset(struct gv_packer *p)
{
	p->N = p->S = p->M = p->B = 0;
	p->max_q = p->max_k = 0;
	p->bytes_known = true;
	p->input = GV_IN_NONE;
}

/* ---- images -------------------------------------------------------------- */

/* FNV-1a over 8-byte words: only a filter before memcmp(). */
static uint64_t
hash_of(const uint8_t *p, size_t n)
{
	uint64_t h = 14695981039346656037u, w;

	for (; n >= 8; n -= 8, p += 8) {
		memcpy(&w, p, 8);
		h = (h ^ w) * 1099511628211u;
		h ^= h >> 29;
	}
	while (n--)
		h = (h ^ *p++) * 1099511628211u;
	return h;
}

/* The place of an image in the batch, a new one if it is not there yet; -1 if
 * the batch has no room. */
static int64_t
place(struct gv_packer *p, const uint8_t *px, size_t n, struct gv_error *e)
{
	uint64_t h = hash_of(px, n);
	void *v = p->image;
	int64_t i;

	for (i = 0; i < p->B; i++)
		if (p->hash[i] == h && !memcmp(p->image + (size_t)i * n, px, n))
			return i;
	if (p->B == p->max_images)
		return -1;
	if (gv_grow(&v, &p->image_cap, ((size_t)p->B + 1) * n, 1))
		return gv_fail(e, GV_ERR_NOMEM, "out of memory") - 1;
	p->image = v;
	memcpy(p->image + (size_t)p->B * n, px, n);
	p->hash[p->B] = h;
	return p->B++;
}

/* Fills in p->mapped: token ids, and ~row for image rows.  1, 0 (no room) or
 * an error. */
static int
map_images(struct gv_packer *p, const struct gv_example *x, struct gv_error *e)
{
	void *m = p->mapped, *s = p->slot;
	int32_t i, k, d = 0, nth = 0, R = (int32_t)p->cfg.R;

	if (gv_grow(&m, &p->mapped_cap, (size_t)x->T + 1, sizeof(int32_t)))
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	p->mapped = m;
	if (gv_grow(&s, &p->slot_cap, (size_t)x->N + 1, sizeof(int32_t)))
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	p->slot = s;
	if (x->T)
		memcpy(p->mapped, x->token, (size_t)x->T * sizeof *x->token);
	if (x->runs && p->B && p->input != x->input)
		return 0;
	for (i = 0; x->runs && i < x->N; i++) {
		int64_t at =
		    place(p, (uint8_t *)x->image + (size_t)i * x->image_bytes,
			x->image_bytes, e);

		if (at < 0)
			return at == -1 ? 0 : e->code;
		p->slot[i] = (int32_t)at;
	}
	if (x->runs) {
		p->input = x->input;
		p->dtype = x->dtype;
	}
	for (i = 0; i < x->runs; i++, nth++) {
		while (x->image_at[i] >= x->start[d + 1]) {
			d++;
			nth = 0;
		}
		for (k = 0; k < R; k++)
			p->mapped[x->image_at[i] + k] = ~(p->slot[nth] * R + k);
	}
	return 1;
}

/* ---- sequences ----------------------------------------------------------- */

/* One sequence of an example, as far as it matters: up to its last trained
 * position. */
struct span {
	int32_t at, len;
	int32_t first; /* trained position, from `at` */
	int32_t image; /* end of its last image, from `at`; 0: none */
};

static bool
span_of(const struct gv_packer *p, const struct gv_example *x, int32_t d,
    struct span *s)
{
	int32_t i, lo = x->start[d], hi = x->start[d + 1];

	s->at = lo;
	s->first = -1;
	s->len = s->image = 0;
	for (i = lo; i < hi; i++) {
		if (x->target[i] >= 0) {
			if (s->first < 0)
				s->first = i - lo;
			s->len = i - lo + 1;
		}
		if (p->mapped[i] < 0)
			s->image = i - lo + 1;
	}
	return s->first >= 0;
}

static int32_t
min32(int32_t a, int32_t b)
{
	return a < b ? a : b;
}

/* Rows that two sequences may share: equal, before anything is trained. */
static int32_t
shared(const struct gv_packer *p, const struct span *a, const struct span *b)
{
	int32_t n = min32(min32(a->first, b->first), min32(a->len, b->len) - 1);
	int32_t i = 0;

	while (i < n && p->mapped[a->at + i] == p->mapped[b->at + i])
		i++;
	return i;
}

/* Appends rows [from, to) of a sequence; false if the batch is full. */
static bool
append(struct gv_packer *p, const struct gv_example *x, const struct span *s,
    int32_t from, int32_t to, int32_t p_at, int32_t p_len)
{
	int32_t i;

	if (p->N + (to - from) > p->max_tokens || p->S >= p->max_tokens)
		return false;
	p->q_at[p->S] = (int32_t)p->N;
	p->p_at[p->S] = p_at;
	p->p_len[p->S] = p_len;
	for (i = from; i < to; i++) {
		int32_t t = s->at + i;

		p->pos[p->N] = i;
		p->id[p->N] = p->mapped[t];
		if (x->target[t] >= 0) {
			p->out[p->M] = (int32_t)p->N;
			p->target[p->M] = x->target[t];
			p->bytes[p->M] = x->bytes ? x->bytes[t] : 0;
			p->M++;
		}
		p->N++;
	}
	p->q_at[++p->S] = (int32_t)p->N;
	if (to - from > p->max_q)
		p->max_q = to - from;
	if (to - from + p_len > p->max_k)
		p->max_k = to - from + p_len;
	return true;
}

/* Adds the sequence `a` = x's d-th and the ones after it that share its
 * beginning; *next is the first that doesn't. */
static bool
add_family(struct gv_packer *p, const struct gv_example *x, int32_t d,
    const struct span *a, int32_t *next)
{
	int32_t at = (int32_t)p->N, common = 0, i;
	struct span b;

	*next = d + 1;
	for (i = d + 1; i < x->D; i++) {
		int32_t n;

		if (!span_of(p, x, i, &b))
			continue;
		n = shared(p, a, &b);
		if (!common && a->image && n >= a->image)
			n = a->image;
		if (n < MIN_SHARED || (common && n < common))
			break;
		if (!common) {
			common = n;
			if (!append(p, x, a, 0, n, 0, 0) ||
			    !append(p, x, a, n, a->len, at, n))
				return false;
		}
		if (!append(p, x, &b, common, b.len, at, common))
			return false;
		*next = i + 1;
	}
	return common || append(p, x, a, 0, a->len, 0, 0);
}

static bool
add_all(struct gv_packer *p, const struct gv_example *x)
{
	struct span a;
	int32_t d = 0;

	while (d < x->D) {
		if (!span_of(p, x, d, &a))
			d++;
		else if (!add_family(p, x, d, &a, &d))
			return false;
	}
	return true;
}

int
gv_packer_add(
    struct gv_packer *p, const struct gv_example *x, struct gv_error *e)
{
	struct gv_packer was = *p;
	int r;

	if (!x->trained)
		return 1; /* nothing in it that counts */
	r = map_images(p, x, e);
	if (r > 0) {
		p->bytes_known = p->bytes_known && x->bytes;
		if (add_all(p, x))
			return 1;
		r = 0;
	}
	/* roll back the counts; buffers that grew stay */
	p->N = was.N;
	p->S = was.S;
	p->M = was.M;
	p->B = was.B;
	p->max_q = was.max_q;
	p->max_k = was.max_k;
	p->bytes_known = was.bytes_known;
	if (!was.B)
		p->input = was.input;
	if (r < 0 || was.S)
		return r;
	return gv_fail(e, GV_ERR_LIMIT,
	    "record '%s' needs a larger batch: more than %lld tokens "
	    "(--micro-tokens) or %lld images (--micro-images)",
	    x->key, (long long)p->max_tokens, (long long)p->max_images);
}

void
gv_packer_batch(struct gv_packer *p, float weight, struct gv_batch *b,
    const int32_t **bytes)
{
	int64_t i;

	memset(b, 0, sizeof *b);
	for (i = 0; i < p->M; i++)
		p->g[i] = weight;
	b->input = p->B ? p->input : GV_IN_NONE;
	b->B = p->B;
	b->image = p->image;
	b->dtype = p->dtype;
	b->N = p->N;
	b->id = p->id;
	b->pos = p->pos;
	b->S = p->S;
	b->q_at = p->q_at;
	b->p_at = p->p_at;
	b->p_len = p->p_len;
	b->max_q = p->max_q;
	b->max_k = p->max_k;
	b->M = p->M;
	b->out = p->out;
	b->every = p->M == p->N; /* they ascend */
	b->target = p->target;
	b->g = p->g;
	*bytes = p->bytes_known ? p->bytes : NULL;
}

void
gv_packer_limits(const struct gv_packer *p, bool backward, struct gv_limits *l)
{
	memset(l, 0, sizeof *l);
	l->backward = backward;
	l->images = p->cfg.has_vision ? p->max_images : 0;
	l->tokens = l->seqs = l->outs = l->max_q = l->max_k = p->max_tokens;
}
