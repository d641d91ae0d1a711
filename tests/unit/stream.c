/* Streams: what is written comes back, and nothing else comes through. */
#include "crc.h"
#include "mem.h"
#include "pack.h"
#include "stream.h"
#include "tap.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* Bytes of a stream, in memory. */
struct blob {
	uint8_t *p;
	size_t n;
};

static struct gv_error e;

static int
fails(int code, const char *word)
{
	int right = e.code == code && strstr(e.msg, word);

	if (!right)
		printf("# code %d: %s\n", e.code, e.msg);
	gv_error_clear(&e);
	return right;
}

/* A path that the bytes can be opened at, as a file or as a pipe that holds
 * them and then ends. */
static const char *
expose(const void *p, size_t n, int as_pipe, int *fd)
{
	static char path[64];
	int ends[2];

	if (as_pipe) {
		if (pipe(ends) || fcntl(ends[1], F_SETPIPE_SZ, 1 << 20) < 0 ||
		    (n && write(ends[1], p, n) != (ssize_t)n))
			abort();
		close(ends[1]);
		*fd = ends[0];
	} else {
		*fd = memfd_create("stream", 0);
		if (*fd < 0 || (n && write(*fd, p, n) != (ssize_t)n))
			abort();
	}
	snprintf(path, sizeof path, "/proc/self/fd/%d", *fd);
	return path;
}

/* Records in the bytes, or the code of the error, which stays in e. */
static int
count(const void *p, size_t n, int as_pipe)
{
	struct gv_reader *r = NULL;
	struct gv_rec rec;
	int fd, got, recs = 0;

	gv_error_clear(&e);
	got = gv_reader_open(&r, expose(p, n, as_pipe, &fd), &e);
	while (!got && (got = gv_reader_next(r, &rec, &e)) > 0) {
		recs++;
		got = 0;
	}
	gv_reader_close(&r);
	close(fd);
	return got < 0 ? got : recs;
}

/* gv_out wants a name; a FIFO or device is written in place, a file is not. */
static struct gv_out *
output(char path[32], int *fd)
{
	struct gv_out *o = NULL;

	gv_error_clear(&e);
	memcpy(path, "/tmp/gv-stream.XXXXXX", 22);
	*fd = mkstemp(path);
	close(*fd);
	if (gv_out_open(&o, path, true, false, &e))
		abort();
	return o;
}

static struct blob
finish(struct gv_out **o, const char *path)
{
	struct blob b;
	int fd, code = gv_out_commit(o, &e);

	fd = open(path, O_RDONLY);
	unlink(path);
	if (code || fd < 0)
		abort();
	b.n = (size_t)lseek(fd, 0, SEEK_END);
	b.p = gv_alloc(b.n, 1);
	if (pread(fd, b.p, b.n, 0) != (ssize_t)b.n)
		abort();
	close(fd);
	return b;
}

static int
small_schema(struct gv_schema *s, const char *kind, const char *digest)
{
	return gv_schema_init(s, kind, &e) ||
	       gv_schema_field(s, "tokens", "I32 (T)", "", &e) ||
	       gv_schema_field(s, "image", "U8 (N,2,3)", "px", &e) ||
	       gv_schema_field(s, "meta", "plain", "", &e) ||
	       gv_schema_prog(s, "gv-test", json_pack("[s]", "--x"),
		   json_pack("{s:s}", "weights", digest), &e);
}

/* A small stream of `recs` records. */
static struct blob
small(int recs, const char *kind, const char *digest, uint64_t bad)
{
	static const int32_t tok[8] = {5, 4, 3, 2, 1, 0, -1, 99};
	static const uint8_t px[12] = {9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 255, 1};
	struct gv_schema s;
	struct gv_writer *w;
	struct gv_out *o;
	char path[32], key[16];
	int i, fd;

	o = output(path, &fd);
	if (small_schema(&s, kind, digest) || gv_writer_open(&w, o, &s, &e))
		abort();
	for (i = 0; i < recs; i++) {
		int64_t t = i % 8, n = 2;

		snprintf(key, sizeof key, "k%d", i);
		if (gv_writer_begin(w, key, &e) ||
		    gv_writer_tensor(w, "tokens", 1, &t, tok, &e) ||
		    gv_writer_tensor(
			w, "image", 3, (int64_t[]){n, 2, 3}, px, &e) ||
		    gv_writer_text(w, "meta", "caf\xc3\xa9", 5, &e) ||
		    gv_writer_end_rec(w, &e))
			abort();
	}
	if (gv_writer_close(&w, bad, &e))
		abort();
	gv_schema_free(&s);
	return finish(&o, path);
}

