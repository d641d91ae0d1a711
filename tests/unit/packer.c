/* Packing: what is shared, what is left out, what doesn't fit. */
#include "batch.h"

#include "tap.h"

#include <stdlib.h>

#define IMG  99 /* image token */
#define ROWS 2

static struct gv_config cfg;
static struct gv_error err;

/* An example from a text such as "1 2 I I 5>6 6>7": tokens, I for an image
 * row, and after > the target.  '|' starts a new sequence. */
static struct gv_example
example(const char *s, int images, int seed)
{
	static int32_t store[8][4][64];
	static uint8_t px[8][2][12];
	static int which;
	int32_t(*v)[64] = store[which % 8];
	struct gv_example x = {0};
	int run = 0, i;

	x.token = v[0];
	x.target = v[1];
	x.start = v[2];
	x.image_at = v[3];
	x.D = 1;
	x.start[0] = 0;
	for (; *s; s++) {
		if (*s == ' ')
			continue;
		if (*s == '|') {
			x.start[x.D++] = x.T;
			continue;
		}
		x.target[x.T] = -1;
		if (*s == 'I') {
			if (run++ % ROWS == 0)
				x.image_at[x.runs++] = x.T;
			x.token[x.T] = IMG;
		} else {
			char *end;

			x.token[x.T] = (int32_t)strtol(s, &end, 10);
			if (*end == '>')
				x.target[x.T] =
				    (int32_t)strtol(end + 1, &end, 10);
			s = end - 1;
		}
		x.trained += x.target[x.T] >= 0;
		x.T++;
	}
	x.start[x.D] = x.T;
	x.N = images;
	x.input = GV_IN_IMAGE;
	x.image_bytes = 12;
	x.image = px[which % 8];
	for (i = 0; i < 12 * images; i++)
		px[which % 8][0][i] = (uint8_t)(seed + i / 12);
	which++;
	snprintf(x.key, sizeof x.key, "k%d", seed);
	return x;
}

static struct gv_packer *
packer(int64_t tokens, int64_t images)
{
	struct gv_packer *p = NULL;

	if (gv_packer_open(&p, &cfg, tokens, images, &err))
		exit(1);
	return p;
}

static void
test_one(void)
{
	struct gv_example x = example("1 2 3>4 4>5 5 6", 0, 1);
	struct gv_packer *p = packer(100, 4);
	const int32_t *bytes;
	struct gv_batch b;

	is_int(gv_packer_add(p, &x, &err), 1, "a sequence goes in");
	gv_packer_batch(p, -0.5f, &b, &bytes);
	is_int(b.N, 4, "rows behind the last trained one are left out");
	is_int(b.S, 1, "one sequence");
	is_int(b.M, 2, "two trained positions");
	is_int(b.out[0], 2, "the first of them");
	is_int(b.target[1], 5, "the target of the second");
	is_int(b.pos[3], 3, "positions count from 0");
	near((double)b.g[1], -0.5, 0, "the weight is the one given");
	ok(bytes == NULL, "bytes are unknown");
	is_int(b.input, GV_IN_NONE, "no images");
	x = example("1 2 3", 0, 1);
	is_int(gv_packer_add(p, &x, &err), 1, "untrained records are taken");
	gv_packer_batch(p, 1, &b, &bytes);
	is_int(b.N, 4, "... and cost nothing");
	gv_packer_close(&p);
}

