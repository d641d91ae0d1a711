/* The harness of the kernel checks: one op's program is one function that
 * draws inputs, calls the op, and compares with a reference in double.
 *
 *	static void
 *	check(struct chk *c)
 *	{
 *		double *x = chk_rand(c, N * C, 1);
 *		struct chk_buf *X = chk_in(c, x, N * C);
 *		struct chk_buf *Y = chk_out(c, N * C);
 *		double *y = chk_zeros(c, N * C);
 *
 *		gvk_gelu(c->s, Y->p, X->p, GVK_SILU, N * C);
 *		if (c->ref)
 *			reference(y, x, N * C);
 *		chk_near(c, Y, y, CHK_ELEM, "silu, %d elements", N * C);
 *		chk_end(c);
 *	}
 *	int
 *	main(int argc, char **argv)
 *	{
 *		return chk_main(argc, argv, check);
 *	}
 *
 * chk_main() runs the function once for each instruction set that the machine
 * has and each of 1, 1 (again), 2 and 3 threads, on a device twice, always from
 * the same seed.  The first run compares with the reference (c->ref is true);
 * the others must give the same bits as the first, in every output that was
 * compared.  So nothing in the function may depend on c->ref but the work of
 * the reference and of chk_fd().
 *
 * Every buffer has guard bytes around it.  Outputs start as NaN.  When an
 * output is compared, and for all buffers at chk_end(), guards must be whole
 * and inputs unchanged.  Each comparison also plants an error in a copy of the
 * result and must see it: a check that can't fail fails.
 *
 *	PROGRAM [seed [device]]		device: cpu (default), cuda, ...
 *
 * On a device whose storage is BF16, inputs are rounded to BF16 before the
 * reference sees them, and tolerances are those of that type.
 */
#ifndef CHECK_H
#define CHECK_H

#include "gvk.h"

#include <stddef.h>
#include <stdint.h>

struct chk {
	struct gvk *k;
	struct gvk_stream *s;
	bool ref; /* compare with the reference in this run */
	void *private; /* the harness's own */
};

struct chk_buf {
	void *p; /* device memory, aligned to 256 bytes */
	size_t n; /* elements */
	enum gvk_dtype type;
};

/* How near a result must be: |got - want| <= tol * (|want| + r), r the root
 * mean square of all of `want`; tol by class and type, the table in check.c. */
enum chk_tol {
	CHK_EXACT, /* copies, and results that are exact in the type */
	CHK_ELEM, /* a few operations an element */
	CHK_SUM, /* sums of products */
	CHK_DEEP, /* several sums after each other: attention, losses */
	CHK_CANCEL, /* the same where numbers nearly cancel of which one was
		     * rounded to storage, as dout o does in attention's
		     * gradients with dout v where few keys are seen */
	CHK_STORED /* sums, in F32 too, of what was rounded to storage on the
		    * way: by the tolerance of the backend's storage type */
};

/* Runs `check` for all configurations; the exit code for main(). */
int chk_main(int argc, char **argv, void (*check)(struct chk *c));

/* ---- random numbers and host arrays, all freed by chk_end() ------------- */

double *chk_zeros(struct chk *c, size_t n);
/* Normal with this standard deviation, rounded to the storage type, or to
 * F32. */
double *chk_rand(struct chk *c, size_t n, double std);
double *chk_rand_f32(struct chk *c, size_t n, double std);
/* Uniform integers, 0..below-1. */
int32_t *chk_rand_ids(struct chk *c, size_t n, int32_t below);
int64_t chk_below(struct chk *c, int64_t below); /* one of them */
/* Random ones, each of 0..n-1 once. */
int32_t *chk_shuffle(struct chk *c, size_t n);

/* ---- buffers, all freed by chk_end() ------------------------------------ */

/* Inputs, of the storage type or F32, from n doubles; and of raw type. */
struct chk_buf *chk_in(struct chk *c, const double *x, size_t n);
struct chk_buf *chk_in_f32(struct chk *c, const double *x, size_t n);
struct chk_buf *chk_in_i32(struct chk *c, const int32_t *x, size_t n);
struct chk_buf *chk_in_u8(struct chk *c, const uint8_t *x, size_t n);
/* Any bytes (structs, doubles, ...); its `type` is U8. */
struct chk_buf *chk_in_bytes(struct chk *c, const void *x, size_t bytes);

/* Outputs filled with NaN (I32: with a strange number). */
struct chk_buf *chk_out(struct chk *c, size_t n);
struct chk_buf *chk_out_f32(struct chk *c, size_t n);
struct chk_buf *chk_out_i32(struct chk *c, size_t n);
struct chk_buf *chk_out_bytes(struct chk *c, size_t bytes); /* all 0xff */

/* Buffers that the op changes or adds to, with their content before. */
struct chk_buf *chk_inout(struct chk *c, const double *x, size_t n);
struct chk_buf *chk_inout_f32(struct chk *c, const double *x, size_t n);

/* Scratch (`ws`): guarded, content free. */
struct chk_buf *chk_ws(struct chk *c, size_t bytes);

/* ---- comparisons; each is one test point when c->ref, else bits --------- */

/* A `want` of NaN means: an element that the op must not have touched.  When
 * !c->ref, `want` is not read. */
void chk_near(struct chk *c, struct chk_buf *got, const double *want,
    enum chk_tol tol, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
/* The same where rows differ in size, as gradients of keys do that many queries
 * see: r is the root mean square of the element's row of `width`, if that is
 * more than that of all. */
void chk_near_rows(struct chk *c, struct chk_buf *got, const double *want,
    size_t width, enum chk_tol tol, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));
void chk_same_i32(struct chk *c, struct chk_buf *got, const int32_t *want,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void chk_same_bytes(struct chk *c, struct chk_buf *got, const void *want,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* A fact that is not a buffer; also when !c->ref. */
void chk_ok(struct chk *c, bool pass, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The output as doubles, to be freed by chk_end(); checks its guards and adds
 * its bits to those that all runs must share. */
double *chk_get(struct chk *c, struct chk_buf *b);

/* Checks a reference's analytic gradient `grad` (n) of loss(arg) with respect
 * to x (n) by central differences at a dozen random places.  `loss` reads x
 * through `arg`.  Does nothing when !c->ref. */
void chk_fd(struct chk *c, double (*loss)(void *arg), void *arg, double *x,
    const double *grad, size_t n, const char *fmt, ...)
    __attribute__((format(printf, 7, 8)));

/* Ends a case: syncs, checks all guards and inputs, frees everything. */
void chk_end(struct chk *c);

/* ---- what the self-test of the harness uses ----------------------------- */

/* The largest error in units of the tolerance; NaN where there is one. */
double chk_error(const double *got, const double *want, size_t n, double tol);
bool chk_guards_whole(struct chk *c, const struct chk_buf *b);
bool chk_unchanged(struct chk *c, const struct chk_buf *b);

#endif