static struct blob
join(struct blob a, struct blob b)
{
	struct blob j = {gv_alloc(a.n + b.n, 1), a.n + b.n};

	memcpy(j.p, a.p, a.n);
	memcpy(j.p + a.n, b.p, b.n);
	return j;
}

/* ---- tests --------------------------------------------------------------- */

static void
test_round_trip(void)
{
	static const char *const types[] = {"BOOL", "U8", "I8", "I32", "I64",
	    "F16", "BF16", "F32", "F64", "F8_E4M3"};
	enum { N = sizeof types / sizeof *types };
	uint8_t data[N][64 * 8];
	struct gv_schema s;
	struct gv_writer *w;
	struct gv_reader *r;
	struct gv_rec rec;
	struct gv_out *o;
	struct blob b;
	char path[32], name[16], spec[32];
	const char *text;
	json_t *j, *k;
	int64_t v;
	double f;
	size_t i, n;
	int fd, same = 1, aligned = 1;

	for (i = 0; i < N; i++)
		for (n = 0; n < sizeof data[i]; n++)
			data[i][n] = (uint8_t)(i * 31 + n);
	o = output(path, &fd);
	ok(!gv_schema_init(&s, "test", &e), "a schema");
	for (i = 0; i < N; i++) {
		snprintf(name, sizeof name, "t%zu", i);
		snprintf(spec, sizeof spec, "%s (A,%zu)", types[i], i);
		if (gv_schema_field(&s, name, spec, "u", &e))
			abort();
	}
	ok(!gv_schema_field(&s, "scalar", "F32 ()", NULL, &e) &&
		!gv_schema_field(&s, "deep", "U8 (A,a,a,a,1,1,1,2)", "", &e) &&
		!gv_schema_field(&s, "i", "plain", "", &e) &&
		!gv_schema_field(&s, "f", "plain", "", &e) &&
		!gv_schema_field(&s, "s", "plain", "", &e) &&
		!gv_schema_field(&s, "j", "plain", "", &e),
	    "fields of every type");
	ok(!gv_writer_open(&w, o, &s, &e) &&
		!gv_writer_begin(w, "K\xc3\xa9", &e),
	    "a writer");
	j = json_pack("{s:[i,f,n,b],s:{s:s},s:I}", "a", 1, 2.5, 1, "b", "c",
	    "d", "e", (json_int_t)-9007199254740993);
	/* any order */
	ok(!gv_writer_json(w, "j", j, &e) &&
		!gv_writer_int(w, "i", INT64_MIN, &e) &&
		!gv_writer_f64(w, "f", -0.1, &e) &&
		!gv_writer_text(w, "s", "a\0b", 3, &e) &&
		!gv_writer_tensor(w, "scalar", 0, NULL, data[0], &e) &&
		!gv_writer_tensor(w, "deep", 8,
		    (int64_t[]){4, 0, 0, 0, 1, 1, 1, 2}, NULL, &e),
	    "values in any order");
	for (i = N; i-- > 0;) {
		snprintf(name, sizeof name, "t%zu", i);
		if (gv_writer_tensor(
			w, name, 2, (int64_t[]){4, (int64_t)i}, data[i], &e))
			abort();
	}
	ok(!gv_writer_end_rec(w, &e) && !gv_writer_close(&w, 3, &e), "written");
	b = finish(&o, path);
	ok(b.n % 64 == 0 && !memcmp(b.p, "\x87\xa2gv\xa4head", 9),
	    "a stream's size and first bytes");
	ok(!gv_reader_open(&r, expose(b.p, b.n, 0, &fd), &e) &&
		gv_reader_next(r, &rec, &e) == 1,
	    "read back");
	ok(!gv_schema_same(&s, gv_reader_schema(r), &e), "the same schema");
	is_str(rec.key, "K\xc3\xa9", "the key");
	for (i = 0; i < N; i++) {
		const struct gv_tensor *t = &rec.v[i].t;

		same &= t->bytes == 4 * i * gv_dtype_size(t->dtype) &&
			!memcmp(t->data, data[i], t->bytes) &&
			!strcmp(gv_dtype_name(t->dtype), types[i]) &&
			t->rank == 2 && t->shape[0] == 4 &&
			t->shape[1] == (int64_t)i;
		aligned &= (uintptr_t)t->data % 64 == 0;
	}
	ok(same, "every dtype's payload");
	ok(aligned, "payloads aligned to 64 bytes");
	ok(rec.v[N].t.rank == 0 && rec.v[N].t.bytes == 4, "a rank of 0");
	ok(rec.v[N + 1].t.rank == 8 && rec.v[N + 1].t.bytes == 0,
	    "a rank of 8, empty");
	ok(!gv_value_int(&rec.v[N + 2], &v) && v == INT64_MIN, "an int");
	ok(!gv_value_f64(&rec.v[N + 3], &f) && f <= -0.1 && f >= -0.1,
	    "a float");
	ok(!gv_value_text(&rec.v[N + 4], &text, &n) && n == 3 &&
		!memcmp(text, "a\0b", 3),
	    "a text with a NUL");
	ok(!gv_value_json(&rec.v[N + 5], &k) && json_equal(j, k), "JSON");
	ok(gv_value_int(&rec.v[N + 3], &v) == GV_ERR_FORMAT &&
		gv_value_text(&rec.v[N + 2], &text, &n) == GV_ERR_FORMAT &&
		gv_value_f64(&rec.v[0], &f) == GV_ERR_FORMAT,
	    "values of another type are refused");
	ok(gv_reader_next(r, &rec, &e) == 0 && gv_reader_next(r, &rec, &e) == 0,
	    "the end stays the end");
	is_int((long long)gv_reader_bad(r), 3, "bad records counted");
	is_int((long long)gv_reader_offset(r), (long long)b.n, "all consumed");
	json_decref(j);
	json_decref(k);
	gv_reader_close(&r);
	gv_schema_free(&s);
	gv_free(b.p);
	close(fd);
}

