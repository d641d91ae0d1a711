/* The harness of the kernel checks; see check.h. */
#include "check.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GUARD        256 /* bytes before and after each buffer */
#define GUARD_BYTE   0xa5
#define DEFAULT_SEED 20261123

/* Tolerances by storage type.  F32: rounding is 6e-8 an operation, and sums of
 * up to some hundred terms in any order.  BF16: an output's own rounding is
 * 2^-9 = 2e-3 of its value; DEEP has rounded values in between, CANCEL the
 * difference of two. */
static const double tolerance[2][6] = {
    /*	     EXACT ELEM  SUM   DEEP  CANCEL STORED */
    [0] = {0, 1e-6, 4e-6, 2e-5, 2e-5, 4e-6}, /* F32 */
    [1] = {0, 4e-3, 6e-3, 2e-2, 4e-2, 1e-2}, /* BF16 */
};

enum role { ROLE_IN, ROLE_OUT, ROLE_INOUT, ROLE_WS };

struct node { /* a buffer and what it held before the call */
	struct chk_buf buf;
	struct node *next;
	enum role role;
	unsigned char *base, *before; /* device, host */
	size_t bytes;
};

struct block { /* a host array */
	struct block *next;
	_Alignas(16) unsigned char data[];
};

struct harness {
	uint64_t seed, rng;
	struct node *node;
	struct block *block;
	uint64_t *digest; /* of each output, first run of an ISA */
	size_t digests, digest_cap, at;
	const char *isa;
	bool first; /* this run sets the digests */
	bool same;
	int count, failed;
};

static struct harness *
own(struct chk *c)
{
	return c->private;
}

static void
fatal(const char *what)
{
	printf("Bail out! %s\n", what);
	exit(1);
}

static void
report(struct chk *c, bool pass, const char *fmt, va_list ap)
{
	struct harness *h = own(c);

	printf("%s %d - %s: ", pass ? "ok" : "not ok", ++h->count, h->isa);
	vprintf(fmt, ap);
	putchar('\n');
	h->failed += !pass;
}

static void __attribute__((format(printf, 3, 4)))
report_line(struct chk *c, bool pass, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	report(c, pass, fmt, ap);
	va_end(ap);
}

void
chk_ok(struct chk *c, bool pass, const char *fmt, ...)
{
	va_list ap;

	if (pass && !c->ref)
		return;
	va_start(ap, fmt);
	report(c, pass, fmt, ap);
	va_end(ap);
}

/* ---- random numbers and host arrays ------------------------------------- */

