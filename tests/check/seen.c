/* Histories of rows as bitmaps. */
#include "check.h"

static void
rows(struct chk *c, int64_t B, int64_t V, int32_t most)
{
	int64_t words = (V + 31) / 32, n = 0;
	int32_t *at = (int32_t *)(void *)chk_zeros(c, (size_t)B + 1), *id;
	uint32_t *want =
	    (uint32_t *)(void *)chk_zeros(c, (size_t)(B * words + 1) / 2);
	struct chk_buf *seen = chk_out_bytes(c, (size_t)(B * words) * 4);

	/* They need not begin at 0; some rows have no history. */
	at[0] = (int32_t)chk_below(c, 5);
	for (int64_t b = 0; b < B; b++)
		at[b + 1] = at[b] + (int32_t)(b % 3 ? chk_below(c, most) : 0);
	n = at[B] + 3;
	id = chk_rand_ids(c, (size_t)n, (int32_t)V + 8);
	for (int64_t i = 0; i < n; i++)
		id[i] = id[i] % 7 == 0 ? ~id[i] : id[i];
	for (int64_t b = 0; b < B; b++)
		for (int32_t i = at[b]; i < at[b + 1]; i++)
			if (id[i] >= 0 && id[i] < V)
				want[b * words + id[i] / 32] |= (uint32_t)1
								<< id[i] % 32;
	gvk_seen(c->s, seen->p, chk_in_i32(c, id, (size_t)n)->p,
	    chk_in_i32(c, at, (size_t)B + 1)->p, B, V);
	chk_same_bytes(
	    c, seen, want, "%d rows of up to %d of %d", (int)B, most, (int)V);
	chk_end(c);
}

static void
check(struct chk *c)
{
	rows(c, 0, 33, 1);
	rows(c, 1, 1, 9);
	rows(c, 5, 31, 4);
	rows(c, 9, 32, 60);
	rows(c, 70, 1025, 900);
	rows(c, 6, 151936, 3000);
}

int
main(int argc, char **argv)
{
	return chk_main(argc, argv, check);
}
