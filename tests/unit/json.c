/* JSON under a heap that ends: all or nothing, and never a crash. */
#include "json.h"
#include "mem.h"
#include "tap.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

/* Calls of malloc() that still succeed, -1 is all; after the first that
 * doesn't, `forever` none does, else all do again. */
static long left = -1;
static bool forever;

void *__libc_malloc(size_t n);

void *
malloc(size_t n)
{
	if (left == 0) {
		left = forever ? 0 : -1;
		errno = ENOMEM;
		return NULL;
	}
	left -= left > 0;
	return __libc_malloc(n);
}

/* Numbers whose buffer grows come before any text that has grown it. */
static const char text[] =
    "{\"a\":[1.0000000000000001e-100,1234567890123456789,{\"a name of more "
    "than sixteen bytes\":\"text of more than sixteen bytes, too\"}],"
    "\"b\":null}";

static void
parse(void)
{
	struct gv_error e = {0};
	json_t *want = NULL, *got;
	int wrong = 0, failed = 0, r = 1;
	long i;

	is_int(gv_json_parse(&want, text, strlen(text), &e), 0, "it is JSON");
	for (i = 0; i < 1000 && r; i++) {
		gv_error_clear(&e);
		got = NULL;
		left = i;
		r = gv_json_parse(&got, text, strlen(text), &e);
		left = -1;
		failed += r != 0;
		wrong += r ? r != GV_ERR_NOMEM : !json_equal(got, want);
		json_decref(got);
	}
	ok(failed > 10 && !r, "%d allocations can fail%s", failed,
	    forever ? " for ever" : "");
	is_int(wrong, 0, "each is reported and none makes another value");
	json_decref(want);
}

static void
print(void)
{
	struct gv_error e = {0};
	json_t *v = NULL, *copy = NULL;
	char *want, *got = NULL;
	int wrong = 0, failed = 0;
	long i;

	if (gv_json_parse(&v, text, strlen(text), &e))
		return;
	want = gv_json_text(v, JSON_COMPACT);
	is_str(want, text, "it is written as it was read");
	for (i = 0; i < 1000 && !got; i++) {
		left = i;
		got = gv_json_text(v, JSON_COMPACT);
		left = -1;
		failed += !got;
		wrong += got && strcmp(got, want);
	}
	ok(failed > 2 && got, "%d allocations can fail", failed);
	is_int(wrong, 0, "and none makes another text");
	for (i = failed = 0; i < 1000 && !copy; i++) {
		left = i;
		copy = gv_json_copy(v);
		left = -1;
		failed += !copy;
		wrong += copy && !json_equal(copy, v);
	}
	ok(failed > 10 && copy, "%d allocations of a copy, too", failed);
	is_int(wrong, 0, "and none makes another copy");
	gv_free(got);
	gv_free(want);
	json_decref(copy);
	json_decref(v);
}

static void
faults(void)
{
	static const struct {
		const char *text;
		size_t n;
	} bad[] = {{"", 0}, {"{", 1}, {"{}x", 3}, {"{\"a\":1,\"a\":1}", 13},
	    {"[\"\xff\"]", 5}, {"[\"\\u0000\"]", 10}, {"[1]\0", 4}, {"[01]", 4},
	    {"[1e999]", 7}, {"[99999999999999999999]", 22}, {"1", 1}};
	struct gv_error e = {0};
	json_t *v;
	size_t i;

	for (i = 0; i < sizeof bad / sizeof *bad; i++) {
		gv_error_clear(&e);
		is_int(gv_json_parse(&v, bad[i].text, bad[i].n, &e),
		    GV_ERR_FORMAT, "refused: %s", e.msg);
	}
}

/* Files: only regular ones, of a bounded size, that hold an object. */
static void
load(void)
{
	char path[] = "/tmp/gv-json-XXXXXX";
	int fd = mkstemp(path);
	struct gv_error e = {0};
	json_t *v = NULL;

	ok(fd >= 0 && write(fd, "{\"a\":1}", 7) == 7, "a file");
	is_int(gv_json_load(&v, path, 7, &e), 0, "an object of 7 bytes");
	is_int(json_integer_value(json_object_get(v, "a")), 1, "its value");
	json_decref(v);
	is_int(gv_json_load(&v, path, 6, &e), GV_ERR_LIMIT, "where 6 may be");
	gv_error_clear(&e);
	ok(pwrite(fd, "[     ]", 7, 0) == 7, "another file");
	is_int(
	    gv_json_load(&v, path, 7, &e), GV_ERR_FORMAT, "a list: %s", e.msg);
	gv_error_clear(&e);
	is_int(gv_json_load(&v, "/tmp", 7, &e), GV_ERR_SYS, "a directory");
	close(fd);
	unlink(path);
}

int
main(void)
{
	for (int i = 0; i < 2; i++) {
		forever = i;
		parse();
		print();
	}
	faults();
	load();
	return done();
}
