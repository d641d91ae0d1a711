/* Vector mathematics: exp, tanh, sigmoid, erf and the activations without
 * branches, so that a loop over them under `#pragma omp simd` vectorises.
 *
 * Relative errors, measured by tests/check/vmath.c: at most 2e-7 for exp (up
 * to the largest results; denormal ones to their last bit), sigmoid, tanh and
 * erf; for the normal distribution 4e-7, growing to 4e-6 at -7.  exp overflows
 * to infinity and underflows to 0; NaN stays NaN.
 *
 * Polynomials interpolate at Chebyshev nodes.  Source of the reductions: Cody
 * and Waite, "Software Manual for the Elementary Functions", 1980.
 */
#ifndef GVK_VMATH_H
#define GVK_VMATH_H

#include "gvk.h"

#include <stdint.h>
#include <string.h>

static inline float
vm_from_bits(int32_t u)
{
	float f;

	memcpy(&f, &u, sizeof f);
	return f;
}

static inline int32_t
vm_bits(float f)
{
	int32_t u;

	memcpy(&u, &f, sizeof u);
	return u;
}

static inline float
vm_abs(float x)
{
	return vm_from_bits(vm_bits(x) & 0x7fffffff);
}

/* |x| with the sign of s. */
static inline float
vm_copysign(float x, float s)
{
	return vm_from_bits(
	    (vm_bits(x) & 0x7fffffff) | (vm_bits(s) & (int32_t)0x80000000));
}

/* e^(x - n ln 2) for n = round(x / ln 2).  Adding 1.5 * 2^23 rounds to an
 * integer, which then stands in the low bits: no conversion, whose result for
 * NaN C leaves open.  With 127 added too, *bits << 23 is 2^n as a float. */
static inline float
vm_exp_parts(float x, uint32_t *bits)
{
	const float round = 12582912.f + 127.f;
	float t = x * 1.44269504f + round, n = t - round, r, q;

	*bits = (uint32_t)vm_bits(t);
	r = x - n * 0.693145752f; /* few bits of ln 2: n * c is exact */
	r = r - n * 1.42860682e-6f;
	q = 0.001392621347f;
	q = q * r + 0.008363202972f;
	q = q * r + 0.04166655444f;
	q = q * r + 0.1666657685f;
	q = q * r + 0.5f;
	return q * (r * r) + r + 1.f;
}

/* e^x for -87 <= x <= 88, infinity at 89; NaN for NaN. */
static inline float
vm_exp_mid(float x)
{
	uint32_t bits;
	float e = vm_exp_parts(x, &bits);

	return e * vm_from_bits((int32_t)(bits << 23));
}

/* e^x for x <= 88, 0 below -87: for softmax. */
static inline float
vm_exp_flush(float x)
{
	float e = vm_exp_mid(x < -87.f ? -87.f : x);

	return x < -87.f ? 0.f : e;
}

/* e^x for all x: scaled in two steps, so that results near both ends of the
 * range come out right. */
static inline float
vm_exp(float x)
{
	uint32_t bits;
	int32_t n, half;
	float e;

	x = x < -104.f ? -104.f : x; /* e^x rounds to 0 */
	x = x > 89.f ? 89.f : x; /* and to infinity */
	e = vm_exp_parts(x, &bits);
	n = (int32_t)(bits - 0x4b40007fu);
	/* NaN leaves any n; its exponent must stay in range. */
	n = n < -160 ? -160 : n;
	n = n > 160 ? 160 : n;
	half = n >> 1;
	e *= vm_from_bits((int32_t)((uint32_t)(half + 127) << 23));
	return e * vm_from_bits((int32_t)((uint32_t)(n - half + 127) << 23));
}

/* 1 / (1 + e^-x), 0 below -88.4: there vm_exp_mid's scale is infinity. */
static inline float
vm_sigmoid(float x)
{
	float y = -x;

	y = y > 89.f ? 89.f : y;
	y = y < -87.f ? -87.f : y;
	return 1.f / (1.f + vm_exp_mid(y));
}

static inline float
vm_tanh(float x)
{
	float a = vm_abs(x), z = x * x, p, big;

	p = 0.00237076564f;
	p = p * z + -0.008410070802f;
	p = p * z + 0.021788322f;
	p = p * z + -0.05396155178f;
	p = p * z + 0.1333331287f;
	p = p * z + -0.3333333323f;
	p = x + x * (z * p);
	big = 1.f - 2.f / (1.f + vm_exp_mid(a > 10.f ? 20.f : 2.f * a));
	return a < 0.6f ? p : vm_copysign(big, x);
}

/* erfc(a) for a >= 0.95: e^(-a^2) t q(t) with t = 1 / (1 + 0.4 a). */
static inline float
vm_erfc_tail(float a)
{
	float t = 1.f / (1.f + 0.4f * a), q;

	q = 0.06583299134f;
	q = q * t + -0.2420252163f;
	q = q * t + 0.2632203123f;
	q = q * t + -0.08725240553f;
	q = q * t + 0.1834019824f;
	q = q * t + 0.1555020018f;
	q = q * t + 0.2102302588f;
	q = q * t + 0.2254332425f;
	q = q * t + 0.2256856501f;
	return vm_exp(-a * a) * (t * q);
}

/* erf(x) for |x| <= 1. */
static inline float
vm_erf_centre(float x)
{
	float z = x * x, p;

	p = 7.875875063e-5f;
	p = p * z + -0.0008016864287f;
	p = p * z + 0.005189087423f;
	p = p * z + -0.02685421201f;
	p = p * z + 0.1128359472f;
	p = p * z + -0.3761262667f;
	p = p * z + 1.128379166f;
	return x * p;
}

