/* safetensors: what is written comes back, and each rule refuses its file. */
#include "safetensors.h"
#include "dir.h"
#include "philox.h"
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[] = "/tmp/gv-st-XXXXXX";

static void
put(const char *path, const void *data, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);

	if (fd < 0 || write(fd, data, n) != (ssize_t)n || close(fd))
		printf("# cannot write %s\n", path);
}

/* A file of a header's text and `data` zero bytes; its length. */
static size_t
make(const char *path, const char *header, size_t len, size_t data)
{
	size_t i, n = 8 + len + data;
	uint8_t *b = calloc(n + 1, 1);

	for (i = 0; i < 8; i++)
		b[i] = (uint8_t)((uint64_t)len >> (8 * i));
	memcpy(b + 8, header, len);
	put(path, b, n);
	free(b);
	return n;
}

/* Opens such a file; its error code. */
static int
try(const char *header, size_t data, struct gv_error *e)
{
	struct gv_st *s;
	int r;

	gv_error_clear(e);
	make("t", header, strlen(header), data);
	r = gv_st_open(&s, "t", e);
	if (!r)
		gv_st_close(&s);
	return r;
}

#define T(dtype, shape, a, b) \
	"{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #a \
	"," #b "]}"

/* One rule a row: the header, the bytes of data behind it, the verdict. */
static const struct {
	const char *what, *header;
	size_t data;
	int code;
	const char *says; /* part of the message */
} rule[] = {
    {"no tensors", "{}", 0, 0, ""},
    {"metadata only", "{\"__metadata__\":{\"a\":\"b\"}}", 0, 0, ""},
    {"one tensor", "{\"a\":" T("F32", "[2,3]", 0, 24) "}", 24, 0, ""},
    {"a scalar", "{\"a\":" T("F32", "[]", 0, 4) "}", 4, 0, ""},
    {"padding", "{\"a\":" T("U8", "[1]", 0, 1) "}    ", 1, 0, ""},
    {"an empty tensor", "{\"a\":" T("F32", "[0,3]", 0, 0) "}", 0, 0, ""},
    {"an empty tensor between two",
	"{\"a\":" T("U8", "[2]", 0, 2) ",\"b\":" T(
	    "U8", "[0]", 2, 2) ",\"c\":" T("U8", "[1]", 2, 3) "}",
	3, 0, ""},
    {"not in order of offset",
	"{\"a\":" T("U8", "[2]", 1, 3) ",\"b\":" T("U8", "[1]", 0, 1) "}", 3, 0,
	""},
    {"rank 8", "{\"a\":" T("U8", "[1,1,1,1,1,1,1,1]", 0, 1) "}", 1, 0, ""},
    {"rank 9", "{\"a\":" T("U8", "[1,1,1,1,1,1,1,1,1]", 0, 1) "}", 1,
	GV_ERR_LIMIT, "tensor 'a' has rank 9, the limit is 8"},
    {"a list", "[]", 0, GV_ERR_FORMAT, "does not start with '{'"},
    {"leading space", " {}", 0, GV_ERR_FORMAT, "start with '{'"},
    {"an empty header", "", 0, GV_ERR_FORMAT, "start with '{'"},
    {"text behind the object", "{}x", 0, GV_ERR_FORMAT, "not valid JSON"},
    {"cut JSON", "{\"a\":", 0, GV_ERR_FORMAT, "not valid JSON"},
    {"bytes that are not UTF-8", "{\"\xff\":" T("U8", "[1]", 0, 1) "}", 1,
	GV_ERR_FORMAT, "not valid JSON"},
    {"an overlong encoding", "{\"\xc0\x80\":" T("U8", "[1]", 0, 1) "}", 1,
	GV_ERR_FORMAT, "not valid JSON"},
    {"NUL in a name", "{\"a\\u0000b\":" T("U8", "[1]", 0, 1) "}", 1,
	GV_ERR_FORMAT, "not valid JSON"},
    {"a name twice",
	"{\"a\":" T("U8", "[1]", 0, 1) ",\"a\":" T("U8", "[1]", 0, 1) "}", 1,
	GV_ERR_FORMAT, "duplicate object key"},
    {"a name twice, spelled in two ways",
	"{\"a\":" T("U8", "[1]", 0, 1) ",\"\\u0061\":" T("U8", "[1]", 0, 1) "}",
	1, GV_ERR_FORMAT, "duplicate object key"},
    {"a key of a tensor twice",
	"{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[1],"
	"\"data_offsets\":[0,1]}}",
	1, GV_ERR_FORMAT, "duplicate object key"},
    {"a hole",
	"{\"a\":" T("U8", "[1]", 0, 1) ",\"b\":" T("U8", "[1]", 2, 3) "}", 3,
	GV_ERR_FORMAT,
	"tensor 'b' starts at byte 2 of the data, "
	"expected 1"},
    {"a hole in front", "{\"a\":" T("U8", "[1]", 1, 2) "}", 2, GV_ERR_FORMAT,
	"tensor 'a' starts at byte 1"},
    {"an overlap",
	"{\"a\":" T("U8", "[2]", 0, 2) ",\"b\":" T("U8", "[2]", 1, 3) "}", 3,
	GV_ERR_FORMAT,
	"tensor 'b' starts at byte 1 of the data, "
	"expected 2"},
    {"the same bytes twice",
	"{\"a\":" T("U8", "[2]", 0, 2) ",\"b\":" T("U8", "[2]", 0, 2) "}", 2,
	GV_ERR_FORMAT, "starts at byte 0 of the data, expected 2"},
    {"too few bytes for the shape", "{\"a\":" T("F32", "[3]", 0, 11) "}", 11,
	GV_ERR_FORMAT,
	"tensor 'a': F32 (3) takes 12 bytes, its "
	"data_offsets span 11"},
    {"too many bytes for the shape", "{\"a\":" T("BF16", "[3]", 0, 8) "}", 8,
	GV_ERR_FORMAT, "BF16 (3) takes 6 bytes"},
    {"bytes behind the last tensor", "{\"a\":" T("U8", "[1]", 0, 1) "}", 2,
	GV_ERR_FORMAT, "1 bytes behind the last tensor"},
    {"data that ends early", "{\"a\":" T("U8", "[4]", 0, 4) "}", 3, GV_ERR_CUT,
	"its tensors take 4 bytes, only 3 are there"},
    {"an unknown dtype", "{\"a\":" T("F8_E8M0", "[1]", 0, 1) "}", 1,
	GV_ERR_NOSUP, "tensor 'a': dtype 'F8_E8M0' is not supported"},
    {"no dtype", "{\"a\":{\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
	GV_ERR_FORMAT, "tensor 'a' has no dtype"},
    {"no shape", "{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1],\"x\":0}}", 1,
	GV_ERR_FORMAT, "tensor 'a' has no shape"},
    {"no offsets", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, GV_ERR_FORMAT,
	"tensor 'a' needs dtype, shape and data_offsets"},
    {"a fourth key",
	"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],"
	"\"x\":0}}",
	1, GV_ERR_FORMAT, "and nothing else"},
    {"a tensor that is a number", "{\"a\":1}", 0, GV_ERR_FORMAT,
	"tensor 'a' has no dtype"},
    {"one offset",
	"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0]}}", 1,
	GV_ERR_FORMAT, "data_offsets are not [begin, end]"},
    {"offsets backwards", "{\"a\":" T("U8", "[0]", 1, 0) "}", 1, GV_ERR_FORMAT,
	"data_offsets are not"},
    {"a negative offset", "{\"a\":" T("U8", "[2]", -1, 1) "}", 1, GV_ERR_FORMAT,
	"data_offsets are not"},
    {"a fractional offset", "{\"a\":" T("U8", "[1]", 0, 1.0) "}", 1,
	GV_ERR_FORMAT, "data_offsets are not"},
    {"an offset of 2^63", "{\"a\":" T("U8", "[1]", 0, 9223372036854775808) "}",
	1, GV_ERR_FORMAT, "not valid JSON"},
    {"an offset of 2^63-1",
	"{\"a\":" T("U8", "[9223372036854775807]", 0, 9223372036854775807) "}",
	1, GV_ERR_CUT, "only 1 are there"},
    {"a negative size", "{\"a\":" T("U8", "[-1]", 0, 1) "}", 1, GV_ERR_FORMAT,
	"dimension 0 of its shape is not a size"},
    {"a fractional size", "{\"a\":" T("U8", "[1,1.5]", 0, 1) "}", 1,
	GV_ERR_FORMAT, "dimension 1 of its shape"},
    {"a product that wraps to 4",
	"{\"a\":" T("U8", "[4611686018427387905,4]", 0, 4) "}", 4,
	GV_ERR_FORMAT, "its shape overflows"},
    {"bytes that wrap to 8",
	"{\"a\":" T("F64", "[2305843009213693953]", 0, 8) "}", 8, GV_ERR_FORMAT,
	"its shape overflows"},
    {"a product that overflows beside a zero",
	"{\"a\":" T("U8", "[4611686018427387905,4,0]", 0, 0) "}", 0,
	GV_ERR_FORMAT, "its shape overflows"},
    {"metadata that is text", "{\"__metadata__\":\"x\"}", 0, GV_ERR_FORMAT,
	"__metadata__ is not an object"},
    {"metadata with a number", "{\"__metadata__\":{\"a\":1}}", 0, GV_ERR_FORMAT,
	"holds a value that is not text"},
    {"deep nesting", "{\"a\":{\"b\":[[1]]}}", 0, GV_ERR_FORMAT,
	"nested too deep"},
    {"a control byte in a name", "{\"a\\u001b[2J\":" T("F4", "[1]", 0, 1) "}",
	1, GV_ERR_NOSUP, "tensor 'a\\x1b[2J': dtype 'F4'"},
};

