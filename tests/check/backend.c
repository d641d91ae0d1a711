/* The backend around its ops, and the harness itself: memory, copies, the
 * profile, the pool; and that a wrong result, a lost guard byte or a changed
 * input does not pass. */
#include "backend.h"
#include "check.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static void
memory(struct chk *c)
{
	size_t total = 0, avail = 0;
	unsigned char in[300], out[300] = {0};
	void *p = gvk_alloc(c->k, 300), *q = gvk_alloc(c->k, 300);
	void *host = gvk_host_alloc(c->k, 100), *none;
	struct gvk_stream *other;
	char err[100];

	for (int i = 0; i < 300; i++)
		in[i] = (unsigned char)chk_below(c, 256);
	chk_ok(c, p && q && (uintptr_t)p % 256 == 0, "memory is aligned");
	chk_ok(c, host != NULL, "host memory");
	chk_ok(c, gvk_stream_open(c->k, &other) == 0, "a second stream");
	chk_ok(c, gvk_stream_backend(other) == c->k, "knows its backend");
	gvk_put(c->s, p, in, 300);
	gvk_wait(other, c->s);
	gvk_copy(other, q, p, 300);
	gvk_zero(other, (char *)q + 10, 20);
	gvk_get(other, out, q, 300);
	chk_ok(c, gvk_sync(other, err, sizeof err) == 0, "sync");
	chk_ok(c,
	    memcmp(in, out, 10) == 0 && out[10] == 0 && out[29] == 0 &&
		memcmp(in + 30, out + 30, 270) == 0,
	    "put, copy, zero and get arrive in order");
	gvk_copy(c->s, q, p, 0);
	gvk_memory(c->k, &total, &avail);
	chk_ok(c, total > 0 && avail <= total, "memory there and free");
	none = gvk_alloc(c->k, SIZE_MAX - 100);
	chk_ok(c, none == NULL, "too much memory is refused");
	gvk_stream_close(&other);
	chk_ok(c, other == NULL, "a closed stream is NULL");
	gvk_stream_close(&other);
	gvk_host_free(c->k, host);
	gvk_free(c->k, p);
	gvk_free(c->k, q);
	gvk_free(c->k, NULL);
}

static void
opening(struct chk *c)
{
	struct gvk *k = NULL;
	char err[200], *isa;

	chk_ok(c,
	    gvk_open("nonsense", 1, &k, err, sizeof err) == -1 && !k &&
		strcmp(err, "unknown device 'nonsense'") == 0,
	    "an unknown device is refused");
	chk_ok(c, gvk_open("cuda:x", 1, &k, err, sizeof err) == -1 && !k,
	    "and a device without a number");
	err[0] = 0;
	if (gvk_open("cuda:1023", 1, &k, err, sizeof err) == -1)
		chk_ok(c, err[0] && !strchr(err, '\n') && !k,
		    "a missing device gives one line");
	gvk_close(&k);
	chk_ok(c, gvk_open("auto", 2, &k, err, sizeof err) == 0 && !err[0],
	    "auto opens something");
	chk_ok(c, gvk_threads(k) >= 1 && gvk_name(k)[0], "with a name");
	gvk_close(&k);
	chk_ok(c, k == NULL, "a closed backend is NULL");
	gvk_close(&k);
	if (!gvk_is_host(c->k))
		return;
	isa = getenv("GVK_ISA") ? strdup(getenv("GVK_ISA")) : NULL;
	setenv("GVK_ISA", "v9", 1);
	chk_ok(c,
	    gvk_open("cpu", 1, &k, err, sizeof err) == -1 &&
		strstr(err, "'v9'"),
	    "an unknown instruction set is refused");
	unsetenv("GVK_ISA");
	chk_ok(c,
	    gvk_open("cpu", 0, &k, err, sizeof err) == 0 && gvk_threads(k) >= 1,
	    "0 threads are as many as cores");
	gvk_close(&k);
	if (isa)
		setenv("GVK_ISA", isa, 1);
	free(isa);
	chk_ok(c,
	    gvk_dtype_size(GVK_F32) == 4 && gvk_dtype_size(GVK_BF16) == 2 &&
		gvk_dtype_size(GVK_I32) == 4 && gvk_dtype_size(GVK_U8) == 1,
	    "sizes of types");
}

