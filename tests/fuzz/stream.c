/* Fuzz: any bytes as a stream, from a file and from a pipe: both readers must
 * say the same, and what they accept must survive a copy.
 *
 * The CRCs of the input are made right first, else nothing gets past them.
 */
#include "crc.h"
#include "stream.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
reseal(uint8_t *p, size_t n)
{
	static const uint8_t key[5] = {0xa3, 'c', 'r', 'c', 0xce};
	size_t i, start = 0;

	for (i = 64; i <= n; i += 64) {
		uint32_t crc;

		if (memcmp(p + i - 9, key, sizeof key))
			continue;
		crc = gv_crc(0, p + start, i - 9 - start);
		p[i - 4] = (uint8_t)(crc >> 24);
		p[i - 3] = (uint8_t)(crc >> 16);
		p[i - 2] = (uint8_t)(crc >> 8);
		p[i - 1] = (uint8_t)crc;
		start = i;
	}
}

/* Records read, or the code of the error. */
static int
count(int fd)
{
	struct gv_error e = {0};
	struct gv_reader *r = NULL;
	struct gv_rec rec;
	char path[64];
	int recs = 0, got;

	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	got = gv_reader_open(&r, path, &e);
	while (!got && (got = gv_reader_next(r, &rec, &e)) > 0) {
		size_t i, nf = gv_reader_schema(r)->nfields;

		for (i = 0; i < nf; i++) {
			json_t *v = NULL;

			if (rec.v[i].plain && !gv_value_json(&rec.v[i], &v))
				json_decref(v);
		}
		recs++;
		got = 0;
	}
	if ((got < 0) != (e.msg[0] != '\0'))
		abort();
	gv_reader_close(&r);
	return got < 0 ? e.code : recs;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	uint8_t *p = malloc(n + 1);
	int ends[2], file, a, b;

	if (!p || n > 65536)
		abort();
	memcpy(p, data, n);
	reseal(p, n);
	file = memfd_create("fuzz", 0);
	if (file < 0 || pipe(ends) || write(file, p, n) != (ssize_t)n ||
	    fcntl(ends[1], F_SETPIPE_SZ, 1 << 20) < 0 ||
	    write(ends[1], p, n) != (ssize_t)n)
		abort();
	close(ends[1]);
	a = count(file);
	b = count(ends[0]);
	/* a pipe learns of a cut where a file sees that it must come */
	if ((a < 0) != (b < 0) || (a >= 0 && a != b))
		abort();
	close(file);
	close(ends[0]);
	free(p);
	return 0;
}
