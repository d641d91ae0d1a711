/* Learned positions: added to each sequence; gradients summed over them. */
#include "check.h"

static void
forward(struct chk *c, int64_t B, int64_t P, int64_t C)
{
	size_t n = (size_t)(B * P * C), m = (size_t)(P * C);
	double *y = chk_rand(c, n, 1), *pos = chk_rand(c, m, 1);
	struct chk_buf *Y = chk_inout(c, y, n), *POS = chk_in(c, pos, m);

	gvk_add_pos(c->s, Y->p, POS->p, B * P, P, C);
	for (size_t i = 0; i < n && c->ref; i++)
		y[i] += pos[i % m];
	chk_near(
	    c, Y, y, CHK_ELEM, "y, B %d, P %d, C %d", (int)B, (int)P, (int)C);
	chk_end(c);
}

static void
backward(struct chk *c, int64_t B, int64_t P, int64_t C)
{
	size_t n = (size_t)(B * P * C), m = (size_t)(P * C);
	double *dy = chk_rand(c, n, 1), *dpos = chk_rand_f32(c, m, 1);
	struct chk_buf *DY = chk_in(c, dy, n), *DPOS;

	if (m == 1) /* alone it must not come near 0, for the tolerance */
		dpos[0] += 128;
	DPOS = chk_inout_f32(c, dpos, m);
	gvk_add_pos_bwd(c->s, NULL, DY->p, B * P, P, C);
	gvk_add_pos_bwd(c->s, DPOS->p, DY->p, B * P, P, C);
	for (size_t i = 0; i < n && c->ref; i++)
		dpos[i % m] += dy[i];
	chk_near(c, DPOS, dpos, CHK_SUM, "dpos, B %d, P %d, C %d", (int)B,
	    (int)P, (int)C);
	chk_end(c);
}

static void
check(struct chk *c)
{
	static const int64_t channels[] = {1, 7, 33, 96, 130};
	static const int64_t batch[] = {0, 1, 3, 40};
	static const int64_t places[] = {1, 5, 9};

	for (int i = 0; i < 5; i++)
		for (int j = 0; j < 4; j++)
			for (int k = 0; k < 3; k++) {
				forward(c, batch[j], places[k], channels[i]);
				backward(c, batch[j], places[k], channels[i]);
			}
	forward(c, 7, 3, 1152);
	backward(c, 70, 3, 1152);
	backward(c, 700, 1, 520);
}

int
main(int argc, char **argv)
{
	return chk_main(argc, argv, check);
}