static void
test_cuts(void)
{
	struct blob b = small(3, "test", "aa", 0);
	size_t i, refused[2] = {0};
	int p;

	for (p = 0; p < 2; p++) {
		is_int(count(b.p, b.n, p), 3, "whole, from a %s",
		    p ? "pipe" : "file");
		for (i = 0; i < b.n; i++)
			refused[p] += count(b.p, i, p) < 0 && e.msg[0];
		is_int((long long)refused[p], (long long)b.n,
		    "a %s cut at every offset is refused", p ? "pipe" : "file");
	}
	gv_free(b.p);
}

static void
test_flips(void)
{
	struct blob b = small(3, "test", "aa", 0);
	size_t i, bit, refused = 0, piped = 0, tried = 0;

	for (i = 0; i < b.n; i++)
		for (bit = 0; bit < 8; bit++) {
			b.p[i] ^= (uint8_t)(1u << bit);
			refused += count(b.p, b.n, 0) < 0;
			if ((8 * i + bit) % 7 == 0) {
				piped += count(b.p, b.n, 1) < 0;
				tried++;
			}
			b.p[i] ^= (uint8_t)(1u << bit);
		}
	is_int((long long)refused, (long long)b.n * 8,
	    "every flipped bit is refused");
	is_int((long long)piped, (long long)tried,
	    "every seventh on a pipe as well");
	is_int(count(b.p, b.n, 0), 3, "and none is left flipped");
	gv_free(b.p);
}

/* The CRC of each object made right again, as an adversary would. */
static void
reseal(struct blob b)
{
	size_t i, start = 0;

	for (i = 64; i <= b.n; i += 64) {
		uint8_t *q = b.p + i - 9;
		uint32_t crc;

		if (memcmp(q,
			"\xa3"
			"crc\xce",
			5))
			continue;
		crc = gv_crc(0, b.p + start, i - 9 - start);
		q[5] = (uint8_t)(crc >> 24);
		q[6] = (uint8_t)(crc >> 16);
		q[7] = (uint8_t)(crc >> 8);
		q[8] = (uint8_t)crc;
		start = i;
	}
}

/* Any byte may have any value, with a right CRC: whatever the reader says, it
 * neither crashes nor gives another number of records (run under ASan). */