static void
test_prefix(void)
{
	/* 8 shared rows: 1 2 I I 3 4 5 6, of which the first 4 are up to the
	 * end of the image */
	struct gv_example x = example("1 2 3 4 5 6 I I 7 8>1"
				      "|1 2 3 4 5 6 I I 7 9>2"
				      "|1 2 3 4 5 6 I I 5 9 9>3",
	    1, 3);
	struct gv_packer *p = packer(100, 4);
	const int32_t *bytes;
	struct gv_batch b;

	is_int(gv_packer_add(p, &x, &err), 1, "questions about one image");
	gv_packer_batch(p, 1, &b, &bytes);
	is_int(b.B, 1, "one image");
	is_int(b.S, 4, "a prefix and three sequences");
	is_int(b.N, 8 + 2 + 2 + 3, "the prefix stands there once");
	is_int(b.p_len[0], 0, "the prefix has none itself");
	is_int(b.p_len[3], 8, "the last sequence sees the prefix");
	is_int(b.p_at[3], 0, "... where it stands");
	is_int(b.id[6], ~0, "image row 0");
	is_int(b.id[7], ~1, "image row 1");
	is_int(b.pos[8], 8, "positions go on behind the prefix");
	is_int(b.pos[10], 8, "... in each sequence");
	is_int(b.M, 3, "three trained positions");
	is_int(b.max_k, 11, "longest row of keys");
	gv_packer_close(&p);
}

static void
test_trained_prefix(void)
{
	/* the same tokens, trained from the start: nothing may be shared */
	struct gv_example x = example("1 2 3 4 5 6 7 8 9 10 11>1"
				      "|1>2 2 3 4 5 6 7 8 9 10 12>2",
	    0, 3);
	struct gv_packer *p = packer(100, 4);
	const int32_t *bytes;
	struct gv_batch b;

	is_int(gv_packer_add(p, &x, &err), 1, "sequences that begin alike");
	gv_packer_batch(p, 1, &b, &bytes);
	is_int(b.S, 2, "trained rows are not shared");
	is_int(b.N, 22, "all rows are there");
	gv_packer_close(&p);
}

static void
test_same_image(void)
{
	struct gv_example x = example("I I 5>6", 1, 7);
	struct gv_example y = example("I I 6>7", 1, 7);
	struct gv_example z = example("I I 7>8", 1, 8);
	struct gv_packer *p = packer(100, 2);
	const int32_t *bytes;
	struct gv_batch b;

	is_int(gv_packer_add(p, &x, &err), 1, "an image");
	is_int(gv_packer_add(p, &y, &err), 1, "the same image again");
	is_int(gv_packer_add(p, &z, &err), 1, "another image");
	gv_packer_batch(p, 1, &b, &bytes);
	is_int(b.B, 2, "equal images are one");
	is_int(b.id[3], ~0, "its rows serve both records");
	is_int(b.id[6], ~2, "the other has rows of its own");
	gv_packer_close(&p);
}

static void
test_full(void)
{
	struct gv_example x = example("1 2 3 4>5", 0, 1);
	struct gv_example y = example("I I 1 2 3 4>5", 1, 1);
	struct gv_packer *p = packer(7, 1);
	const int32_t *bytes;
	struct gv_batch a, b;

	is_int(gv_packer_add(p, &x, &err), 1, "4 rows of 7");
	gv_packer_batch(p, 1, &a, &bytes);
	is_int(gv_packer_add(p, &y, &err), 0, "6 more don't fit");
	gv_packer_batch(p, 1, &b, &bytes);
	is_int(b.N, a.N, "the rows are as before");
	is_int(b.B, a.B, "the images are as before");
	is_int(b.S, a.S, "the sequences are as before");
	is_int(b.M, a.M, "the trained positions are as before");
	gv_packer_reset(p);
	is_int(gv_packer_add(p, &y, &err), 1, "6 rows fit an empty batch");
	gv_packer_reset(p);
	x = example("1 2 3 4 5 6 7 8>9", 0, 1);
	is_int(gv_packer_add(p, &x, &err), GV_ERR_LIMIT, "8 rows never fit");
	ok(strstr(err.msg, "--micro-tokens") != NULL,
	    "the message names the option");
	gv_error_clear(&err);
	gv_packer_close(&p);
}

int
main(void)
{
	cfg.has_vision = cfg.has_text = true;
	cfg.R = ROWS;
	cfg.image_token = IMG;
	cfg.text.V = 100;
	test_one();
	test_prefix();
	test_trained_prefix();
	test_same_image();
	test_full();
	return done();
}
