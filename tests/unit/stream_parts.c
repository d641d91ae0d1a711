/* Parts of streams, joined: the bytes are those that one writer writes. */
#include "io.h"
#include "mem.h"
#include "philox.h"
#include "stream.h"
#include "scratch.h"
#include "tap.h"

#include <stdlib.h>
#include <unistd.h>

#define MOST  70000 /* records: more than two bytes hold */
#define VALUE 300000

static struct gv_error e;
static uint8_t value[VALUE];

/* What a stream's records hold. */
struct kind {
	const char *name;
	const char *field[4]; /* specs; NULL behind the last */
	size_t most; /* rows of a tensor */
	uint64_t records;
};
static const struct kind kinds[] = {
    {"three vectors", {"I32 (T)", "I32 (T)", "U8 (N,3)"}, 40, MOST},
    {"plain data first", {"plain", "U8 (T)", "plain"}, 200, 2000},
    {"plain data alone", {"plain", "plain"}, 0, 3000},
    {"no field", {NULL}, 0, 300},
    {"large and small tensors", {"F32 (T)", "U8 (T)", "F32 ()"}, 70000, 60},
};

static void
open_schema(struct gv_schema *s, const struct kind *k)
{
	char name[] = "a";
	size_t i;

	must(gv_schema_init(s, "test", &e), &e);
	for (i = 0; i < 4 && k->field[i]; i++, name[0]++)
		must(gv_schema_field(s, name, k->field[i], "", &e), &e);
}

/* Record i, the same wherever it is put. */
static void
put(struct gv_writer *w, const struct gv_schema *s, const struct kind *k,
    uint64_t i)
{
	char key[GV_MAX_KEY + 1] = "";
	struct gv_rng g;
	size_t f, n;

	gv_rng_init(&g, 100 + i, GV_PURPOSE_TEST);
	n = gv_rng_below(&g, 90);
	for (f = 0; f < n; f++)
		key[f] = (char)('a' + f % 26);
	must(gv_writer_begin(w, key, &e), &e);
	n = k->most ? gv_rng_below(&g, k->most + 1) : 0;
	for (f = 0; f < s->nfields; f++) {
		int64_t shape[] = {(int64_t)n, 3};
		const char *name = s->fields[f].name;
		size_t from = gv_rng_below(&g, 256);

		if (s->fields[f].dtype != GV_NONE)
			must(gv_writer_tensor(w, name, s->fields[f].rank, shape,
				 value + from, &e),
			    &e);
		else if (gv_rng_below(&g, 2))
			must(
			    gv_writer_int(w, name, (int64_t)from << 8, &e), &e);
		else
			must(gv_writer_text(w, name,
				 "text that is longer than 31 bytes", from % 34,
				 &e),
			    &e);
	}
	must(gv_writer_end_rec(w, &e), &e);
}

/* A stream of the kind: put one by one, or by parts of up to `batch`. */
static char *
write_stream(const struct kind *k, size_t batch, size_t *n)
{
	struct gv_writer *w, *part[2];
	struct gv_schema s;
	struct gv_out *o;
	struct gv_rng g;
	char path[GV_PATH_MAX], *bytes;
	uint64_t i = 0;
	size_t turn = 0, some;

	in_scratch(path, "stream");
	open_schema(&s, k);
	must(gv_out_open(&o, path, true, true, &e), &e);
	must(gv_writer_open(&w, o, &s, &e), &e);
	must(gv_writer_part(&part[0], w, &e), &e);
	must(gv_writer_part(&part[1], w, &e), &e);
	gv_rng_init(&g, batch, GV_PURPOSE_TEST);
	for (; i < k->records; turn++) {
		struct gv_writer *to = batch ? part[turn % 2] : w;

		some = batch ? gv_rng_below(&g, (uint32_t)batch + 1) : 1;
		for (; some && i < k->records; some--)
			put(to, &s, k, i++);
		if (batch)
			must(gv_writer_join(w, to, &e), &e);
		/* now and then a record by the way */
		if (i < k->records && turn % 3 == 1)
			put(w, &s, k, i++);
	}
	gv_writer_abort(&part[0]);
	gv_writer_abort(&part[1]);
	must(gv_writer_close(&w, 0, &e), &e);
	must(gv_out_commit(&o, &e), &e);
	must(gv_slurp(path, SIZE_MAX / 2, &bytes, n, &e), &e);
	gv_schema_free(&s);
	return bytes;
}

static void
same_bytes(const struct kind *k)
{
	static const size_t batches[] = {1, 7, 1000};
	size_t n, m, i;
	char *one = write_stream(k, 0, &n), *other;
	struct gv_reader *r;
	struct gv_rec rec;
	char path[GV_PATH_MAX];
	uint64_t recs = 0;
	int got;

	in_scratch(path, "stream");
	must(gv_reader_open(&r, path, &e), &e);
	while ((got = gv_reader_next(r, &rec, &e)) > 0)
		recs++;
	ok(!got && recs == k->records, "%s: a valid stream %s", k->name, e.msg);
	gv_reader_close(&r);
	for (i = 0; i < sizeof batches / sizeof *batches; i++) {
		other = write_stream(k, batches[i], &m);
		ok(n == m && !memcmp(one, other, n),
		    "%s: the same by parts of up to %zu records", k->name,
		    batches[i]);
		gv_free(other);
	}
	gv_free(one);
}

static void
out_of_turn(void)
{
	struct gv_writer *w, *other, *part;
	struct gv_schema s;
	struct gv_out *o;
	char path[GV_PATH_MAX];

	in_scratch(path, "turns");
	open_schema(&s, &kinds[3]);
	must(gv_out_open(&o, path, true, true, &e), &e);
	must(gv_writer_open(&w, o, &s, &e), &e);
	must(gv_writer_open(&other, o, &s, &e), &e);
	must(gv_writer_part(&part, w, &e), &e);
	must(gv_writer_begin(part, "a", &e), &e);
	ok(gv_writer_join(w, part, &e) == GV_ERR_USAGE,
	    "a part with a record that hasn't ended: %s", e.msg);
	gv_error_clear(&e);
	ok(!gv_writer_end_rec(part, &e) &&
		gv_writer_join(other, part, &e) == GV_ERR_USAGE,
	    "a part of another writer: %s", e.msg);
	gv_error_clear(&e);
	must(gv_writer_begin(w, "", &e), &e);
	ok(gv_writer_join(w, part, &e) == GV_ERR_USAGE, "within a record: %s",
	    e.msg);
	gv_error_clear(&e);
	gv_writer_drop(w);
	ok(!gv_writer_join(w, part, &e) && !gv_writer_join(w, part, &e),
	    "then it can be joined; twice, since it is empty");
	ok(gv_writer_close(&part, 0, &e) == GV_ERR_USAGE && !part,
	    "a part has no end of its own: %s", e.msg);
	gv_error_clear(&e);
	gv_writer_abort(&other);
	ok(!gv_writer_close(&w, 0, &e), "the end");
	gv_out_abort(&o);
	gv_schema_free(&s);
}

int
main(void)
{
	size_t i;

	scratch_make();
	for (i = 0; i < VALUE; i++)
		value[i] = (uint8_t)(i * 7 + i / 251);
	for (i = 0; i < sizeof kinds / sizeof *kinds; i++)
		same_bytes(&kinds[i]);
	out_of_turn();
	scratch_remove();
	return done();
}