static void
test_adversary(void)
{
	static const uint8_t values[] = {0x00, 0x7f, 0x80, 0x8f, 0x90, 0xa0,
	    0xbf, 0xc0, 0xc1, 0xc4, 0xc6, 0xc7, 0xcb, 0xce, 0xcf, 0xd3, 0xd9,
	    0xdb, 0xdc, 0xdd, 0xde, 0xdf, 0xff};
	struct blob b = small(2, "test", "aa", 0), c = {gv_alloc(b.n, 1), b.n};
	size_t i, k, wrong = 0, passed = 0;

	for (i = 0; i < b.n; i++)
		for (k = 0; k < sizeof values; k++) {
			int got;

			memcpy(c.p, b.p, b.n);
			c.p[i] = values[k];
			reseal(c);
			got = count(c.p, c.n, (i + k) % 16 == 0);
			passed += got >= 0;
			wrong += got >= 0 && got != 2;
		}
	is_int((long long)wrong, 0, "no byte changes the number of records");
	printf("# %zu of %zu resealed changes are valid streams\n", passed,
	    b.n * sizeof values);
	gv_free(b.p);
	gv_free(c.p);
}

static void
test_concatenation(void)
{
	struct blob a = small(3, "test", "aa", 1),
		    b = small(2, "test", "aa", 2);
	struct blob kind = small(1, "other", "aa", 0);
	struct blob other = small(1, "test", "bb", 0), j, k;
	struct gv_reader *r;
	struct gv_rec rec;
	int fd, i, p, right;

	j = join(a, b);
	for (p = 0; p < 2; p++) {
		ok(!gv_reader_open(&r, expose(j.p, j.n, p, &fd), &e), "opened");
		right = 1;
		for (i = 0; gv_reader_next(r, &rec, &e) > 0; i++)
			right &= rec.n == (uint64_t)i &&
				 (uintptr_t)rec.v[0].t.data % 64 == 0 &&
				 (uintptr_t)rec.v[1].t.data % 64 == 0 &&
				 rec.v[0].t.shape[0] == (i < 3 ? i : i - 3);
		ok(right && i == 5, "two streams are one, from a %s",
		    p ? "pipe" : "file");
		is_int((long long)gv_reader_bad(r), 3, "their bad records");
		gv_reader_close(&r);
		close(fd);
	}
	gv_free(j.p);
	j = join(a, kind);
	ok(count(j.p, j.n, 0) < 0 && fails(GV_ERR_MATCH, "kind 'other'"),
	    "another kind is refused");
	gv_free(j.p);
	j = join(a, other);
	ok(count(j.p, j.n, 0) < 0 && fails(GV_ERR_MATCH, "another 'weights'"),
	    "other weights are refused");
	gv_free(j.p);
	k = (struct blob){b.p, b.n - 64};
	j = join(a, k);
	ok(count(j.p, j.n, 0) < 0 && fails(GV_ERR_CUT, "without END"),
	    "a second stream without END is refused");
	gv_free(j.p);
	k = (struct blob){a.p, a.n - 64};
	j = join(k, b);
	ok(count(j.p, j.n, 0) < 0 && fails(GV_ERR_FORMAT, "before END"),
	    "a first stream without END is refused");
	gv_free(j.p);
	j = join(a, (struct blob){(uint8_t *)"\n", 1});
	ok(count(j.p, j.n, 0) < 0 && fails(GV_ERR_FORMAT, "not a gv"),
	    "a byte after the end is refused");
	gv_free(j.p);
	gv_free(a.p);
	gv_free(b.p);
	gv_free(kind.p);
	gv_free(other.p);
}

