/* Whole transfers, atomic outputs, mapped inputs, lines. */
#include "io.h"

#include "mem.h"
#include "banned.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define OUT_BUF      (1u << 20)
#define MAX_OPEN_OUT 64

static bool
again(int fd, short ev)
{
	struct pollfd p = {fd, ev, 0};

	if (errno == EINTR)
		return true;
	if (errno != EAGAIN)
		return false;
	return poll(&p, 1, -1) >= 0 || errno == EINTR;
}

ssize_t
gv_read_full(int fd, void *buf, size_t n)
{
	size_t got = 0;

	while (got < n) {
		ssize_t r = read(fd, (char *)buf + got, n - got);

		if (r > 0)
			got += (size_t)r;
		else if (r == 0)
			break;
		else if (!again(fd, POLLIN))
			return -1;
	}
	return (ssize_t)got;
}

int
gv_write_full(int fd, const void *buf, size_t n)
{
	size_t put = 0;

	while (put < n) {
		ssize_t r = write(fd, (const char *)buf + put, n - put);

		if (r >= 0)
			put += (size_t)r;
		else if (!again(fd, POLLOUT))
			return -1;
	}
	return 0;
}

/* ---- outputs ---------------------------------------------------------- */

struct gv_out {
	int fd;
	char *path, *tmp; /* tmp is NULL when written in place */
	int slot; /* in temporaries[] */
	uint8_t *buf;
	size_t fill;
	uint64_t offset;
	int failed; /* errno of a write, which stays */
};

/* Paths that a dying process must unlink.  Slots are claimed by one compare
 * and exchange, so that a signal handler sees a whole pointer or none. */
static _Atomic(char *) temporaries[MAX_OPEN_OUT];

void
gv_out_cleanup(void)
{
	int i;

	for (i = 0; i < MAX_OPEN_OUT; i++) {
		char *p = atomic_load(&temporaries[i]);

		if (p)
			unlink(p);
	}
}

static int
remember(char *path)
{
	int i;

	for (i = 0; i < MAX_OPEN_OUT; i++) {
		char *none = NULL;

		if (atomic_compare_exchange_strong(
			&temporaries[i], &none, path))
			return i;
	}
	return -1;
}

static void
out_free(struct gv_out *o)
{
	if (o->slot >= 0)
		atomic_store(&temporaries[o->slot], NULL);
	gv_free(o->path);
	gv_free(o->tmp);
	gv_free(o->buf);
	gv_free(o);
}

static char *
temporary_name(const char *path)
{
	const char *base = strrchr(path, '/');
	size_t dir = base ? (size_t)(base - path) + 1 : 0;
	size_t cap = strlen(path) + 40;
	char *t = gv_alloc(cap, 1);

	if (t)
		snprintf(t, cap, "%.*s.%s.%ld.tmp", (int)dir, path, path + dir,
		    (long)getpid());
	return t;
}

/* Opens the temporary, or the file itself where renaming would replace a
 * device or FIFO. */