static inline float
vm_erf(float x)
{
	float a = vm_abs(x);

	return a < 1.f ? vm_erf_centre(x)
		       : vm_copysign(1.f - vm_erfc_tail(a), x);
}

/* The normal distribution function, (1 + erf(x / sqrt 2)) / 2, without
 * cancellation on the left (the error there grows with x^2 / 2: 3e-6 at -7). */
static inline float
vm_phi(float x)
{
	float y = x * 0.707106781f, a = vm_abs(y), tail;

	tail = 0.5f * vm_erfc_tail(a);
	tail = y < 0.f ? tail : 1.f - tail;
	return a < 1.f ? 0.5f + 0.5f * vm_erf_centre(y) : tail;
}

/* ---- activations and their derivatives, as gvk.h defines them ----------- */

/* x/2 (1 + tanh u) = x sigmoid(2u). */
static inline float
vm_gelu_tanh(float x)
{
	float u2 = x * (1.595769122f + 0.0713548163f * (x * x));

	return x * vm_sigmoid(u2);
}

static inline float
vm_gelu_tanh_grad(float x)
{
	float z = x * x;
	float g = vm_sigmoid(x * (1.595769122f + 0.0713548163f * z));
	float du2 = 1.595769122f + 0.2140644489f * z;

	return g + (g * (1.f - g)) * (x * du2);
}

static inline float
vm_gelu_erf(float x)
{
	return x * vm_phi(x);
}

static inline float
vm_gelu_erf_grad(float x)
{
	return vm_phi(x) + x * (0.398942280f * vm_exp(-0.5f * (x * x)));
}

static inline float
vm_gelu_quick(float x)
{
	return x * vm_sigmoid(1.702f * x);
}

static inline float
vm_gelu_quick_grad(float x)
{
	float g = vm_sigmoid(1.702f * x);

	return g + (g * (1.f - g)) * (1.702f * x);
}

static inline float
vm_silu(float x)
{
	return x * vm_sigmoid(x);
}

static inline float
vm_silu_grad(float x)
{
	float g = vm_sigmoid(x);

	return g + (g * (1.f - g)) * x;
}

/* NaN stays: no comparison with it holds. */
static inline float
vm_relu2(float x)
{
	return x <= 0.f ? 0.f : x * x;
}

static inline float
vm_relu2_grad(float x)
{
	return x <= 0.f ? 0.f : 2.f * x;
}

/* For a constant `act` the switch goes away. */
static inline __attribute__((always_inline)) float
vm_act_one(const enum gvk_act act, float x)
{
	switch (act) {
	case GVK_ACT_NONE:
		break;
	case GVK_GELU_TANH:
		return vm_gelu_tanh(x);
	case GVK_GELU_ERF:
		return vm_gelu_erf(x);
	case GVK_GELU_QUICK:
		return vm_gelu_quick(x);
	case GVK_SILU:
		return vm_silu(x);
	case GVK_RELU2:
		return vm_relu2(x);
	}
	return x;
}

static inline __attribute__((always_inline)) float
vm_act_grad_one(const enum gvk_act act, float x)
{
	switch (act) {
	case GVK_ACT_NONE:
		break;
	case GVK_GELU_TANH:
		return vm_gelu_tanh_grad(x);
	case GVK_GELU_ERF:
		return vm_gelu_erf_grad(x);
	case GVK_GELU_QUICK:
		return vm_gelu_quick_grad(x);
	case GVK_SILU:
		return vm_silu_grad(x);
	case GVK_RELU2:
		return vm_relu2_grad(x);
	}
	return 1;
}

/* Calls f(act, ...) with `act` a constant in each call. */
#define VM_FOR_ACT(act, f, ...) \
	do { \
		switch (act) { \
		case GVK_ACT_NONE: \
			f(GVK_ACT_NONE, __VA_ARGS__); \
			break; \
		case GVK_GELU_TANH: \
			f(GVK_GELU_TANH, __VA_ARGS__); \
			break; \
		case GVK_GELU_ERF: \
			f(GVK_GELU_ERF, __VA_ARGS__); \
			break; \
		case GVK_GELU_QUICK: \
			f(GVK_GELU_QUICK, __VA_ARGS__); \
			break; \
		case GVK_SILU: \
			f(GVK_SILU, __VA_ARGS__); \
			break; \
		case GVK_RELU2: \
			f(GVK_RELU2, __VA_ARGS__); \
			break; \
		} \
	} while (0)

static inline __attribute__((always_inline)) void
vm_act_loop(const enum gvk_act act, float *y, const float *x, int64_t n)
{
	int64_t i;

#pragma omp simd
	for (i = 0; i < n; i++)
		y[i] = vm_act_one(act, x[i]);
}

/* y[i] = act(x[i]); y may be x. */
static inline void
vm_act(enum gvk_act act, float *y, const float *x, int64_t n)
{
	VM_FOR_ACT(act, vm_act_loop, y, x, n);
}

static inline __attribute__((always_inline)) void
vm_act_bwd_loop(const enum gvk_act act, float *dx, const float *dy,
    const float *x, int64_t n)
{
	int64_t i;

#pragma omp simd
	for (i = 0; i < n; i++)
		dx[i] = dy[i] * vm_act_grad_one(act, x[i]);
}

/* dx[i] = dy[i] act'(x[i]); dx may be dy. */
static inline void
vm_act_bwd(
    enum gvk_act act, float *dx, const float *dy, const float *x, int64_t n)
{
	VM_FOR_ACT(act, vm_act_bwd_loop, dx, dy, x, n);
}

#endif
