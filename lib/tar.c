/* Tar: headers of 512 bytes in front of contents that fill whole blocks.
 * POSIX.1-2017, pax, "ustar Interchange Format" and "pax Header Block". */
#include "tar.h"

#include "feed.h"
#include "mem.h"
#include "banned.h"

#include <stdbool.h>

#define BLOCK    512
#define MAX_NAME ((size_t)64 << 10) /* bytes of a name or of a pax header */
#define MAX_FILE ((uint64_t)1 << 30)

/* Fields of a header, offset and length. */
enum {
	NAME = 0,
	NAME_LEN = 100,
	SIZE = 124,
	SIZE_LEN = 12,
	SUM = 148,
	SUM_LEN = 8,
	TYPE = 156,
	MAGIC = 257,
	PREFIX = 345,
	PREFIX_LEN = 155
};

struct gv_tar {
	struct gv_feed *in;
	char *name; /* of the member at our place */
	size_t name_cap;
	uint64_t bytes, left; /* of its content: all, and with padding unread */
	bool named; /* `name` is a long one for the next header */
	bool sized; /* so is `bytes`, out of a pax header */
	bool closed; /* a zero block was the last thing read */
};

int
gv_tar_open(struct gv_tar **out, const char *path, struct gv_error *e)
{
	struct gv_tar *t = gv_alloc(1, sizeof *t);

	if (!t)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	if (gv_feed_open(&t->in, path, e)) {
		gv_free(t);
		return e->code;
	}
	*out = t;
	return 0;
}

void
gv_tar_close(struct gv_tar **tp)
{
	struct gv_tar *t = *tp;

	if (!t)
		return;
	gv_feed_close(&t->in);
	gv_free(t->name);
	gv_free(t);
	*tp = NULL;
}

/* ---- headers ------------------------------------------------------------ */

/* Octal digits between blanks, or GNU's binary: a first byte of 0x80. */
static bool
number(const uint8_t *p, size_t n, uint64_t *out)
{
	uint64_t v = 0;
	size_t i = 0;

	if (p[0] & 0x80) {
		for (i = 1; i < n; i++) {
			if (v >> 56)
				return false;
			v = v << 8 | p[i];
		}
		*out = v;
		return p[0] == 0x80;
	}
	while (i < n && p[i] == ' ')
		i++;
	for (; i < n && p[i] >= '0' && p[i] <= '7'; i++)
		v = v << 3 | (uint64_t)(p[i] - '0');
	*out = v;
	return i == n || p[i] == ' ' || !p[i];
}

/* The sum of all bytes, those of the sum itself taken as blanks; some old
 * programs took bytes as signed. */
static bool
summed(const uint8_t *h)
{
	int64_t sum = 0, old = 0;
	uint64_t want;
	int i;

	for (i = 0; i < BLOCK; i++) {
		uint8_t c = i >= SUM && i < SUM + SUM_LEN ? ' ' : h[i];

		sum += c;
		old += c < 128 ? c : c - 256;
	}
	return number(h + SUM, SUM_LEN, &want) &&
	       ((int64_t)want == sum || (int64_t)want == old);
}

static bool
zero(const uint8_t *h)
{
	return !h[0] && !memcmp(h, h + 1, BLOCK - 1);
}

static int
set_name(struct gv_tar *t, const char *dir, size_t dir_n, const char *name,
    size_t n, struct gv_error *e)
{
	void *p = t->name;

	if (gv_grow(&p, &t->name_cap, dir_n + n + 2, 1))
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	t->name = p;
	if (dir_n) {
		memcpy(t->name, dir, dir_n);
		t->name[dir_n++] = '/';
	}
	memcpy(t->name + dir_n, name, n);
	t->name[dir_n + n] = '\0';
	return 0;
}

static int
short_name(struct gv_tar *t, const uint8_t *h, struct gv_error *e)
{
	const char *s = (const char *)h;
	bool ustar = !memcmp(s + MAGIC, "ustar", 6); /* GNU's has a blank */

	return set_name(t, s + PREFIX,
	    ustar ? strnlen(s + PREFIX, PREFIX_LEN) : 0, s + NAME,
	    strnlen(s + NAME, NAME_LEN), e);
}

/* One "LENGTH KEY=VALUE\n" of a pax header; bytes used, or 0. */
static size_t
pax_entry(struct gv_tar *t, const char *s, size_t n, struct gv_error *e)
{
	size_t len = 0, i = 0, k;
	const char *eq;

	for (; i < n && s[i] >= '0' && s[i] <= '9' && len < MAX_NAME; i++)
		len = len * 10 + (size_t)(s[i] - '0');
	if (!i || i >= n || s[i] != ' ' || len > n || len < i + 4 ||
	    s[len - 1] != '\n')
		return 0;
	s += ++i;
	n = len - i - 1;
	eq = memchr(s, '=', n);
	if (!eq)
		return 0;
	k = (size_t)(eq - s) + 1;
	if (k == 5 && !memcmp(s, "path", 4)) {
		t->named = true;
		if (set_name(t, NULL, 0, s + k, strnlen(s + k, n - k), e))
			return 0;
	} else if (k == 5 && !memcmp(s, "size", 4)) {
		t->sized = n > k && n - k < 19;
		for (t->bytes = 0; k < n && t->sized; k++) {
			t->sized = s[k] >= '0' && s[k] <= '9';
			t->bytes = t->bytes * 10 + (uint64_t)(s[k] - '0');
		}
		return t->sized ? len : 0;
	}
	return len;
}