static void
profile(struct chk *c)
{
	struct gvk_profile row[4];
	double *x = chk_rand(c, 8 * 6, 1), *w = chk_rand(c, 5 * 6, 1);
	struct chk_buf *X = chk_in(c, x, 48), *W = chk_in(c, w, 30);
	struct chk_buf *Y = chk_out(c, 40);
	const int32_t q_at[3] = {0, 3, 8}, k_at[2] = {0, 3}, len[2] = {3, 5};
	const int32_t p_at[2] = {0, 0}, p_len[2] = {0, 3};
	struct gvk_attn a = {.S = 2,
	    .H = 1,
	    .G = 1,
	    .D = 6,
	    .max_q = 5,
	    .max_k = 8,
	    .causal = true,
	    .scale = 1,
	    .ldq = 6,
	    .ldk = 6,
	    .ldv = 6,
	    .ldo = 6};
	struct chk_buf *O = chk_out(c, 48);

	a.q_at = chk_in_i32(c, q_at, 3)->p;
	a.k_at = chk_in_i32(c, k_at, 2)->p;
	a.k_len = chk_in_i32(c, len, 2)->p;
	a.p_at = chk_in_i32(c, p_at, 2)->p;
	a.p_len = chk_in_i32(c, p_len, 2)->p;
	gvk_profile_on(c->k, true);
	for (int i = 0; i < 3; i++)
		gvk_linear(c->s, Y->p, NULL, X->p, W->p, NULL, NULL,
		    GVK_ACT_NONE, 8, 6, 5);
	gvk_attention(c->s, O->p, NULL, X->p, X->p, X->p, &a);
	gvk_profile_on(c->k, false);
	gvk_linear(
	    c->s, Y->p, NULL, X->p, W->p, NULL, NULL, GVK_ACT_NONE, 8, 6, 5);
	chk_ok(c, gvk_profile_get(c->k, row, 4) == 2, "two ops in the profile");
	if (strcmp(row[0].op, "linear") != 0)
		row[3] = row[0], row[0] = row[1], row[1] = row[3];
	chk_ok(c,
	    strcmp(row[0].op, "linear") == 0 && row[0].calls == 3 &&
		row[0].ns > 0 && row[0].flops == 3 * 2 * 8 * 6 * 5,
	    "linear: calls, time and FLOPs");
	/* 3*4/2 own pairs; 5*6/2 own and 5*3 of the prefix. */
	chk_ok(c, row[1].calls == 1 && row[1].flops == 4 * 6 * (6 + 15 + 15),
	    "attention: FLOPs of the pairs that are seen");
	chk_end(c);
}

/* Jobs of the worker pool from two callers: every part runs once, on a thread
 * of its number's. */
struct count {
	struct gvk_pool *pool;
	int threads;
	unsigned char ran[200];
	bool wrong;
};

static void
count_part(void *arg, int64_t part, int thread)
{
	struct count *n = arg;
	unsigned char *scratch = gvk_pool_scratch(n->pool, thread);

	if (thread < 0 || thread >= n->threads)
		n->wrong = true;
	scratch[0] = scratch[GVK_SCRATCH - 1] = (unsigned char)part;
	n->ran[part]++;
}

static void *
count_jobs(void *arg)
{
	struct count *n = arg;

	for (int job = 0; job < 400; job++) {
		int64_t parts = job * 7 % 200;

		memset(n->ran, 0, sizeof n->ran);
		gvk_pool_run(n->pool, parts, count_part, n);
		for (int64_t i = 0; i < 200; i++)
			n->wrong = n->wrong || n->ran[i] != (i < parts);
	}
	return NULL;
}

static void
pool(struct chk *c)
{
	for (int threads = 1; threads <= 4; threads++) {
		struct gvk_pool *p = NULL;
		struct count a = {.threads = threads}, b;
		pthread_t other;

		chk_ok(c, gvk_pool_open(&p, threads) == 0, "a pool");
		a.pool = p;
		b = a;
		if (pthread_create(&other, NULL, count_jobs, &b))
			abort();
		count_jobs(&a);
		pthread_join(other, NULL);
		chk_ok(c, !a.wrong && !b.wrong,
		    "each part of each job runs once, %d threads", threads);
		gvk_pool_close(&p);
	}
}

/* What the harness must notice. */
static void
harness(struct chk *c)
{
	double *x = chk_rand_f32(c, 50, 1), *got = chk_zeros(c, 50);
	struct chk_buf *b = chk_in_f32(c, x, 50), *o = chk_out_f32(c, 50);
	unsigned char wrong = 0x11;
	float value = 12;
	char *edge = (char *)b->p;

	memcpy(got, x, 50 * sizeof *got);
	chk_ok(c, chk_error(got, x, 50, 1e-6) <= 1, "equal arrays pass");
	got[17] += 1e-3;
	chk_ok(c, !(chk_error(got, x, 50, 1e-6) <= 1), "a wrong value fails");
	got[17] = (double)NAN;
	chk_ok(c, !(chk_error(got, x, 50, 1e-6) <= 1), "NaN fails");
	got[17] = INFINITY;
	chk_ok(c, !(chk_error(got, x, 50, 1e-6) <= 1), "infinity fails");
	chk_ok(c, !(chk_error(chk_get(c, o), x, 50, 1e-6) <= 1),
	    "an output that was not written fails");
	chk_ok(c, chk_guards_whole(c, b) && chk_unchanged(c, b),
	    "guards are whole at first");
	gvk_put(c->s, edge + 200, &wrong, 1);
	chk_ok(c, !chk_guards_whole(c, b), "a byte behind the end is seen");
	wrong = 0xa5;
	gvk_put(c->s, edge + 200, &wrong, 1);
	wrong = 0;
	gvk_put(c->s, edge - 1, &wrong, 1);
	chk_ok(c, !chk_guards_whole(c, b), "and one before the start");
	wrong = 0xa5;
	gvk_put(c->s, edge - 1, &wrong, 1);
	gvk_put(c->s, edge + 40, &value, 4);
	chk_ok(c, chk_guards_whole(c, b) && !chk_unchanged(c, b),
	    "a changed input is seen");
	value = (float)x[10];
	gvk_put(c->s, edge + 40, &value, 4);
	chk_ok(c, chk_unchanged(c, b), "and whole again");
	chk_end(c);
}

static void
check(struct chk *c)
{
	memory(c);
	profile(c);
	harness(c);
	if (c->ref)
		pool(c);
	if (c->ref)
		opening(c);
}

int
main(int argc, char **argv)
{
	return chk_main(argc, argv, check);
}
