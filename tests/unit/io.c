/* Files and pipes: whole, atomic, bounded. */
#include "io.h"

#include "mem.h"
#include "tap.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static struct gv_error e;

static int
files(void)
{
	DIR *d = opendir(".");
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

static void
put(const char *path, const char *s, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);

	if (fd < 0 || gv_write_full(fd, s, n) || close(fd))
		abort();
}

static int
holds(const char *path, const char *s)
{
	char *p;
	size_t n;
	int same;

	if (gv_slurp(path, 1 << 24, &p, &n, &e))
		return 0;
	same = n == strlen(s) && !memcmp(p, s, n);
	gv_free(p);
	return same;
}

static int
fails(int code, const char *words)
{
	int right = e.code == code && strstr(e.msg, words);

	if (!right)
		printf("# %d: %s\n", e.code, e.msg);
	gv_error_clear(&e);
	return right;
}

static void
test_out(void)
{
	struct gv_out *o = NULL;
	size_t big = (size_t)5 << 20, i, n;
	char *block = gv_alloc(big, 1), *back;
	int same = 1;

	put("a", "old", 3);
	ok(!gv_out_open(&o, "a", true, false, &e), "opened");
	ok(!gv_out_write(o, "new", 3, &e) && !gv_out_flush(o, &e), "written");
	ok(holds("a", "old") && files() == 2, "the old file is still there");
	ok(gv_out_offset(o) == 3, "bytes so far");
	is_str(gv_out_name(o), "a", "its name");
	ok(!gv_out_commit(&o, &e) && !o && holds("a", "new") && files() == 1,
	    "then the new one");
	ok(!gv_out_open(&o, "a", true, false, &e) &&
		!gv_out_write(o, "x", 1, &e),
	    "again");
	gv_out_abort(&o);
	ok(!o && holds("a", "new") && files() == 1, "aborted without a trace");
	gv_out_abort(&o);
	ok(!gv_out_open(&o, "b", true, false, &e), "and again");
	gv_out_cleanup();
	ok(files() == 1, "the cleanup of a dying process");
	gv_out_abort(&o);

	for (i = 0; i < big; i++)
		block[i] = (char)(i * 7 >> 3);
	ok(!gv_out_open(&o, "c", true, false, &e), "large");
	for (i = 0; i < big; i += n) {
		n = i % 3 ? 700001 : 3;
		n = n < big - i ? n : big - i;
		if (gv_out_write(o, block + i, n, &e))
			break;
	}
	ok(!gv_out_printf(o, &e, "%*d", 3000, 5) && !gv_out_commit(&o, &e),
	    "spans of all sizes");
	ok(!gv_slurp("c", big + 3000, &back, &n, &e) && n == big + 3000,
	    "their sum");
	same = !memcmp(back, block, big) && back[n - 1] == '5';
	ok(same, "their bytes");
	gv_free(back);
	gv_free(block);
	ok(gv_out_open(&o, ".", true, false, &e) && fails(GV_ERR_SYS, "'.'"),
	    "a directory");
	ok(gv_out_open(&o, "no/x", true, false, &e) &&
		fails(GV_ERR_SYS, "'no/x'"),
	    "in no directory");
	is_int(files(), 2, "nothing left over");
}

static void
test_full(void)
{
	struct gv_out *o;
	struct stat st;

	ok(!gv_out_open(&o, "/dev/full", true, false, &e) &&
		!gv_out_write(o, "x", 1, &e),
	    "a device is written in place");
	ok(gv_out_commit(&o, &e) && fails(GV_ERR_SYS, "No space"),
	    "a full one is an error");
	ok(!stat("/dev/full", &st) && S_ISCHR(st.st_mode), "and still there");
	ok(!gv_out_open(&o, "/dev/full", true, false, &e) &&
		!gv_out_write(o, "x", 1, &e) && gv_out_flush(o, &e),
	    "flushed");
	gv_error_clear(&e);
	ok(gv_out_write(o, "x", 1, &e) && fails(GV_ERR_SYS, "No space"),
	    "writing after a failure");
	ok(gv_out_commit(&o, &e) && fails(GV_ERR_SYS, "No space"),
	    "no commit after a failure");
}