static int
open_path(struct gv_out *o, const char *path, struct gv_error *e)
{
	struct stat st;

	if (!stat(path, &st) && !S_ISREG(st.st_mode)) {
		if (S_ISDIR(st.st_mode)) {
			errno = EISDIR;
			return gv_fail(
			    e, GV_ERR_SYS, "cannot write '%s':", path);
		}
		o->fd = open(path, O_WRONLY | O_CLOEXEC);
	} else {
		o->tmp = temporary_name(path);
		if (!o->tmp)
			return gv_fail(e, GV_ERR_NOMEM, "out of memory");
		o->slot = remember(o->tmp);
		if (o->slot < 0)
			return gv_fail(
			    e, GV_ERR_LIMIT, "too many open outputs");
		unlink(o->tmp);
		o->fd =
		    open(o->tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	}
	if (o->fd < 0)
		return gv_fail(e, GV_ERR_SYS, "cannot write '%s':", path);
	return 0;
}

int
gv_out_open(struct gv_out **out, const char *path, bool binary, bool force,
    struct gv_error *e)
{
	struct gv_out *o = gv_alloc(1, sizeof *o);
	bool std = !path || !strcmp(path, "-");

	if (!o)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	o->fd = -1;
	o->slot = -1;
	o->path = gv_strdup(std ? "standard output" : path);
	o->buf = gv_alloc(OUT_BUF, 1);
	if (!o->path || !o->buf) {
		gv_fail(e, GV_ERR_NOMEM, "out of memory");
		goto fail;
	}
	if (std) {
		o->fd = STDOUT_FILENO;
		if (binary && !force && isatty(o->fd)) {
			gv_fail(e, GV_ERR_USAGE,
			    "not writing binary data to a terminal (use -f)");
			goto fail;
		}
	} else if (open_path(o, path, e)) {
		goto fail;
	}
	(void)fcntl(o->fd, F_SETPIPE_SZ, OUT_BUF);
	*out = o;
	return 0;
fail:
	out_free(o);
	return e->code;
}

static int
put(struct gv_out *o, const void *buf, size_t n, struct gv_error *e)
{
	if (gv_write_full(o->fd, buf, n)) {
		o->failed = errno;
		return gv_fail(e, GV_ERR_SYS, "cannot write '%s':", o->path);
	}
	return 0;
}

static int
failed_before(const struct gv_out *o, struct gv_error *e)
{
	errno = o->failed;
	return gv_fail(e, GV_ERR_SYS, "cannot write '%s':", o->path);
}

int
gv_out_flush(struct gv_out *o, struct gv_error *e)
{
	size_t n = o->fill;

	o->fill = 0;
	return n ? put(o, o->buf, n, e) : 0;
}

int
gv_out_write(struct gv_out *o, const void *buf, size_t n, struct gv_error *e)
{
	if (o->failed)
		return failed_before(o, e);
	if (!n)
		return 0;
	o->offset += n;
	if (n <= OUT_BUF - o->fill) {
		memcpy(o->buf + o->fill, buf, n);
		o->fill += n;
		return 0;
	}
	if (gv_out_flush(o, e))
		return e->code;
	if (n >= OUT_BUF / 4)
		return put(o, buf, n, e);
	memcpy(o->buf, buf, n);
	o->fill = n;
	return 0;
}

int
gv_out_printf(struct gv_out *o, struct gv_error *e, const char *fmt, ...)
{
	char small[1024], *big;
	va_list ap;
	int n, r;

	va_start(ap, fmt);
	n = vsnprintf(small, sizeof small, fmt, ap);
	va_end(ap);
	if (n < 0)
		return gv_fail(e, GV_ERR_SYS, "cannot format output:");
	if ((size_t)n < sizeof small)
		return gv_out_write(o, small, (size_t)n, e);
	big = gv_alloc((size_t)n + 1, 1);
	if (!big)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	va_start(ap, fmt);
	vsnprintf(big, (size_t)n + 1, fmt, ap);
	va_end(ap);
	r = gv_out_write(o, big, (size_t)n, e);
	gv_free(big);
	return r;
}

uint64_t
gv_out_offset(const struct gv_out *o)
{
	return o->offset;
}

int
gv_out_unread(const struct gv_out *o, struct gv_error *e)
{
	struct pollfd p = {o->fd, 0, 0};

	if (poll(&p, 1, 0) <= 0 || !(p.revents & (POLLERR | POLLHUP)))
		return 0;
	return gv_fail(e, GV_ERR_PIPE, "nobody reads '%s' any more", o->path);
}

int
gv_out_wait(const struct gv_out *o, int fd, struct gv_error *e)
{
	struct pollfd p[2] = {{fd, POLLIN, 0}, {o->fd, 0, 0}};

	while (poll(p, 2, -1) < 0 && errno == EINTR)
		;
	return p[0].revents ? 0 : gv_out_unread(o, e);
}

const char *
gv_out_name(const struct gv_out *o)
{
	return o->path;
}

static void
sync_directory(const char *path)
{
	const char *base = strrchr(path, '/');
	char *dir =
	    base ? gv_strndup(path, (size_t)(base - path) + 1) : gv_strdup(".");
	int fd = dir ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	/* the data is safe already; a directory that can't sync is no error */
	if (fd >= 0) {
		(void)fsync(fd);
		close(fd);
	}
	gv_free(dir);
}

int
gv_out_commit(struct gv_out **out, struct gv_error *e)
{
	struct gv_out *o = *out;
	int r = 0;

	*out = NULL;
	if (o->failed)
		r = failed_before(o, e);
	if (!r)
		r = gv_out_flush(o, e);
	if (!r && o->tmp && fsync(o->fd))
		r = gv_fail(e, GV_ERR_SYS, "cannot sync '%s':", o->path);
	/* standard output is the program's to close, once (cli_finish) */
	if (o->fd != STDOUT_FILENO && close(o->fd) && !r)
		r = gv_fail(e, GV_ERR_SYS, "cannot write '%s':", o->path);
	if (!r && o->tmp && rename(o->tmp, o->path))
		r = gv_fail(e, GV_ERR_SYS, "cannot rename to '%s':", o->path);
	if (o->tmp) {
		if (r)
			unlink(o->tmp);
		else
			sync_directory(o->path);
	}
	out_free(o);
	return r;
}

void
gv_out_abort(struct gv_out **out)
{
	struct gv_out *o = *out;

	if (!o)
		return;
	*out = NULL;
	if (o->fd >= 0 && o->fd != STDOUT_FILENO)
		close(o->fd);
	if (o->tmp)
		unlink(o->tmp);
	out_free(o);
}

/* ---- inputs ----------------------------------------------------------- */

int
gv_map_open(struct gv_map *m, const char *path, struct gv_error *e)
{
	static const uint8_t nothing[1];
	struct stat st;
	void *p;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return gv_fail(e, GV_ERR_SYS, "cannot open '%s':", path);
	if (fstat(fd, &st)) {
		gv_fail(e, GV_ERR_SYS, "cannot read '%s':", path);
		close(fd);
		return e->code;
	}
	if (!S_ISREG(st.st_mode)) {
		close(fd);
		errno = EISDIR;
		if (S_ISDIR(st.st_mode))
			return gv_fail(
			    e, GV_ERR_SYS, "cannot read '%s':", path);
		return gv_fail(
		    e, GV_ERR_FORMAT, "'%s' is not a regular file", path);
	}
	m->size = (size_t)st.st_size;
	m->data = nothing;
	m->priv = NULL;
	if (m->size) {
		p = mmap(NULL, m->size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (p == MAP_FAILED) {
			gv_fail(e, GV_ERR_SYS, "cannot map '%s':", path);
			close(fd);
			return e->code;
		}
		m->data = m->priv = p;
	}
	close(fd);
	return 0;
}

void
gv_map_close(struct gv_map *m)
{
	if (m->priv)
		munmap(m->priv, m->size);
	memset(m, 0, sizeof *m);
}

int
gv_input_open(const char *path, const char **name, int *fd, struct gv_error *e)
{
	bool std = !path || !strcmp(path, "-");
	struct stat st;

	*name = std ? "standard input" : path;
	*fd = std ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	if (*fd < 0)
		return gv_fail(e, GV_ERR_SYS, "cannot open '%s':", path);
	if (!fstat(*fd, &st) && S_ISDIR(st.st_mode)) {
		if (!std)
			close(*fd);
		errno = EISDIR;
		return gv_fail(e, GV_ERR_SYS, "cannot read '%s':", *name);
	}
	return 0;
}

static void
too_large(const char *name, size_t limit, struct gv_error *e)
{
	gv_fail(e, GV_ERR_LIMIT, "'%s' is larger than %zu bytes", name, limit);
}

int
gv_slurp(
    const char *path, size_t limit, char **out, size_t *n, struct gv_error *e)
{
	const char *name;
	void *buf = NULL;
	size_t cap = 0, len = 0;
	struct stat st;
	ssize_t r = 1;
	int fd;

	if (gv_input_open(path, &name, &fd, e))
		return e->code;
	/* a file's size is known before anything of it is read */
	if (!fstat(fd, &st) && S_ISREG(st.st_mode) &&
	    (uint64_t)st.st_size > limit)
		too_large(name, limit, e);
	while (!e->code && r > 0) {
		if (gv_grow(&buf, &cap, len + 65536, 1)) {
			gv_fail(
			    e, GV_ERR_NOMEM, "out of memory for '%s'", name);
			break;
		}
		r = gv_read_full(fd, (char *)buf + len, cap - len - 1);
		if (r < 0)
			gv_fail(e, GV_ERR_SYS, "cannot read '%s':", name);
		else if ((len += (size_t)r) > limit)
			too_large(name, limit, e);
	}
	if (fd != STDIN_FILENO)
		close(fd);
	if (e->code) {
		gv_free(buf);
		return e->code;
	}
	((char *)buf)[len] = '\0';
	*out = buf;
	*n = len;
	return 0;
}

struct gv_lines {
	int fd;
	char *name;
	char *buf;
	size_t cap, at, fill, max;
	uint64_t number;
	bool eof;
	const struct gv_out *watched;
};

int
gv_lines_open(struct gv_lines **out, const char *path, size_t max_line,
    struct gv_error *e)
{
	struct gv_lines *l = gv_alloc(1, sizeof *l);
	const char *name;

	if (!l)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	if (gv_input_open(path, &name, &l->fd, e)) {
		gv_free(l);
		return e->code;
	}
	l->max = max_line;
	l->name = gv_strdup(name);
	*out = l;
	if (!l->name) {
		gv_lines_close(out);
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	}
	return 0;
}

static int
too_long(const struct gv_lines *l, struct gv_error *e)
{
	return gv_fail(e, GV_ERR_LIMIT,
	    "'%s': line %llu is longer than %zu bytes", l->name,
	    (unsigned long long)l->number + 1, l->max);
}

/* Moves the rest to the front and reads on; 0 at the end of input. */
static int
more(struct gv_lines *l, struct gv_error *e)
{
	void *p = l->buf;
	ssize_t r;

	if (l->at) {
		memmove(l->buf, l->buf + l->at, l->fill - l->at);
		l->fill -= l->at;
		l->at = 0;
	}
	if (l->fill > l->max)
		return too_long(l, e);
	if (gv_grow(&p, &l->cap, l->fill + 65537, 1))
		return gv_fail(
		    e, GV_ERR_NOMEM, "out of memory for '%s'", l->name);
	l->buf = p;
	if (l->watched && gv_out_wait(l->watched, l->fd, e))
		return e->code;
	do
		r = read(l->fd, l->buf + l->fill, l->cap - l->fill - 1);
	while (r < 0 && again(l->fd, POLLIN));
	if (r < 0)
		return gv_fail(e, GV_ERR_SYS, "cannot read '%s':", l->name);
	l->fill += (size_t)r;
	return r > 0;
}

int
gv_lines_next(
    struct gv_lines *l, const char **line, size_t *n, struct gv_error *e)
{
	size_t seen = 0;
	char *nl = NULL;
	int r;

	for (;;) {
		if (l->fill > l->at + seen)
			nl = memchr(l->buf + l->at + seen, '\n',
			    l->fill - l->at - seen);
		if (nl || l->eof)
			break;
		seen = l->fill - l->at;
		r = more(l, e);
		if (r < 0)
			return r;
		l->eof = r == 0;
	}
	if (!nl && l->at == l->fill)
		return 0;
	if ((nl ? (size_t)(nl - l->buf) : l->fill) - l->at > l->max)
		return too_long(l, e);
	*line = l->buf + l->at;
	*n = nl ? (size_t)(nl - *line) : l->fill - l->at;
	l->at += *n + (nl != NULL);
	((char *)*line)[*n] = '\0';
	l->number++;
	return 1;
}

void
gv_lines_watch(struct gv_lines *l, const struct gv_out *o)
{
	l->watched = o;
}

bool
gv_lines_rests(const struct gv_lines *l)
{
	struct pollfd p = {l->fd, POLLIN, 0};

	if (l->eof ||
	    (l->fill > l->at && memchr(l->buf + l->at, '\n', l->fill - l->at)))
		return false;
	return poll(&p, 1, 0) == 0;
}

uint64_t
gv_lines_number(const struct gv_lines *l)
{
	return l->number;
}

const char *
gv_lines_name(const struct gv_lines *l)
{
	return l->name;
}

void
gv_lines_close(struct gv_lines **l)
{
	if (!*l)
		return;
	if ((*l)->fd != STDIN_FILENO)
		close((*l)->fd);
	gv_free((*l)->name);
	gv_free((*l)->buf);
	gv_free(*l);
	*l = NULL;
}