static void
test_random_access(void)
{
	struct blob a = small(9, "test", "aa", 1),
		    b = small(5, "test", "aa", 1);
	struct blob j = join(a, b);
	struct gv_reader *r;
	struct gv_rec rec;
	uint64_t n = 0;
	int fd, i, p, right = 1;

	for (p = 0; p < 2; p++) {
		ok(!gv_reader_open(&r, expose(j.p, j.n, p, &fd), &e), "opened");
		ok(gv_reader_mapped(r) == !p, "mapped only if a file");
		if (p) {
			ok(gv_reader_index(r, &n, &e) &&
				fails(GV_ERR_NOSUP, ""),
			    "a pipe has no index");
			ok(!gv_reader_spool(r, &e), "but can be spooled");
		}
		ok(gv_reader_next(r, &rec, &e) == 1 && rec.n == 0, "one read");
		ok(!gv_reader_index(r, &n, &e) && n == 14, "indexed");
		for (i = 13; i >= 0; i--) {
			right &= !gv_reader_at(r, (uint64_t)i, &rec, &e) &&
				 rec.n == (uint64_t)i &&
				 rec.v[0].t.shape[0] == (i < 9 ? i % 8 : i - 9);
		}
		ok(right, "each record by number");
		ok(gv_reader_at(r, 14, &rec, &e) && fails(GV_ERR_USAGE, "14"),
		    "not one more");
		ok(gv_reader_next(r, &rec, &e) == 1 && rec.n == 1,
		    "reading goes on where it was");
		ok(!gv_reader_skip(r, 10, &e) &&
			gv_reader_next(r, &rec, &e) == 1 && rec.n == 12,
		    "skipped over a seam");
		ok(gv_reader_skip(r, 2, &e) && fails(GV_ERR_MATCH, "too few"),
		    "too far");
		is_int((long long)gv_reader_bad(r), 2, "bad counted once");
		gv_reader_close(&r);
		close(fd);
	}
	gv_free(a.p);
	gv_free(b.p);
	gv_free(j.p);
}

static void
test_writer_refuses(void)
{
	static const int32_t tok[8];
	struct gv_schema s;
	struct gv_writer *w;
	struct gv_out *o;
	struct blob b;
	char path[32], key[300];
	json_t *deep = json_integer(1);
	int64_t t = 3;
	int fd, i;

	o = output(path, &fd);
	if (gv_schema_init(&s, "test", &e) ||
	    gv_schema_field(&s, "a", "I32 (T)", "", &e) ||
	    gv_schema_field(&s, "b", "I32 (T)", "", &e) ||
	    gv_schema_field(&s, "c", "plain", "", &e) ||
	    gv_writer_open(&w, o, &s, &e))
		abort();
	ok(gv_writer_int(w, "c", 1, &e) && fails(GV_ERR_USAGE, "turn"),
	    "a value before its record");
	memset(key, 'k', sizeof key);
	key[257] = '\0';
	ok(gv_writer_begin(w, key, &e) && fails(GV_ERR_LIMIT, "257"),
	    "a key of 257 bytes");
	key[256] = '\0';
	ok(!gv_writer_begin(w, key, &e), "a key of 256 bytes is fine");
	ok(gv_writer_tensor(w, "x", 1, &t, tok, &e) &&
		fails(GV_ERR_MATCH, "'x'"),
	    "an unknown field");
	ok(gv_writer_int(w, "a", 1, &e) && fails(GV_ERR_MATCH, "'a'"),
	    "a number for a tensor");
	ok(gv_writer_tensor(w, "a", 2, (int64_t[]){1, 2}, tok, &e) &&
		fails(GV_ERR_MATCH, "rank"),
	    "another rank");
	ok(gv_writer_tensor(w, "a", 1, (int64_t[]){-2}, tok, &e) &&
		fails(GV_ERR_LIMIT, ""),
	    "a negative size");
	ok(!gv_writer_tensor(w, "a", 1, &t, tok, &e) &&
		gv_writer_tensor(w, "a", 1, &t, tok, &e) &&
		fails(GV_ERR_MATCH, "twice"),
	    "a field put twice");
	t = 4;
	ok(!gv_writer_tensor(w, "b", 1, &t, tok, &e), "b");
	ok(gv_writer_end_rec(w, &e) && fails(GV_ERR_MATCH, "'c'"),
	    "a missing field");
	ok(gv_writer_text(w, "c", "\xff", 1, &e) && fails(GV_ERR_FORMAT, "UTF"),
	    "text that is not UTF-8");
	for (i = 0; i < 8; i++)
		deep = json_pack("[o]", deep);
	ok(gv_writer_json(w, "c", deep, &e) && fails(GV_ERR_LIMIT, "deep"),
	    "lists eight deep");
	ok(!gv_writer_json(w, "c", json_array_get(deep, 0), &e),
	    "seven deep is fine");
	ok(gv_writer_end_rec(w, &e) && fails(GV_ERR_MATCH, "'T'"),
	    "two sizes of one dimension");
	ok(gv_writer_begin(w, "", &e) && fails(GV_ERR_USAGE, ""),
	    "begun twice");
	gv_writer_drop(w);
	ok(!gv_writer_begin(w, "", &e) &&
		!gv_writer_tensor(w, "b", 1, &t, tok, &e) &&
		!gv_writer_tensor(w, "a", 1, &t, tok, &e) &&
		!gv_writer_json(w, "c", json_array_get(deep, 0), &e) &&
		!gv_writer_end_rec(w, &e) && !gv_writer_close(&w, 0, &e),
	    "a record after a dropped one");
	b = finish(&o, path);
	is_int(count(b.p, b.n, 0), 1, "only the whole record was written");
	gv_schema_free(&s);
	json_decref(deep);
	gv_free(b.p);
}