static void
rules(void)
{
	struct gv_error e = {0};
	size_t i;

	for (i = 0; i < sizeof rule / sizeof *rule; i++) {
		int r = try(rule[i].header, rule[i].data, &e);

		ok(r == rule[i].code && strstr(e.msg, rule[i].says), "%s: %s",
		    rule[i].what, r ? "refused" : "taken");
		if (r != rule[i].code || !strstr(e.msg, rule[i].says))
			printf("# code %d '%s'\n", r, e.msg);
	}
}

static const char good[] = "{\"__metadata__\":{\"format\":\"pt\"},\"b\":" T(
    "F32", "[2,2]", 0, 16) ",\"a\":" T("BF16", "[3]", 16, 22) "}";

/* Every prefix of a file is refused, and so is a byte more. */
static void
truncation(void)
{
	struct gv_error e = {0};
	size_t i, n = make("t", good, strlen(good), 22), refused = 0;
	struct gv_st *s;

	is_int(gv_st_open(&s, "t", &e), 0, "the whole file opens");
	gv_st_close(&s);
	for (i = n; i-- > 0;) {
		if (truncate("t", (off_t)i))
			break;
		gv_error_clear(&e);
		refused += gv_st_open(&s, "t", &e) == GV_ERR_CUT;
	}
	is_int((long long)refused, (long long)n,
	    "cut at each of %zu bytes: refused as cut", n);
	make("t", good, strlen(good), 23);
	gv_error_clear(&e);
	is_int(gv_st_open(&s, "t", &e), GV_ERR_FORMAT, "a byte more: refused");
}

