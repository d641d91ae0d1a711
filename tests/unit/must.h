/* Set-up that fails bails out: a test that cannot run must not look passed. */
#ifndef MUST_H
#define MUST_H

#include "err.h"
#include "tap.h"

#include <stdlib.h>

static inline void
bail(const char *what, const char *why)
{
	printf("Bail out! %s: %s\n", what, why);
	exit(1);
}

/* Ends the program unless the call worked. */
static inline void
must(int result, const struct gv_error *e)
{
	if (result || e->code)
		bail("unexpected error", e->msg);
}

#endif
