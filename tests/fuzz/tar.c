/* Fuzz: any bytes as a tar file of records, from a file and from a pipe: both
 * must say the same, and every part must lie in its record's bytes.
 *
 * The checksums of headers are made right first, else nothing gets past them.
 */
#include "source.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { BLOCK = 512, CHECKSUM = 148, MOST = 65536 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
must(bool sound)
{
	if (!sound)
		abort();
}

/* Every block whose magic says header; others are members' bytes. */
static void
reseal(uint8_t *p, size_t n)
{
	for (; n >= BLOCK; p += BLOCK, n -= BLOCK) {
		unsigned sum = 0, i;

		if (memcmp(p + 257, "ustar", 5) != 0)
			continue;
		memset(p + CHECKSUM, ' ', 8);
		for (i = 0; i < BLOCK; i++)
			sum += p[i];
		snprintf((char *)p + CHECKSUM, 8, "%06o", sum);
	}
}

/* What all records come to, and the code of the error that ends them. */
struct sum {
	uint64_t records, hash;
	int code;
};

static void
add(struct sum *s, const void *p, size_t n)
{
	const uint8_t *b = p;

	while (n--)
		s->hash = (s->hash ^ *b++) * 1099511628211u;
}

static struct sum
take(int fd)
{
	static const char *const keep[] = {"json", "txt"};
	struct gv_source_law law = {.form = GV_SOURCE_TAR,
	    .keep = keep,
	    .nkeep = 2,
	    .every = 1,
	    .frames = 1};
	char path[64], *operand = path;
	struct gv_source_rec r = {0};
	struct gv_source *in = NULL;
	struct gv_error e = {0};
	struct sum s = {0};
	size_t i;
	int got;

	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	got = gv_source_open(&in, &law, &operand, 1, &e);
	while (!got && (got = gv_source_next(in, &r, &e)) > 0) {
		s.records++;
		must(strlen(r.key) <= GV_MAX_KEY);
		add(&s, r.key, strlen(r.key));
		for (i = 0; i < r.parts; i++) {
			must(r.part[i].at <= r.n);
			must(r.part[i].n <= r.n - r.part[i].at);
			must(memchr(
			    r.part[i].name, '\0', sizeof r.part[i].name));
			add(&s, r.buf + r.part[i].at, r.part[i].n);
		}
		got = 0;
	}
	must((got < 0) == (e.msg[0] != '\0'));
	must(!strchr(e.msg, '\n'));
	s.code = e.code;
	gv_source_rec_free(&r);
	gv_source_close(&in);
	return s;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	uint8_t *p = malloc(n + 1);
	struct sum a, b;
	int ends[2], file;

	must(p && n <= MOST);
	memcpy(p, data, n);
	reseal(p, n);
	file = memfd_create("fuzz", 0);
	must(file >= 0 && write(file, p, n) == (ssize_t)n);
	must(!pipe(ends) && fcntl(ends[1], F_SETPIPE_SZ, MOST) >= 0);
	must(write(ends[1], p, n) == (ssize_t)n);
	close(ends[1]);
	a = take(file);
	b = take(ends[0]);
	must(a.records == b.records && a.hash == b.hash && a.code == b.code);
	close(file);
	close(ends[0]);
	free(p);
	return 0;
}
