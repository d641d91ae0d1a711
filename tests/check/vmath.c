/* The CPU kernels' exp, tanh, sigmoid, erf and normal distribution against
 * libm in double, over their whole range and at its ends. */
#include "../unit/tap.h"

/* Without -fopenmp-simd its hints mean nothing, which is right here. */
#pragma GCC diagnostic ignored "-Wunknown-pragmas"
#include "cpu/vmath.h"

#define STEPS 200000

static double
sigmoid(double x)
{
	return 1 / (1 + exp(-x));
}

static double
phi(double x)
{
	return erfc(-x / sqrt(2)) / 2;
}

/* Largest relative error on [from, to]; `floor` is added to the reference, so
 * that denormal results count by their absolute error.  NaN if there is one. */
static double
worst(float (*f)(float), double (*exact)(double), double from, double to,
    double floor_)
{
	double most = 0;
	int i;

	for (i = 0; i <= STEPS; i++) {
		float x = (float)(from + (to - from) * i / STEPS);
		double want = exact((double)x);
		double e = fabs((double)f(x) - want) / (fabs(want) + floor_);

		if (!(e <= most))
			most = e;
		if (isnan(most))
			break;
	}
	return most;
}

static void
range(const char *name, float (*f)(float), double (*exact)(double), double from,
    double to, double bound)
{
	double e = worst(f, exact, from, to, 1e-37);

	ok(e <= bound, "%s on [%g, %g]: %.2g, at most %g", name, from, to, e,
	    bound);
}

static double
nearly_exp(double x)
{
	return exp(x) * (1 + 5e-7);
}

static float
not_a_number(float x)
{
	return x > 0.5f ? NAN : vm_exp(x);
}

/* What range() must notice. */
static void
planted(void)
{
	ok(!(worst(vm_exp, nearly_exp, -1, 1, 0) <= 2e-7),
	    "an error of 5e-7 is seen");
	ok(!(worst(not_a_number, exp, -1, 1, 0) <= 2e-7), "and NaN");
}

static void
ends(void)
{
	ok(vm_exp(-INFINITY) == 0 && vm_exp(-104) == 0, "exp underflows to 0");
	ok(vm_exp(-103) > 0, "exp has denormal results");
	ok(isinf(vm_exp(INFINITY)) && isinf(vm_exp(88.8f)),
	    "exp overflows to infinity");
	ok(isfinite(vm_exp(88.7f)), "and not before");
	ok(vm_exp_flush(-INFINITY) == 0 && vm_exp_flush(-88) == 0 &&
		vm_exp_flush(0) == 1,
	    "exp for softmax: 0 for -infinity, 1 for 0");
	ok(vm_sigmoid(-INFINITY) == 0 && vm_sigmoid(INFINITY) == 1,
	    "sigmoid's limits");
	ok(vm_tanh(INFINITY) == 1 && vm_tanh(-INFINITY) == -1, "tanh's");
	ok(vm_erf(INFINITY) == 1 && vm_erf(-INFINITY) == -1, "erf's");
	ok(vm_phi(INFINITY) == 1 && vm_phi(-INFINITY) == 0, "phi's");
	ok(isnan(vm_exp(NAN)) && isnan(vm_exp_flush(NAN)) &&
		isnan(vm_sigmoid(NAN)) && isnan(vm_tanh(NAN)) &&
		isnan(vm_erf(NAN)) && isnan(vm_phi(NAN)),
	    "NaN stays NaN");
	ok(vm_gelu_tanh(-1e30f) == 0 && vm_gelu_erf(-1e30f) == 0 &&
		vm_silu(-1e30f) == 0,
	    "activations vanish far on the left");
	ok(vm_gelu_tanh(1e30f) == 1e30f && vm_silu_grad(1e30f) == 1,
	    "and are the identity far on the right");
}

int
main(void)
{
	range("exp", vm_exp, exp, -103, 88.6, 2e-7);
	range("exp", vm_exp, exp, -1, 1, 2e-7);
	range("exp_flush", vm_exp_flush, exp, -86, 0, 2e-7);
	range("sigmoid", vm_sigmoid, sigmoid, -85, 90, 3e-7);
	range("tanh", vm_tanh, tanh, -15, 15, 3e-7);
	range("tanh", vm_tanh, tanh, -1, 1, 3e-7);
	range("erf", vm_erf, erf, -5, 5, 3e-7);
	range("phi", vm_phi, phi, -1, 7, 1e-6);
	range("phi", vm_phi, phi, -7, -1, 1e-5);
	ends();
	planted();
	return done();
}