/* A header's content that is about the next member: type x, or L. */
static int
about_next(struct gv_tar *t, uint64_t n, bool pax, struct gv_error *e)
{
	const uint8_t *p;
	size_t got, at = 0, used;

	if (n > MAX_NAME)
		return gv_fail(e, GV_ERR_LIMIT,
		    "a header of %llu bytes; the limit is %zu",
		    (unsigned long long)n, MAX_NAME);
	if (gv_feed_peek(t->in, (size_t)n, &p, &got, e))
		return e->code;
	if (got < n)
		return gv_fail(e, GV_ERR_CUT, "the tar file ends early");
	if (!pax) {
		t->named = true;
		return set_name(t, NULL, 0, (const char *)p,
		    strnlen((const char *)p, (size_t)n), e);
	}
	for (; at < n; at += used) {
		used = pax_entry(t, (const char *)p + at, (size_t)n - at, e);
		if (!used)
			return gv_fail(
			    e, GV_ERR_FORMAT, "a pax header makes no sense");
	}
	return 0;
}

static int
not_tar(const uint8_t *h, struct gv_error *e)
{
	static const struct {
		const char *magic;
		size_t n;
		const char *command;
	} packed[] = {{"\x1f\x8b", 2, "gzip"},
	    {"\xfd"
	     "7zXZ",
		5, "xz"},
	    {"BZh", 3, "bzip2"}, {"\x28\xb5\x2f\xfd", 4, "zstd"}};
	size_t i;

	for (i = 0; i < sizeof packed / sizeof packed[0]; i++)
		if (!memcmp(h, packed[i].magic, packed[i].n))
			return gv_fail(e, GV_ERR_NOSUP,
			    "a compressed tar file: unpack it by `%s -dc` "
			    "into a pipe",
			    packed[i].command);
	return gv_fail(e, GV_ERR_FORMAT,
	    "not a tar file, or a damaged one: a header's checksum is wrong");
}

/* Reads a header: its type, or 0 at the end, or an error. */
static int
header(struct gv_tar *t, struct gv_error *e)
{
	const uint8_t *h;
	uint64_t bytes;
	size_t got;
	int type;

	for (;;) {
		if (gv_feed_peek(t->in, BLOCK, &h, &got, e))
			return e->code;
		if (!got && t->closed)
			return 0;
		if (got < BLOCK)
			return gv_fail(e, GV_ERR_CUT,
			    "the tar file ends without its zero blocks");
		t->closed = zero(h);
		if (!t->closed)
			break;
		if (gv_feed_skip(t->in, BLOCK, e))
			return e->code;
	}
	if (!summed(h))
		return not_tar(h, e);
	type = h[TYPE] ? h[TYPE] : '0';
	if (!number(h + SIZE, SIZE_LEN, &bytes) || bytes >> 62)
		return gv_fail(
		    e, GV_ERR_FORMAT, "a member's size makes no sense");
	if (strchr("xLgK", type) || !t->sized)
		t->left = bytes;
	else
		t->left = t->bytes;
	if (!strchr("xLgK", type)) {
		t->bytes = t->left;
		if (!t->named && short_name(t, h, e))
			return e->code;
		t->named = t->sized = false;
	}
	return gv_feed_skip(t->in, BLOCK, e) ? e->code : type;
}

/* Skips what is left of a member's blocks. */
static int
finish(struct gv_tar *t, struct gv_error *e)
{
	uint64_t n = (t->left + BLOCK - 1) / BLOCK * BLOCK;

	t->left = 0;
	return gv_feed_skip(t->in, n, e);
}

/* The next header of a file, those about it read. */
static int
next(struct gv_tar *t, struct gv_error *e)
{
	uint64_t n;
	int type;

	for (;;) {
		if (finish(t, e))
			return e->code;
		type = header(t, e);
		if (type <= 0)
			return type;
		switch (type) {
		case '0':
		case '7':
			return 1;
		case 'x':
		case 'L':
			n = t->left;
			if (about_next(t, n, type == 'x', e))
				return e->code;
			break;
		case 'S':
			return gv_fail(e, GV_ERR_NOSUP, "a sparse file");
		case '1':
		case '2':
		case '3':
		case '4':
		case '5':
		case '6':
			t->left = 0; /* a size without content */
			break;
		default:
			break;
		}
	}
}

int
gv_tar_next(struct gv_tar *t, struct gv_tar_member *m, struct gv_error *e)
{
	int r = next(t, e);

	if (r < 0)
		return gv_fail_in(e, "offset %llu",
		    (unsigned long long)gv_feed_offset(t->in));
	*m = (struct gv_tar_member){t->name, t->bytes};
	return r;
}

int
gv_tar_data(struct gv_tar *t, const uint8_t **p, struct gv_error *e)
{
	size_t got;

	if (t->bytes > MAX_FILE)
		return gv_fail(e, GV_ERR_LIMIT,
		    "'%.100s' is larger than %llu bytes", t->name,
		    (unsigned long long)MAX_FILE);
	if (gv_feed_peek(t->in, (size_t)t->bytes, p, &got, e))
		return e->code;
	if (got < t->bytes)
		return gv_fail(e, GV_ERR_CUT, "the tar file ends early");
	return 0;
}