/* A changed header is refused or still describes bytes within the file. */
static void
mutations(void)
{
	struct gv_error e = {0};
	struct gv_rng rng;
	size_t n = 8 + strlen(good) + 22, i, k, opened = 0, bad = 0;
	uint8_t b[512], c[512];
	const int cases = 4000;
	int m, fd;

	make("t", good, strlen(good), 22);
	fd = open("t", O_RDONLY);
	if (fd < 0 || read(fd, b, n) != (ssize_t)n)
		n = 0;
	close(fd);
	gv_rng_init(&rng, 1, GV_PURPOSE_TEST);
	for (m = 0; m < cases; m++) {
		struct gv_st *s;

		memcpy(c, b, n);
		if (m < (int)(n - 22) * 8) /* every bit of the header once */
			c[m / 8] ^= (uint8_t)(1 << m % 8);
		else
			for (i = gv_rng_below(&rng, 4) + 1; i > 0; i--)
				c[gv_rng_below(&rng, n - 22)] =
				    (uint8_t)gv_rng_u32(&rng);
		put("t", c, n);
		gv_error_clear(&e);
		if (gv_st_open(&s, "t", &e)) {
			bad += !e.msg[0] || strchr(e.msg, '\n');
			continue;
		}
		opened++;
		for (i = 0, k = 0; i < gv_st_count(s); i++)
			k += gv_st_tensor(s, i)->bytes;
		bad += k != 22;
		gv_st_close(&s);
	}
	is_int((long long)bad, 0,
	    "%d mutations: each refused in one line, or sound (%zu)", cases,
	    opened);
}

