/* Records as examples: what is taken, what is cut, what is refused. */
#include "batch.h"

#include "tap.h"

#include <stdlib.h>
#include <unistd.h>

#define ID   9 /* the image token */
#define ROWS 2

static struct gv_config cfg;
static struct gv_error err;
static char path[] = "/tmp/gv-examples-XXXXXX";

/* A record to be: its vectors as lists that end with END. */
#define END -9
struct rec {
	int32_t tokens[32], targets[32], starts[8], image_at[8];
	int images;
};

static int64_t
length(const int32_t *v)
{
	int64_t n = 0;

	while (v[n] != END)
		n++;
	return n;
}

static void
must(int r)
{
	if (r) {
		printf("Bail out! %s\n", err.msg);
		exit(1);
	}
}

static void
put(struct gv_writer *w, const char *name, const int32_t *v)
{
	int64_t n = length(v);

	must(gv_writer_tensor(w, name, 1, &n, v, &err));
}

/* Writes one record as a stream; features are (N,4,3). */
static void
write_stream(const struct rec *r)
{
	static float feat[4 * 12];
	int64_t shape[3] = {r->images, 4, 3};
	struct gv_schema s;
	struct gv_writer *w;
	struct gv_out *o;

	must(gv_schema_init(&s, "tokens", &err));
	must(gv_schema_field(&s, "tokens", "I32 (T)", "", &err));
	must(gv_schema_field(&s, "targets", "I32 (T)", "", &err));
	must(gv_schema_field(&s, "starts", "I32 (S)", "", &err));
	must(gv_schema_field(&s, "image_at", "I32 (M)", "", &err));
	must(gv_schema_field(&s, "features", "F32 (N,4,3)", "", &err));
	must(gv_out_open(&o, path, true, true, &err));
	must(gv_writer_open(&w, o, &s, &err));
	must(gv_writer_begin(w, "k", &err));
	put(w, "tokens", r->tokens);
	put(w, "targets", r->targets);
	put(w, "starts", r->starts);
	put(w, "image_at", r->image_at);
	must(gv_writer_tensor(w, "features", 3, shape, feat, &err));
	must(gv_writer_end_rec(w, &err));
	must(gv_writer_close(&w, 0, &err));
	must(gv_out_commit(&o, &err));
	gv_schema_free(&s);
}

/* Reads it back as an example: the result of gv_examples_next(). */
static int
read_back(const struct rec *r, int32_t max, struct gv_example *x, uint64_t *cut)
{
	struct gv_examples *in;
	struct gv_reader *rd;
	int k;

	gv_error_clear(&err);
	write_stream(r);
	must(gv_reader_open(&rd, path, &err));
	must(gv_examples_open(&in, rd, &cfg, max, GV_F32, &err));
	k = gv_examples_next(in, x, &err);
	*cut = gv_examples_cut(in);
	gv_examples_close(&in);
	gv_reader_close(&rd);
	return k;
}

static void
refused(const struct rec *r, int32_t max, const char *why)
{
	struct gv_example x = {0};
	uint64_t cut;

	is_int(read_back(r, max, &x, &cut), GV_ERR_MATCH, "%s", why);
	ok(strstr(err.msg, "record 0") != NULL, "... names the record: %s",
	    err.msg);
	gv_example_free(&x);
}

static void
test_whole(void)
{
	struct rec r = {{1, ID, ID, 2, 3, 1, ID, ID, 4, END},
	    {-1, -1, -1, 3, -1, -1, -1, 4, -1, END}, {0, 5, END}, {1, 6, END},
	    1};
	struct gv_example x = {0};
	uint64_t cut;

	is_int(read_back(&r, 100, &x, &cut), 1, "two sequences, one image");
	is_int(x.T, 9, "tokens");
	is_int(x.D, 2, "sequences");
	is_int(x.start[1], 5, "the second begins");
	is_int(x.start[2], 9, "... and ends");
	is_int(x.trained, 2, "trained positions");
	is_int(x.N, 1, "images");
	is_int(x.runs, 2, "runs of placeholders");
	is_int((long long)x.image_bytes, 48, "features of an image are F32");
	ok(x.bytes == NULL, "bytes are unknown");
	is_int((long long)cut, 0, "nothing was cut");
	gv_example_free(&x);
}

