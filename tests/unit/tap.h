/* TAP for unit tests: each call is one test point, done() ends the program. */
#ifndef TAP_H
#define TAP_H

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int tap_count, tap_failed;

__attribute__((format(printf, 2, 0))) static inline void
tap_line(int pass, const char *fmt, va_list ap)
{
	printf("%s %d - ", pass ? "ok" : "not ok", ++tap_count);
	vprintf(fmt, ap);
	putchar('\n');
	fflush(stdout);
	tap_failed += !pass;
}

__attribute__((format(printf, 2, 3))) static inline void
ok(int cond, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	tap_line(cond != 0, fmt, ap);
	va_end(ap);
}

__attribute__((format(printf, 3, 4))) static inline void
is_int(long long got, long long want, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	tap_line(got == want, fmt, ap);
	va_end(ap);
	if (got != want)
		printf("# got %lld, want %lld\n", got, want);
}

__attribute__((format(printf, 3, 4))) static inline void
is_str(const char *got, const char *want, const char *fmt, ...)
{
	int same = got && want && !strcmp(got, want);
	va_list ap;

	va_start(ap, fmt);
	tap_line(same, fmt, ap);
	va_end(ap);
	if (!same)
		printf("# got  '%s'\n# want '%s'\n", got ? got : "(null)",
		    want ? want : "(null)");
}

/* |got - want| <= tol; NaN fails. */
__attribute__((format(printf, 4, 5))) static inline void
near(double got, double want, double tol, const char *fmt, ...)
{
	int same = fabs(got - want) <= tol;
	va_list ap;

	va_start(ap, fmt);
	tap_line(same, fmt, ap);
	va_end(ap);
	if (!same)
		printf("# got %.9g, want %.9g within %g\n", got, want, tol);
}

static inline int
done(void)
{
	printf("1..%d\n", tap_count);
	return tap_failed != 0;
}

#endif