/* Sizes that are promised cost nothing. */
static void
promises(void)
{
	static const uint64_t len[] = {GV_ST_MAX_HEADER + 1, 1u << 31,
	    UINT32_MAX, (uint64_t)1 << 63, UINT64_MAX, UINT64_MAX - 7};
	struct gv_error e = {0};
	struct gv_st *s;
	uint8_t b[64] = {0};
	size_t i, k;

	for (i = 0; i < sizeof len / sizeof *len; i++) {
		for (k = 0; k < 8; k++)
			b[k] = (uint8_t)(len[i] >> (8 * k));
		put("t", b, sizeof b);
		gv_error_clear(&e);
		is_int(gv_st_open(&s, "t", &e), GV_ERR_LIMIT,
		    "a header of %llu bytes", (unsigned long long)len[i]);
	}
	memset(b, 0, 8);
	b[2] = 0x80;
	put("t", b, sizeof b);
	gv_error_clear(&e);
	is_int(gv_st_open(&s, "t", &e), GV_ERR_CUT, "a header past the end");
}

/* Headers made to cost: each is refused within 64 MiB of memory more. */
static void
bombs(void)
{
	static const struct {
		const char *what, *head, *unit;
	} bomb[] = {
	    {"nested arrays", "{\"a\":", "["},
	    {"empty arrays", "{\"a\":[[]", ",[]"},
	    {"empty objects", "{\"a\":[{}", ",{}"},
	    {"numbers", "{\"a\":[1", ",1"},
	    {"metadata", "{\"__metadata__\":{\"\":\"\"", ",\"\":\"\""},
	};
	size_t i, n = GV_ST_MAX_HEADER;
	struct gv_error e = {0};
	char *s = malloc(n + 1);
	struct rusage before, after;

	getrusage(RUSAGE_SELF, &before);
	for (i = 0; i < sizeof bomb / sizeof *bomb && s; i++) {
		size_t at = strlen(bomb[i].head), u = strlen(bomb[i].unit);

		memcpy(s, bomb[i].head, at);
		for (; at + u <= n; at += u)
			memcpy(s + at, bomb[i].unit, u);
		memset(s + at, ' ', n - at);
		s[n] = '\0';
		ok(try(s, 0, &e) < 0, "a bomb of %s: %.40s", bomb[i].what,
		    e.msg);
	}
	getrusage(RUSAGE_SELF, &after);
	/* the file itself is mapped and made here: three times 16 MiB */
	ok(after.ru_maxrss - before.ru_maxrss < (64 + 48) << 10,
	    "bombs took %ld KiB", after.ru_maxrss - before.ru_maxrss);
	free(s);
}

/* As many tensors as may be, and one more. */
static void
many(void)
{
	struct gv_error e = {0};
	int n, extra;

	for (extra = 0; extra < 2; extra++) {
		size_t cap = (size_t)70 * (GV_ST_MAX_TENSORS + 2), at = 1;
		char *s = malloc(cap);

		s[0] = '{';
		for (n = 0; n < GV_ST_MAX_TENSORS + extra; n++)
			at += (size_t)snprintf(s + at, cap - at,
			    "%s\"%d\":{\"dtype\":\"U8\",\"shape\":[0],"
			    "\"data_offsets\":[0,0]}",
			    n ? "," : "", n);
		snprintf(s + at, cap - at, "}");
		is_int(try(s, 0, &e), extra ? GV_ERR_LIMIT : 0,
		    "%d tensors: %s", n, e.msg);
		free(s);
	}
}

static int
write_two(const char *path, size_t bytes, struct gv_error *e)
{
	static const struct gv_st_entry t[] = {
	    {"z.weight", GV_F32, 2, {2, 3}}, {"a.bias", GV_BF16, 1, {5}}};
	static const char *const meta[][2] = {
	    {"format", "pt"}, {"note", "\303\251\n"}};
	struct gv_st_writer *w;
	uint8_t data[64];
	size_t i;

	for (i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)i;
	if (gv_st_writer_open(&w, path, t, 2, meta, 2, e))
		return e->code;
	for (i = 0; i < bytes; i += 7)
		if (gv_st_writer_data(
			w, data + i, bytes - i < 7 ? bytes - i : 7, e)) {
			gv_st_writer_abort(&w);
			return e->code;
		}
	return gv_st_writer_close(&w, e);
}