static void
test_cut(void)
{
	struct rec text = {{1, 2, 3, 4, 5, 6, 7, END},
	    {2, 3, 4, 5, 6, 7, -1, END}, {0, END}, {END}, 0};
	struct rec image = {{1, ID, ID, 2, 3, 4, 5, END},
	    {-1, -1, 2, 3, 4, 5, -1, END}, {0, END}, {1, END}, 1};
	struct gv_example x = {0};
	uint64_t cut;

	is_int(read_back(&text, 3, &x, &cut), 1, "text longer than 3");
	is_int(x.D, 3, "becomes three pieces");
	is_int(x.start[2], 6, "of 3 each");
	is_int(x.trained, 6, "and loses nothing");
	is_int((long long)cut, 0, "so nothing counts as cut");
	is_int(read_back(&image, 4, &x, &cut), 1, "an image and text");
	is_int(x.trained, 2, "what is behind the end isn't trained on");
	is_int((long long)cut, 1, "... which counts as cut");
	gv_example_free(&x);
	refused(&image, 2, "an image behind the end");
}

static void
test_refused(void)
{
	struct rec good = {
	    {1, ID, ID, 2, END}, {-1, -1, 2, -1, END}, {0, END}, {1, END}, 1};
	struct rec r = good;

	r.image_at[0] = 0;
	refused(&r, 100, "a run that is not where it should be");
	r = good;
	r.tokens[2] = 5;
	refused(&r, 100, "a placeholder too few");
	r = good;
	r.tokens[3] = ID;
	refused(&r, 100, "a placeholder too many");
	r = good;
	r.images = 2;
	refused(&r, 100, "an image without placeholders");
	r = good;
	r.image_at[0] = END;
	refused(&r, 100, "placeholders without a run");
	r = good;
	r.image_at[0] = 3;
	refused(&r, 100, "a run past the end");
	r = good;
	r.tokens[0] = 10;
	refused(&r, 100, "an id outside the vocabulary");
	r = good;
	r.tokens[0] = -1;
	refused(&r, 100, "a negative id");
	r = good;
	r.targets[0] = 10;
	refused(&r, 100, "a target outside the vocabulary");
	r = good;
	r.targets[0] = -2;
	refused(&r, 100, "a target below -1");
	r = good;
	r.starts[0] = 1;
	refused(&r, 100, "sequences that don't begin at 0");
	r = good;
	r.starts[1] = 0;
	r.starts[2] = END;
	refused(&r, 100, "sequences that don't ascend");
	r = good;
	r.starts[1] = 2;
	r.starts[2] = END;
	refused(&r, 100, "a run across two sequences");
}

static void
test_schema(void)
{
	struct rec good = {
	    {1, ID, ID, 2, END}, {-1, -1, 2, -1, END}, {0, END}, {1, END}, 1};
	struct gv_config was = cfg;
	struct gv_example x = {0};
	uint64_t cut;

	cfg.vision.C = 5;
	refused(&good, 100, "features of another width");
	cfg = was;
	cfg.has_vision = false;
	{
		struct gv_examples *in;
		struct gv_reader *rd;

		gv_error_clear(&err);
		must(gv_reader_open(&rd, path, &err));
		is_int(gv_examples_open(&in, rd, &cfg, 100, GV_F32, &err),
		    GV_ERR_MATCH, "images for a model without eyes");
		gv_reader_close(&rd);
	}
	cfg = was;
	is_int(read_back(&good, 100, &x, &cut), 1, "and it is still good");
	gv_example_free(&x);
}

int
main(void)
{
	int fd = mkstemp(path);

	if (fd < 0)
		return 1;
	close(fd);
	cfg.has_vision = cfg.has_text = true;
	cfg.R = ROWS;
	cfg.image_token = ID;
	cfg.text.V = 10;
	cfg.text.C = 6;
	cfg.vision.P = 4;
	cfg.vision.C = 3;
	test_whole();
	test_cut();
	test_refused();
	test_schema();
	unlink(path);
	return done();
}