/* SplitMix64. */
static uint64_t
next_u64(struct harness *h)
{
	uint64_t z = h->rng += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static double
next_normal(struct harness *h)
{
	double u = (double)(next_u64(h) >> 11) * 0x1p-53;
	double v = (double)(next_u64(h) >> 11) * 0x1p-53;

	return sqrt(-2 * log(1 - u)) * cos(6.283185307179586 * v);
}

static void *
take(struct chk *c, size_t n, size_t size)
{
	struct block *b = calloc(1, sizeof *b + n * size + 16);

	if (!b)
		fatal("out of memory");
	b->next = own(c)->block;
	own(c)->block = b;
	return b->data;
}

double *
chk_zeros(struct chk *c, size_t n)
{
	return take(c, n, sizeof(double));
}

static uint16_t
to_bf16(double x)
{
	float f = (float)x;
	uint32_t u;

	memcpy(&u, &f, 4);
	if (f != f)
		return (uint16_t)(u >> 16 | 0x40);
	return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

static double
from_bf16(uint16_t h)
{
	uint32_t u = (uint32_t)h << 16;
	float f;

	memcpy(&f, &u, 4);
	return (double)f;
}

static double
round_to(enum gvk_dtype t, double x)
{
	return t == GVK_BF16 ? from_bf16(to_bf16(x)) : (double)(float)x;
}

static double *
random_array(struct chk *c, size_t n, double std, enum gvk_dtype t)
{
	double *x = chk_zeros(c, n);
	size_t i;

	for (i = 0; i < n; i++)
		x[i] = round_to(t, std * next_normal(own(c)));
	return x;
}

double *
chk_rand(struct chk *c, size_t n, double std)
{
	return random_array(c, n, std, gvk_dtype(c->k));
}

double *
chk_rand_f32(struct chk *c, size_t n, double std)
{
	return random_array(c, n, std, GVK_F32);
}

int64_t
chk_below(struct chk *c, int64_t below)
{
	return (int64_t)(next_u64(own(c)) % (uint64_t)below);
}

int32_t *
chk_rand_ids(struct chk *c, size_t n, int32_t below)
{
	int32_t *id = take(c, n, sizeof *id);
	size_t i;

	for (i = 0; i < n; i++)
		id[i] = (int32_t)chk_below(c, below);
	return id;
}

int32_t *
chk_shuffle(struct chk *c, size_t n)
{
	int32_t *id = take(c, n, sizeof *id);
	size_t i, j;

	for (i = 0; i < n; i++) {
		j = (size_t)chk_below(c, (int64_t)i + 1);
		id[i] = id[j];
		id[j] = (int32_t)i;
	}
	return id;
}

/* ---- buffers ------------------------------------------------------------ */

static void
sync_stream(struct chk *c)
{
	char err[256];

	if (gvk_sync(c->s, err, sizeof err))
		fatal(err);
}

/* A buffer that holds `bytes` bytes of `content`, between guards. */
static struct chk_buf *
place(struct chk *c, enum role role, enum gvk_dtype type, const void *content,
    size_t bytes)
{
	struct node *b = calloc(1, sizeof *b);
	size_t all = bytes + 2 * GUARD;

	if (!b || !(b->before = malloc(all)) ||
	    !(b->base = gvk_alloc(c->k, all)))
		fatal("out of memory");
	memset(b->before, GUARD_BYTE, all);
	if (bytes)
		memcpy(b->before + GUARD, content, bytes);
	gvk_put(c->s, b->base, b->before, all);
	sync_stream(c);
	b->role = role;
	b->bytes = bytes;
	b->buf.p = b->base + GUARD;
	b->buf.n = bytes / gvk_dtype_size(type);
	b->buf.type = type;
	b->next = own(c)->node;
	own(c)->node = b;
	return &b->buf;
}

static struct chk_buf *
place_doubles(struct chk *c, enum role role, enum gvk_dtype type,
    const double *x, size_t n)
{
	float *f = take(c, n, sizeof *f);
	uint16_t *h = (uint16_t *)(void *)f;
	size_t i;

	for (i = 0; i < n; i++) {
		double v = x ? x[i] : (double)NAN;

		if (type == GVK_BF16)
			h[i] = to_bf16(v);
		else
			f[i] = (float)v;
	}
	return place(c, role, type, f, n * gvk_dtype_size(type));
}

struct chk_buf *
chk_in(struct chk *c, const double *x, size_t n)
{
	return place_doubles(c, ROLE_IN, gvk_dtype(c->k), x, n);
}

struct chk_buf *
chk_in_f32(struct chk *c, const double *x, size_t n)
{
	return place_doubles(c, ROLE_IN, GVK_F32, x, n);
}

struct chk_buf *
chk_in_i32(struct chk *c, const int32_t *x, size_t n)
{
	return place(c, ROLE_IN, GVK_I32, x, n * sizeof *x);
}

struct chk_buf *
chk_in_u8(struct chk *c, const uint8_t *x, size_t n)
{
	return place(c, ROLE_IN, GVK_U8, x, n);
}

struct chk_buf *
chk_in_bytes(struct chk *c, const void *x, size_t bytes)
{
	return place(c, ROLE_IN, GVK_U8, x, bytes);
}

struct chk_buf *
chk_out(struct chk *c, size_t n)
{
	return place_doubles(c, ROLE_OUT, gvk_dtype(c->k), NULL, n);
}

struct chk_buf *
chk_out_f32(struct chk *c, size_t n)
{
	return place_doubles(c, ROLE_OUT, GVK_F32, NULL, n);
}

static struct chk_buf *
place_filled(struct chk *c, enum role role, enum gvk_dtype type, size_t bytes)
{
	void *fill = take(c, bytes, 1);

	memset(fill, 0xff, bytes);
	return place(c, role, type, fill, bytes);
}

struct chk_buf *
chk_out_i32(struct chk *c, size_t n)
{
	return place_filled(c, ROLE_OUT, GVK_I32, n * 4);
}

struct chk_buf *
chk_out_bytes(struct chk *c, size_t bytes)
{
	return place_filled(c, ROLE_OUT, GVK_U8, bytes);
}

struct chk_buf *
chk_inout(struct chk *c, const double *x, size_t n)
{
	return place_doubles(c, ROLE_INOUT, gvk_dtype(c->k), x, n);
}

struct chk_buf *
chk_inout_f32(struct chk *c, const double *x, size_t n)
{
	return place_doubles(c, ROLE_INOUT, GVK_F32, x, n);
}

struct chk_buf *
chk_ws(struct chk *c, size_t bytes)
{
	return place_filled(c, ROLE_WS, GVK_U8, bytes);
}

/* ---- looking at results ------------------------------------------------- */

static const struct node *
node_of(struct chk *c, const struct chk_buf *b)
{
	const struct node *n;

	for (n = own(c)->node; n; n = n->next)
		if (&n->buf == b)
			return n;
	fatal("not a buffer of this case");
	return NULL;
}

/* The buffer with its guards as it is now. */
static unsigned char *
fetch(struct chk *c, const struct node *b)
{
	unsigned char *now = take(c, b->bytes + 2 * GUARD, 1);

	gvk_get(c->s, now, b->base, b->bytes + 2 * GUARD);
	sync_stream(c);
	return now;
}

bool
chk_guards_whole(struct chk *c, const struct chk_buf *buf)
{
	const struct node *b = node_of(c, buf);
	const unsigned char *now = fetch(c, b);
	size_t end = GUARD + b->bytes;

	return memcmp(now, b->before, GUARD) == 0 &&
	       memcmp(now + end, b->before + end, GUARD) == 0;
}

bool
chk_unchanged(struct chk *c, const struct chk_buf *buf)
{
	const struct node *b = node_of(c, buf);

	return memcmp(fetch(c, b), b->before, b->bytes + 2 * GUARD) == 0;
}

/* FNV-1a of an output's bits: the first run keeps it, others compare. */
static void
digest(struct chk *c, const unsigned char *data, size_t n)
{
	struct harness *h = own(c);
	uint64_t d = 0xcbf29ce484222325u;
	size_t i;

	for (i = 0; i < n; i++)
		d = (d ^ data[i]) * 0x100000001b3u;
	if (h->first) {
		if (h->digests == h->digest_cap) {
			h->digest_cap = 2 * h->digest_cap + 64;
			h->digest = realloc(
			    h->digest, h->digest_cap * sizeof *h->digest);
			if (!h->digest)
				fatal("out of memory");
		}
		h->digest[h->digests++] = d;
	} else if (h->at >= h->digests || h->digest[h->at] != d) {
		if (h->same)
			printf("# output %zu of the run differs\n", h->at);
		h->same = false;
	}
	h->at++;
}

/* The content now; checks its guards and adds it to the digests. */
static const unsigned char *
look(struct chk *c, struct chk_buf *buf)
{
	const struct node *b = node_of(c, buf);
	const unsigned char *now = fetch(c, b) + GUARD;

	if (!chk_guards_whole(c, buf))
		report_line(c, false, "guard bytes of an output are whole");
	digest(c, now, b->bytes);
	return now;
}

static double
element(const unsigned char *data, enum gvk_dtype type, size_t i)
{
	float f;
	uint16_t h;
	int32_t id;

	switch (type) {
	case GVK_F32:
		memcpy(&f, data + 4 * i, 4);
		return (double)f;
	case GVK_BF16:
		memcpy(&h, data + 2 * i, 2);
		return from_bf16(h);
	case GVK_I32:
		memcpy(&id, data + 4 * i, 4);
		return id;
	case GVK_U8:
		return data[i];
	}
	return (double)NAN;
}

static double *
to_doubles(struct chk *c, const unsigned char *data, const struct chk_buf *b)
{
	double *x = chk_zeros(c, b->n);
	size_t i;

	for (i = 0; i < b->n; i++)
		x[i] = element(data, b->type, i);
	return x;
}

double *
chk_get(struct chk *c, struct chk_buf *b)
{
	return to_doubles(c, look(c, b), b);
}

static double
rms(const double *x, size_t n)
{
	double sum = 0;
	size_t i, m = 0;

	for (i = 0; i < n; i++)
		if (isfinite(x[i])) {
			sum += x[i] * x[i];
			m++;
		}
	return m ? sqrt(sum / (double)m) : 0;
}

/* The largest error of a run of elements in units of tol * (|want| + r). */
static double
run_error(const double *got, const double *want, size_t n, double r, double tol)
{
	double worst = 0;
	size_t i;

	for (i = 0; i < n; i++) {
		double e;

		if (isnan(want[i]) || got[i] == want[i])
			continue;
		e = INFINITY; /* without tolerance */
		if (tol > 0)
			e = fabs(got[i] - want[i]) /
			    (tol * (fabs(want[i]) + r));
		if (!(e <= worst))
			worst = e;
		if (isnan(e))
			break;
	}
	return worst;
}

/* The same over rows of `width`, r that of the row or of all, the larger. */
static double
rows_error(
    const double *got, const double *want, size_t n, size_t width, double tol)
{
	double all = rms(want, n), worst = 0;
	size_t at, some;

	for (at = 0; at < n && !isnan(worst); at += some) {
		double r, e;

		some = n - at < width ? n - at : width;
		r = some < n ? rms(want + at, some) : all;
		e = run_error(
		    got + at, want + at, some, r > all ? r : all, tol);
		if (!(e <= worst))
			worst = e;
	}
	return worst;
}

double
chk_error(const double *got, const double *want, size_t n, double tol)
{
	return rows_error(got, want, n, n, tol);
}

/* Elements that should not have been touched still hold what they held. */
static bool
rest_untouched(
    const struct node *b, const unsigned char *now, const double *want)
{
	size_t i, size = gvk_dtype_size(b->buf.type);

	for (i = 0; i < b->buf.n; i++)
		if (isnan(want[i]) &&
		    memcmp(now + i * size, b->before + GUARD + i * size,
			size) != 0)
			return false;
	return true;
}

/* The comparison must see an error of 3 tolerances in one element, or of one
 * rounding where there is no tolerance. */
static bool
sees_planted(struct chk *c, double *got, const double *want, size_t n,
    size_t width, double tol)
{
	double all = rms(want, n), error = tol > 0 ? 3 * tol : 1e-7, was;
	size_t i, at, tries;
	bool seen;

	for (tries = 0; tries < 64; tries++) {
		i = (size_t)chk_below(c, (int64_t)n);
		if (!isfinite(want[i]))
			continue;
		at = i / width * width;
		was = rms(want + at, n - at < width ? n - at : width);
		error *= fabs(want[i]) + (was > all ? was : all);
		was = got[i];
		got[i] = want[i] + error + 1e-300;
		seen = !(rows_error(got, want, n, width, tol) <= 1);
		got[i] = (double)NAN;
		seen = seen && !(rows_error(got, want, n, width, tol) <= 1);
		got[i] = was;
		return seen;
	}
	return true; /* nothing finite to perturb */
}

static void
compare(struct chk *c, struct chk_buf *b, const double *want, size_t width,
    enum chk_tol class, const char *fmt, va_list ap)
{
	uint64_t rng = own(c)->rng; /* the same draws in all runs */
	const unsigned char *now = look(c, b);
	enum gvk_dtype type;
	double tol, worst, *got;
	bool pass;

	if (!c->ref)
		return;
	type = class == CHK_STORED ? gvk_dtype(c->k) : b->type;
	tol = tolerance[type == GVK_BF16][class];
	got = to_doubles(c, now, b);
	worst = rows_error(got, want, b->n, width, tol);
	pass = worst <= 1 && rest_untouched(node_of(c, b), now, want);
	report(c, pass, fmt, ap);
	if (!pass)
		printf("# largest error: %.3g tolerances of %g\n", worst, tol);
	else if (getenv("CHECK_VERBOSE"))
		printf("# largest error: %.2f of %g\n", worst, tol);
	if (b->n && !sees_planted(c, got, want, b->n, width, tol))
		report_line(c, false, "a planted error is seen");
	own(c)->rng = rng;
}

void
chk_near(struct chk *c, struct chk_buf *b, const double *want,
    enum chk_tol class, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	compare(c, b, want, b->n ? b->n : 1, class, fmt, ap);
	va_end(ap);
}

void
chk_near_rows(struct chk *c, struct chk_buf *b, const double *want,
    size_t width, enum chk_tol class, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	compare(c, b, want, width, class, fmt, ap);
	va_end(ap);
}

void
chk_same_i32(
    struct chk *c, struct chk_buf *b, const int32_t *want, const char *fmt, ...)
{
	const unsigned char *now = look(c, b);
	size_t i;
	bool pass = true;
	va_list ap;

	if (!c->ref)
		return;
	for (i = 0; i < b->n && pass; i++)
		pass = (int32_t)element(now, GVK_I32, i) == want[i];
	va_start(ap, fmt);
	report(c, pass, fmt, ap);
	va_end(ap);
	if (!pass)
		printf("# element %zu: got %g, want %d\n", i - 1,
		    element(now, GVK_I32, i - 1), want[i - 1]);
}

void
chk_same_bytes(
    struct chk *c, struct chk_buf *b, const void *want, const char *fmt, ...)
{
	const struct node *n = node_of(c, b);
	const unsigned char *now = look(c, b);
	va_list ap;

	if (!c->ref)
		return;
	va_start(ap, fmt);
	report(c, !n->bytes || memcmp(now, want, n->bytes) == 0, fmt, ap);
	va_end(ap);
}

void
chk_fd(struct chk *c, double (*loss)(void *arg), void *arg, double *x,
    const double *grad, size_t n, const char *fmt, ...)
{
	uint64_t rng = own(c)->rng;
	double r = rms(grad, n), worst = 0;
	int tries;
	va_list ap;

	if (!c->ref || !n)
		return;
	for (tries = 0; tries < 12; tries++) {
		size_t i = (size_t)chk_below(c, (int64_t)n);
		double was = x[i], h = 1e-5 * (1 + fabs(was)), up, down, e;

		x[i] = was + h;
		up = loss(arg);
		x[i] = was - h;
		down = loss(arg);
		x[i] = was;
		e = fabs((up - down) / (2 * h) - grad[i]) /
		    (fabs(grad[i]) + r + 1e-12);
		if (!(e <= worst))
			worst = e;
	}
	va_start(ap, fmt);
	report(c, worst <= 1e-5, fmt, ap);
	va_end(ap);
	if (!(worst <= 1e-5))
		printf("# relative error %g\n", worst);
	own(c)->rng = rng;
}

void
chk_end(struct chk *c)
{
	struct harness *h = own(c);
	struct node *b;
	struct block *m;

	sync_stream(c);
	for (b = h->node; b; b = b->next) {
		if (!chk_guards_whole(c, &b->buf))
			report_line(c, false, "guard bytes are whole");
		if (b->role == ROLE_IN && !chk_unchanged(c, &b->buf))
			report_line(c, false, "an input is unchanged");
	}
	while ((b = h->node)) {
		h->node = b->next;
		gvk_free(c->k, b->base);
		free(b->before);
		free(b);
	}
	while ((m = h->block)) {
		h->block = m->next;
		free(m);
	}
}

/* ---- configurations ----------------------------------------------------- */

static void
run_once(struct harness *h, const char *device, int threads, bool first,
    void (*check)(struct chk *c))
{
	struct chk c = {.ref = first, .private = h};
	char err[256];

	if (gvk_open(device, threads, &c.k, err, sizeof err))
		fatal(err);
	if (gvk_stream_open(c.k, &c.s))
		fatal("cannot open a stream");
	h->rng = h->seed;
	h->first = first;
	h->same = true;
	h->at = 0;
	if (first)
		h->digests = 0;
	check(&c);
	chk_end(&c);
	if (!first)
		report_line(&c, h->same && h->at == h->digests,
		    "%zu outputs have the same bits with %d threads", h->at,
		    threads);
	gvk_stream_close(&c.s);
	gvk_close(&c.k);
}

static void
run_all(struct harness *h, const char *device, void (*check)(struct chk *c))
{
	static const int threads[] = {1, 1, 2, 3};
	/* threads are the CPU's; tools that slow a device down want one run */
	size_t runs = strcmp(device, "cpu") == 0 ? 4 : 2, i;

	if (getenv("CHECK_ONCE"))
		runs = 1;
	for (i = 0; i < runs; i++)
		run_once(h, device, threads[i], i == 0, check);
}

int
chk_main(int argc, char **argv, void (*check)(struct chk *c))
{
	static const char *const isas[] = {"v4", "v3", "v2", "base"};
	struct harness h = {.seed = DEFAULT_SEED};
	const char *device = argc > 2 ? argv[2] : "cpu";
	struct gvk *k;
	char err[256];
	size_t i;

	if (argc > 1)
		h.seed = strtoull(argv[1], NULL, 0);
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("# seed %llu, device %s\n", (unsigned long long)h.seed, device);
	if (strcmp(device, "cpu") != 0) {
		h.isa = device;
		run_all(&h, device, check);
	}
	for (i = 0; strcmp(device, "cpu") == 0 && i < 4; i++) {
		setenv("GVK_ISA", isas[i], 1);
		if (gvk_open(device, 1, &k, err, sizeof err)) {
			printf("# %s left out: %s\n", isas[i], err);
			continue;
		}
		gvk_close(&k);
		h.isa = isas[i];
		run_all(&h, device, check);
	}
	free(h.digest);
	printf("1..%d\n", h.count);
	return h.failed || !h.count;
}