static void
round_trip(void)
{
	struct gv_error e = {0};
	struct gv_st *s = NULL;
	const struct gv_tensor *t;
	struct stat st;

	is_int(write_two("w", 34, &e), 0, "two tensors are written");
	is_int(gv_st_open(&s, "w", &e), 0, "and read: %s", e.msg);
	if (!s)
		return;
	is_int((long long)gv_st_count(s), 2, "both are there");
	is_str(gv_st_name(s, 0), "a.bias", "in order of name");
	t = gv_st_find(s, "z.weight");
	ok(t && t->dtype == GV_F32 && t->rank == 2 && t->shape[0] == 2 &&
		t->shape[1] == 3 && t->bytes == 24,
	    "dtype and shape");
	ok(t && ((const uint8_t *)t->data)[23] == 23, "data of the first");
	is_int((uintptr_t)(t ? t->data : NULL) % 64, 0, "aligned to 64 bytes");
	t = gv_st_find(s, "a.bias");
	ok(t && ((const uint8_t *)t->data)[9] == 33, "data of the second");
	ok(!gv_st_find(s, "a.bia") && !gv_st_find(s, "zz"), "no other names");
	is_str(gv_st_meta(s, "note"), "\303\251\n", "metadata");
	ok(!gv_st_meta(s, "none"), "no other metadata");
	ok(!stat("w", &st) && gv_st_files(s) == 1 &&
		gv_st_file(s, 0)->bytes == (uint64_t)st.st_size &&
		gv_st_file(s, 0)->inode == (uint64_t)st.st_ino &&
		gv_st_file(s, 0)->mtime_ns % 1000000000 == st.st_mtim.tv_nsec,
	    "the file's facts");
	gv_st_close(&s);
	gv_st_close(&s);
}

static void
writer_faults(void)
{
	static const struct gv_st_entry twice[] = {
	    {"a", GV_U8, 0, {0}}, {"a", GV_U8, 0, {0}}};
	static const struct gv_st_entry meta = {"__metadata__", GV_U8, 0, {0}};
	static const struct gv_st_entry huge = {"a", GV_F32, 2, {INT64_MAX, 2}};
	static const struct gv_st_entry latin = {"\xe9", GV_U8, 0, {0}};
	struct gv_st_writer *w;
	struct gv_error e = {0};

	unlink("w");
	is_int(write_two("w", 33, &e), GV_ERR_CUT, "a byte too few");
	gv_error_clear(&e);
	is_int(write_two("w", 35, &e), GV_ERR_MATCH, "a byte too many");
	is_int(access("w", F_OK), -1, "and no file");
	gv_error_clear(&e);
	is_int(gv_st_writer_open(&w, "w", twice, 2, NULL, 0, &e), GV_ERR_MATCH,
	    "a name twice");
	gv_error_clear(&e);
	is_int(gv_st_writer_open(&w, "w", &meta, 1, NULL, 0, &e), GV_ERR_MATCH,
	    "the name of the metadata");
	gv_error_clear(&e);
	is_int(gv_st_writer_open(&w, "w", &huge, 1, NULL, 0, &e), GV_ERR_LIMIT,
	    "a shape that overflows");
	gv_error_clear(&e);
	is_int(gv_st_writer_open(&w, "w", &latin, 1, NULL, 0, &e),
	    GV_ERR_FORMAT, "a name that is not UTF-8");
	gv_error_clear(&e);
	is_int(gv_st_writer_open(&w, "no/such/w", twice, 1, NULL, 0, &e),
	    GV_ERR_SYS, "no directory");
	is_int(access("w", F_OK), -1, "nothing was written");
}

/* ---- shards -------------------------------------------------------------- */

static int
try_index(const char *index, struct gv_error *e)
{
	struct gv_st *s = NULL;
	int r;

	gv_error_clear(e);
	if (index)
		put("d/model.safetensors.index.json", index, strlen(index));
	r = gv_st_open_dir(&s, "d", e);
	gv_st_close(&s);
	return r;
}