static void
test_schema(void)
{
	struct blob b = small(1, "test", "aa", 0);
	struct gv_schema s;
	struct gv_reader *r;
	char name[16];
	size_t at;
	int i, fd;

	ok(gv_schema_init(&s, "a b", &e) && fails(GV_ERR_USAGE, "'a b'"),
	    "a kind with a space");
	if (gv_schema_init(&s, "test", &e))
		abort();
	for (i = 0; i < GV_MAX_FIELDS; i++) {
		snprintf(name, sizeof name, "f%d", i);
		if (gv_schema_field(&s, name, "plain", "", &e))
			abort();
	}
	ok(gv_schema_field(&s, "z", "plain", "", &e) &&
		fails(GV_ERR_LIMIT, "248"),
	    "the 249th field");
	gv_schema_free(&s);
	ok(gv_schema_field(&s, "crc", "plain", "", &e) &&
		fails(GV_ERR_FORMAT, "'crc'"),
	    "a reserved name");
	ok(gv_schema_field(&s, "a", "I32 (T", "", &e) &&
		fails(GV_ERR_USAGE, "'I32 (T'") &&
		gv_schema_field(&s, "a", "I33 (T)", "", &e) &&
		fails(GV_ERR_USAGE, "I33") &&
		gv_schema_field(&s, "a", "I32 (1,1,1,1,1,1,1,1,1)", "", &e) &&
		fails(GV_ERR_USAGE, ""),
	    "types that are none");
	ok(!gv_schema_field(&s, "a", "plain", "", &e) &&
		gv_schema_field(&s, "a", "I32 (T)", "", &e) &&
		fails(GV_ERR_MATCH, "two"),
	    "two fields of a name");
	gv_schema_free(&s);
	if (gv_reader_open(&r, expose(b.p, b.n, 0, &fd), &e))
		abort();
	ok(!gv_reader_need(r, "image", "U8 (M,2,3)", &at, &e) && at == 1,
	    "a field that fits");
	ok(!gv_reader_need(r, "image", "F32|U8 (N,H,3)", &at, &e),
	    "one of two dtypes");
	ok(gv_reader_need(r, "image", "U8 (M,2,4)", &at, &e) &&
		fails(GV_ERR_MATCH, "'image'"),
	    "another size");
	ok(gv_reader_need(r, "pixels", "U8 (M)", &at, &e) &&
		fails(GV_ERR_MATCH, "'pixels'"),
	    "a missing field");
	is_int(gv_reader_has(r, "meta"), 2, "an optional field");
	is_int(gv_reader_has(r, "mete"), -1, "one that is not there");
	is_str(
	    gv_schema_digest(gv_reader_schema(r), "weights"), "aa", "a digest");
	ok(!gv_schema_digest(gv_reader_schema(r), "wei"), "no digest");
	gv_reader_close(&r);
	close(fd);
	gv_free(b.p);
}

/* ---- crafted records ----------------------------------------------------- */

static struct gv_pack craft;

static void
craft_head(void)
{
	struct gv_schema s = {0};

	if (gv_schema_init(&s, "t", &e) ||
	    gv_schema_field(&s, "x", "plain", "", &e))
		abort();
	gv_pack_free(&craft);
	gv_pack_head(&craft, &s);
	gv_schema_free(&s);
}

/* Adds pad and crc to what was packed since `from`. */
static void
craft_seal(size_t from)
{
	gv_pack_pad(&craft, craft.n - from, GV_CRC_PAIR, false);
	gv_pack_crc(&craft, gv_crc(0, craft.p + from, craft.n - from));
}

