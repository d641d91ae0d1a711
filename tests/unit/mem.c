/* Sizes that overflow are refused; everything is aligned. */
#include "mem.h"

#include "err.h"
#include "tap.h"

int
main(void)
{
	size_t out = 7, cap = 0, i;
	void *p = NULL, *kept;
	uint8_t *b;
	int zero = 1;

	ok(gv_mul(1u << 31, 1u << 31, &out) && out == (size_t)1 << 62, "mul");
	out = 7;
	ok(!gv_mul(SIZE_MAX, 2, &out) && out == 7, "mul overflows");
	ok(gv_mul(0, SIZE_MAX, &out) && out == 0, "mul by zero");
	ok(gv_mul(SIZE_MAX, 1, &out) && out == SIZE_MAX, "mul at the limit");
	ok(gv_add(SIZE_MAX - 1, 1, &out) && out == SIZE_MAX, "add");
	out = 7;
	ok(!gv_add(SIZE_MAX, 1, &out) && out == 7, "add overflows");
	is_int((long long)gv_align(0), 0, "align 0");
	is_int((long long)gv_align(1), 64, "align 1");
	is_int((long long)gv_align(64), 64, "align 64");
	b = gv_alloc(100, 3);
	for (i = 0; b && i < 300; i++)
		zero &= b[i] == 0;
	ok(b && zero && (uintptr_t)b % GV_ALIGN == 0, "zeros, aligned");
	gv_free(b);
	b = gv_alloc(0, 5);
	ok(b != NULL, "no bytes are a pointer");
	gv_free(b);
	ok(!gv_alloc(SIZE_MAX / 2, 3), "a product that overflows");
	ok(!gv_alloc(SIZE_MAX, 1), "a size that can't be aligned");
	gv_free(NULL);

	ok(!gv_grow(&p, &cap, 1, 8) && cap >= 1, "an array is born");
	((uint64_t *)p)[0] = 42;
	for (i = 2; i < 10000; i++)
		if (gv_grow(&p, &cap, i, 8))
			break;
	ok(i == 10000 && cap >= 9999 && ((uint64_t *)p)[0] == 42,
	    "it grows and keeps what it holds");
	ok(cap < 20000, "not to more than needed and half");
	ok((uintptr_t)p % GV_ALIGN == 0, "aligned");
	kept = p;
	out = cap;
	ok(gv_grow(&p, &cap, SIZE_MAX / 4, 8) == GV_ERR_NOMEM && p == kept &&
		cap == out,
	    "too much leaves it alone");
	gv_free(p);
	b = (uint8_t *)gv_strndup("abc", 2);
	is_str((char *)b, "ab", "strndup");
	gv_free(b);
	b = (uint8_t *)gv_strdup("");
	is_str((char *)b, "", "strdup");
	gv_free(b);
	return done();
}
