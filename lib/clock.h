/* Time that only moves forward, for measuring how long something took. */
#ifndef GV_CLOCK_H
#define GV_CLOCK_H

#include <time.h>

/* Seconds since some moment. */
static inline double
gv_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#endif