static void
craft_end(uint64_t recs)
{
	size_t from = craft.n;

	msgpack_pack_map(&craft.pk, 6);
	gv_pack_str(&craft, "gv");
	gv_pack_str(&craft, "end");
	gv_pack_str(&craft, "recs");
	msgpack_pack_uint64(&craft.pk, recs);
	gv_pack_str(&craft, "bad");
	msgpack_pack_uint64(&craft.pk, 0);
	gv_pack_str(&craft, "bytes");
	msgpack_pack_uint64(&craft.pk, from);
	craft_seal(from);
}

/* A stream of one record whose pairs after gv:"rec" are the bytes given. */
static int
crafted(int pairs, const char *body, size_t n)
{
	size_t from;

	craft_head();
	from = craft.n;
	msgpack_pack_map(&craft.pk, (size_t)pairs + 3);
	gv_pack_str(&craft, "gv");
	gv_pack_str(&craft, "rec");
	gv_pack_raw(&craft, body, n);
	craft_seal(from);
	craft_end(1);
	return count(craft.p, craft.n, 0);
}

#define CRAFTED(pairs, body) crafted(pairs, body, sizeof(body) - 1)

static void
test_crafted(void)
{
	static const char ten_thousand[10000] = {0};
	static char nested[10100] = "\xa1n\x00\xa3key\xa0\xa1x";
	size_t i;

	is_int(CRAFTED(3, "\xa1n\x00\xa3key\xa0\xa1x\x07"), 1, "plain");
	is_int(CRAFTED(5, "\xa1y\x01\xa1n\x00\xa3key\xa0\xa1z\x82\xc4\x01q\x01"
			  "\xa1r\x02\xa1x\x07"),
	    1, "unknown keys are skipped");
	ok(CRAFTED(2, "\xa1n\x00\xa3key\xa0") < 0 &&
		fails(GV_ERR_FORMAT, "field 'x'"),
	    "a missing field is named");
	ok(CRAFTED(4, "\xa1n\x00\xa3key\xa0\xa1x\x07\xa1x\x07") < 0 &&
		fails(GV_ERR_FORMAT, "twice"),
	    "a field twice");
	ok(CRAFTED(3, "\xa1n\x00\xa1x\x07\xa3key\xa0") < 0 &&
		fails(GV_ERR_FORMAT, "order"),
	    "fields out of order");
	ok(CRAFTED(3, "\xa1n\x01\xa3key\xa0\xa1x\x07") < 0 &&
		fails(GV_ERR_FORMAT, "sequence"),
	    "a wrong n");
	ok(CRAFTED(3, "\xa1n\x00\xa3key\xa1\x00\xa1x\x07") < 0 &&
		fails(GV_ERR_FORMAT, "NUL"),
	    "a NUL in the key");
	ok(CRAFTED(3, "\xa1n\x00\xa3key\xa0\xa1x\xa2\xc0\xaf") < 0 &&
		fails(GV_ERR_FORMAT, "UTF-8"),
	    "overlong UTF-8");
	ok(CRAFTED(3, "\xa1n\x00\xa3key\xa0\xa1x\xa3\xed\xa0\x80") < 0 &&
		fails(GV_ERR_FORMAT, "UTF-8"),
	    "a surrogate");
	ok(CRAFTED(3, "\xa1n\x00\xa3key\xa0\xa1x\xd4\x01\x01") < 0 &&
		fails(GV_ERR_FORMAT, "ext"),
	    "an ext type");
	ok(CRAFTED(3, "\xa1n\x00\xa3key\xa0\xa1x\xc1") < 0 &&
		fails(GV_ERR_FORMAT, "c1"),
	    "the byte that msgpack never uses");
	ok(CRAFTED(3, "\xa1n\x00\xa3key\xa0\xa1x\xdd\x0f\xff\xff\xff") < 0 &&
		fails(GV_ERR_CUT, "record 0, field 'x'"),
	    "a list of 2^28");
	ok(CRAFTED(3, "\xa1n\x00\xa3key\xa0\xa1x\xdf\x0f\xff\xff\xff") < 0 &&
		fails(GV_ERR_LIMIT, "keys"),
	    "a map of 2^28");
	ok(CRAFTED(3, "\xa1n\x00\xa3key\xa0\xa1x\xdb\x80\x00\x00\x00") < 0 &&
		fails(GV_ERR_LIMIT, "large"),
	    "a text of 2^31");
	ok(CRAFTED(3, "\xa1n\x00\xa3key\xa0\xa1x\x81\x01\x02") < 0 &&
		fails(GV_ERR_FORMAT, "key"),
	    "a map key that is a number");
	ok(CRAFTED(
	       3, "\xa1n\x00\xa3key\xa0\xa1x\x91\x91\x91\x91\x91\x91\x90") == 1,
	    "seven lists in each other");
	ok(CRAFTED(3, "\xa1n\x00\xa3key\xa0\xa1x"
		      "\x91\x91\x91\x91\x91\x91\x91\x90") < 0 &&
		fails(GV_ERR_LIMIT, "deep"),
	    "eight lists in each other");
	for (i = 0; i < sizeof ten_thousand; i++)
		nested[10 + i] = (char)0x91;
	ok(crafted(3, nested, 10 + sizeof ten_thousand) < 0 &&
		fails(GV_ERR_LIMIT, "deep"),
	    "10,000 lists in each other");
	craft_head();
	craft_end(1);
	ok(count(craft.p, craft.n, 0) < 0 && fails(GV_ERR_FORMAT, "number of"),
	    "END counts another number of records");
	craft_head();
	craft.p[13] = 2; /* ver */
	ok(count(craft.p, craft.n, 0) < 0 && fails(GV_ERR_NOSUP, "version"),
	    "another version");
	gv_pack_free(&craft);
}