static void
test_slurp(void)
{
	char *p = NULL;
	size_t n = 0;

	put("s", "12345", 5);
	ok(!gv_slurp("s", 5, &p, &n, &e) && n == 5 && !p[5], "at the limit");
	gv_free(p);
	ok(gv_slurp("s", 4, &p, &n, &e) && fails(GV_ERR_LIMIT, "4 bytes"),
	    "beyond it");
	ok(gv_slurp(".", 4, &p, &n, &e) && fails(GV_ERR_SYS, "directory"),
	    "a directory");
	ok(gv_slurp("none", 4, &p, &n, &e) && fails(GV_ERR_SYS, "'none'"),
	    "no file");
	put("s", "", 0);
	ok(!gv_slurp("s", 0, &p, &n, &e) && n == 0 && p && !*p, "nothing");
	gv_free(p);
}

static void
test_map(void)
{
	struct gv_map m;

	put("m", "map", 3);
	ok(!gv_map_open(&m, "m", &e) && m.size == 3 &&
		!memcmp(m.data, "map", 3),
	    "mapped");
	gv_map_close(&m);
	put("m", "", 0);
	ok(!gv_map_open(&m, "m", &e) && m.size == 0 && m.data, "empty");
	gv_map_close(&m);
	ok(gv_map_open(&m, ".", &e) && fails(GV_ERR_SYS, "directory"),
	    "a directory");
	if (mkfifo("fifo", 0666))
		abort();
	ok(gv_map_open(&m, "fifo", &e) && fails(GV_ERR_FORMAT, "regular"),
	    "a FIFO, without hanging");
	unlink("fifo");
}

static void
test_lines(void)
{
	static char longer[200000];
	struct gv_lines *l;
	const char *s;
	size_t n;

	put("l", "one\n\ntw\0o\r\nend", 14);
	ok(!gv_lines_open(&l, "l", 100, &e), "lines");
	ok(gv_lines_next(l, &s, &n, &e) == 1 && n == 3 && !strcmp(s, "one"),
	    "one");
	ok(gv_lines_next(l, &s, &n, &e) == 1 && n == 0, "an empty one");
	ok(gv_lines_next(l, &s, &n, &e) == 1 && n == 5 &&
		!memcmp(s, "tw\0o\r", 6),
	    "one with a NUL");
	ok(gv_lines_next(l, &s, &n, &e) == 1 && !strcmp(s, "end") &&
		gv_lines_number(l) == 4,
	    "one without a newline");
	ok(gv_lines_next(l, &s, &n, &e) == 0 &&
		gv_lines_next(l, &s, &n, &e) == 0,
	    "the end");
	gv_lines_close(&l);
	memset(longer, 'x', sizeof longer);
	longer[150000] = '\n';
	put("l", longer, sizeof longer);
	ok(!gv_lines_open(&l, "l", 150000, &e) &&
		gv_lines_next(l, &s, &n, &e) == 1 && n == 150000 &&
		gv_lines_next(l, &s, &n, &e) == 1 && n == 49999,
	    "a line at the limit");
	gv_lines_close(&l);
	ok(!gv_lines_open(&l, "l", 149999, &e) &&
		gv_lines_next(l, &s, &n, &e) < 0 &&
		fails(GV_ERR_LIMIT, "line 1"),
	    "a line beyond it");
	gv_lines_close(&l);
	put("l", "12345\n", 6);
	ok(!gv_lines_open(&l, "l", 4, &e) && gv_lines_next(l, &s, &n, &e) < 0 &&
		fails(GV_ERR_LIMIT, "4 bytes"),
	    "a short one beyond it");
	gv_lines_close(&l);
	gv_lines_close(&l);
}

/* Interrupted and non-blocking descriptors are read to the end. */
static void
test_pipes(void)
{
	int ends[2], i;
	char buf[64];
	pid_t child;

	if (pipe2(ends, O_NONBLOCK) || (child = fork()) < 0)
		abort();
	if (!child) {
		for (i = 0; i < 50; i++) {
			usleep(200);
			if (gv_write_full(ends[1], "z", 1))
				_exit(1);
		}
		_exit(0);
	}
	close(ends[1]);
	is_int(gv_read_full(ends[0], buf, 50), 50, "a slow pipe");
	is_int(gv_read_full(ends[0], buf, 50), 0, "its end");
	close(ends[0]);
	is_int(gv_read_full(ends[0], buf, 50), -1, "a closed one");
}

int
main(void)
{
	char dir[] = "/tmp/gv-io.XXXXXX";

	if (!mkdtemp(dir) || chdir(dir))
		return 1;
	test_out();
	test_full();
	test_slurp();
	test_map();
	test_lines();
	test_pipes();
	unlink("a");
	unlink("c");
	unlink("s");
	unlink("m");
	unlink("l");
	is_int(files(), 0, "nothing left over");
	if (chdir("/") || rmdir(dir))
		return 1;
	return done();
}
