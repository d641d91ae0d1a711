/* A window on an input: bytes at..fill-1 of a buffer are unread. */
#include "feed.h"

#include "mem.h"
#include "banned.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#define PIECE ((size_t)64 << 10) /* bytes asked for at a time, at least */

struct gv_feed {
	int fd;
	bool ended;
	uint8_t *buf;
	size_t at, fill, cap;
	uint64_t offset; /* of buf[at] in the input */
};

int
gv_feed_open(struct gv_feed **out, const char *path, struct gv_error *e)
{
	struct gv_feed *f = gv_alloc(1, sizeof *f);
	bool in = !strcmp(path, "-");
	char q[300];

	if (!f)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	f->fd = in ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (f->fd < 0) {
		gv_fail(e, GV_ERR_SYS, "cannot open '%s':",
		    gv_quote(q, sizeof q, path, strlen(path)));
		gv_free(f);
		return e->code;
	}
	*out = f;
	return 0;
}

void
gv_feed_close(struct gv_feed **fp)
{
	struct gv_feed *f = *fp;

	if (!f)
		return;
	if (f->fd != STDIN_FILENO)
		close(f->fd);
	gv_free(f->buf);
	gv_free(f);
	*fp = NULL;
}

/* One read(), which waits for the first byte. */
static int
more(struct gv_feed *f, struct gv_error *e)
{
	struct pollfd ready = {f->fd, POLLIN, 0};
	ssize_t n;

	while ((n = read(f->fd, f->buf + f->fill, f->cap - f->fill)) < 0) {
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			(void)poll(&ready, 1, -1);
		else if (errno != EINTR)
			return gv_fail(e, GV_ERR_SYS, "cannot read:");
	}
	f->ended = !n;
	f->fill += (size_t)n;
	return 0;
}

int
gv_feed_peek(struct gv_feed *f, size_t n, const uint8_t **p, size_t *got,
    struct gv_error *e)
{
	void *buf = f->buf;

	while (f->fill - f->at < n && !f->ended) {
		if (f->at) {
			memmove(f->buf, f->buf + f->at, f->fill - f->at);
			f->fill -= f->at;
			f->at = 0;
		}
		if (f->fill == f->cap &&
		    gv_grow(&buf, &f->cap, f->fill + PIECE, 1))
			return gv_fail(e, GV_ERR_NOMEM, "out of memory");
		f->buf = buf;
		if (more(f, e))
			return e->code;
	}
	*p = f->buf + f->at;
	*got = f->fill - f->at;
	return 0;
}

int
gv_feed_skip(struct gv_feed *f, uint64_t n, struct gv_error *e)
{
	const uint8_t *p;
	size_t got;

	while (n) {
		if (gv_feed_peek(f, 1, &p, &got, e))
			return e->code;
		if (!got)
			return gv_fail(e, GV_ERR_CUT, "the input ends early");
		if (got > n)
			got = (size_t)n;
		f->at += got;
		f->offset += got;
		n -= got;
	}
	return 0;
}

uint64_t
gv_feed_offset(const struct gv_feed *f)
{
	return f->offset;
}