static const struct {
	const char *what, *index;
	int code;
	const char *says;
} shard[] = {
    {"two shards", "{\"weight_map\":{\"a\":\"1\",\"b\":\"2\"}}", 0, ""},
    {"a total size",
	"{\"metadata\":{\"total_size\":2},"
	"\"weight_map\":{\"a\":\"1\",\"b\":\"2\"}}",
	0, ""},
    {"a tensor that the index lacks", "{\"weight_map\":{\"b\":\"2\"}}", 0, ""},
    {"a shard that is missing", "{\"weight_map\":{\"a\":\"1\",\"b\":\"3\"}}",
	GV_ERR_SYS, "cannot open 'd/3'"},
    {"a tensor that its shard lacks",
	"{\"weight_map\":{\"a\":\"1\",\"b\":\"2\",\"c\":\"2\"}}", GV_ERR_MATCH,
	"tensor 'c' is missing in its shard '2'"},
    {"a tensor that only the shard has", "{\"weight_map\":{\"a\":\"12\"}}",
	GV_ERR_MATCH, "'d/12': tensor 'b' is not in"},
    {"a tensor in another shard", "{\"weight_map\":{\"a\":\"2\",\"b\":\"1\"}}",
	GV_ERR_MATCH, "belongs to '2' by the index"},
    {"a tensor in two shards", "{\"weight_map\":{\"a\":\"1\",\"b\":\"12\"}}",
	GV_ERR_MATCH, "tensor 'a' belongs to '1' by the index"},
    {"a path", "{\"weight_map\":{\"a\":\"../d/1\",\"b\":\"2\"}}", GV_ERR_FORMAT,
	"shard '../d/1' is not a plain file name"},
    {"an absolute path", "{\"weight_map\":{\"a\":\"/etc/passwd\"}}",
	GV_ERR_FORMAT, "not a plain file name"},
    {"a parent", "{\"weight_map\":{\"a\":\"..\"}}", GV_ERR_FORMAT,
	"not a plain file name"},
    {"an empty name", "{\"weight_map\":{\"a\":\"\"}}", GV_ERR_FORMAT,
	"not a plain file name"},
    {"a number", "{\"weight_map\":{\"a\":1}}", GV_ERR_FORMAT,
	"a value that is not text"},
    {"no map", "{}", GV_ERR_FORMAT, "has no weight_map"},
    {"no shards", "{\"weight_map\":{}}", GV_ERR_LIMIT, "names 0 shards"},
    {"a list", "[]", GV_ERR_FORMAT, "index is not a JSON object"},
    {"a key twice", "{\"weight_map\":{\"a\":\"1\",\"a\":\"1\"}}", GV_ERR_FORMAT,
	"duplicate object key"},
};

static void
shards(void)
{
	const char *one = "{\"a\":" T("U8", "[1]", 0, 1) "}";
	const char *two = "{\"b\":" T("U8", "[1]", 0, 1) "}";
	const char *both =
	    "{\"a\":" T("U8", "[1]", 0, 1) ",\"b\":" T("U8", "[1]", 1, 2) "}";
	struct gv_error e = {0};
	size_t i;

	mkdir("d", 0777);
	is_int(try_index(NULL, &e), GV_ERR_FORMAT, "an empty directory");
	ok(strstr(e.msg, "holds neither") != NULL, "which says so");
	put("d/pytorch_model.bin", "", 0);
	is_int(try_index(NULL, &e), GV_ERR_NOSUP, "PyTorch's own file");
	ok(strstr(e.msg, "python3 -c 'import glob, torch") &&
		strstr(e.msg, "\"model.safetensors\")'"),
	    "with the command that converts it");
	unlink("d/pytorch_model.bin");
	make("d/1", one, strlen(one), 1);
	make("d/2", two, strlen(two), 1);
	make("d/12", both, strlen(both), 2);
	for (i = 0; i < sizeof shard / sizeof *shard; i++) {
		int r = try_index(shard[i].index, &e);

		ok(r == shard[i].code && strstr(e.msg, shard[i].says),
		    "shards: %s", shard[i].what);
		if (r != shard[i].code || !strstr(e.msg, shard[i].says))
			printf("# code %d '%s'\n", r, e.msg);
	}
	make("d/model.safetensors", "{}", 2, 0);
	is_int(try_index(NULL, &e), 0, "a single file comes first");
	gv_error_clear(&e);
}

static void
not_files(void)
{
	struct gv_error e = {0};
	struct gv_st *s;

	is_int(gv_st_open(&s, "d", &e), GV_ERR_SYS, "a directory");
	gv_error_clear(&e);
	is_int(gv_st_open(&s, "none", &e), GV_ERR_SYS, "no file");
	gv_error_clear(&e);
	if (!mkfifo("fifo", 0666))
		is_int(gv_st_open(&s, "fifo", &e), GV_ERR_FORMAT, "a FIFO");
	gv_error_clear(&e);
	is_int(gv_st_open(&s, "/dev/zero", &e), GV_ERR_FORMAT, "a device");
}

int
main(void)
{
	struct gv_error e = {0};

	if (!mkdtemp(root) || chdir(root))
		return 1;
	rules();
	truncation();
	mutations();
	promises();
	bombs();
	many();
	round_trip();
	writer_faults();
	shards();
	not_files();
	ok(!chdir("/") && !gv_remove_tree(root, &e), "remove everything");
	return done();
}