/* A writer that stalls: each byte on its own is read all the same. */
static void
test_slow_pipe(void)
{
	struct blob b = small(3, "test", "aa", 0);
	struct gv_reader *r = NULL;
	struct gv_rec rec;
	int ends[2], recs = 0;
	char path[64];
	pid_t child;
	size_t i;

	if (pipe(ends) || (child = fork()) < 0)
		abort();
	if (!child) {
		for (i = 0; i < b.n; i++)
			if (write(ends[1], b.p + i, 1) != 1)
				_exit(1);
		_exit(0);
	}
	close(ends[1]);
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	snprintf(path, sizeof path, "/proc/self/fd/%d", ends[0]);
	ok(!gv_reader_open(&r, path, &e), "opened");
	while (gv_reader_next(r, &rec, &e) > 0)
		recs++;
	is_int(recs, 3, "byte after byte");
	is_int(e.code, 0, "without an error");
	gv_reader_close(&r);
	close(ends[0]);
	gv_free(b.p);
}

/* A filter whose input rests, and whose reader goes `wait_us` after. */
static void
test_unread(useconds_t wait_us)
{
	struct blob b = small(1, "test", "aa", 0);
	struct gv_reader *r = NULL;
	struct gv_out *o = NULL;
	struct gv_rec rec;
	int in[2], out[2], was = dup(1), got, status;
	char path[64], c;
	pid_t child;

	fflush(stdout);
	if (was < 0 || pipe(in) || pipe(out) || dup2(out[1], 1) < 0)
		abort();
	close(out[1]);
	/* all but END */
	if (write(in[1], b.p, b.n - 64) != (ssize_t)b.n - 64 ||
	    (child = fork()) < 0)
		abort();
	if (!child) {
		close(1);
		if (read(out[0], &c, 1) != 1)
			_exit(1);
		usleep(wait_us);
		_exit(0);
	}
	close(out[0]);
	snprintf(path, sizeof path, "/proc/self/fd/%d", in[0]);
	if (gv_out_open(&o, NULL, true, true, &e) ||
	    gv_reader_open(&r, path, &e))
		abort();
	gv_reader_tie(r, o);
	got = gv_reader_next(r, &rec, &e);
	if (gv_out_write(o, "x", 1, &e))
		abort();
	alarm(20);
	if (got == 1)
		got = gv_reader_next(r, &rec, &e);
	alarm(0);
	gv_reader_close(&r);
	gv_out_abort(&o);
	dup2(was, 1);
	close(was);
	is_int(got, GV_ERR_PIPE, "a filter doesn't wait for input in vain");
	ok(fails(GV_ERR_PIPE, "nobody reads 'standard output'"), "and why");
	ok(waitpid(child, &status, 0) == child && status == 0,
	    "what it had was written before");
	close(in[0]);
	close(in[1]);
	gv_free(b.p);
}

int
main(void)
{
	test_round_trip();
	test_cuts();
	test_flips();
	test_adversary();
	test_concatenation();
	test_random_access();
	test_writer_refuses();
	test_schema();
	test_crafted();
	test_slow_pipe();
	test_unread(0);
	test_unread(50000);
	return done();
}
