/* Reading streams: a window on a mapping or a pipe, and the sequence of objects
 * in it, each checked before anything of it is handed out.
 *
 *	          HEAD                 REC              END
 *	start ---------> in a segment -------> (same) ---------> between
 *	between: a HEAD opens the next segment, the end of input is the end
 *	in a segment: the end of input is an error
 */
#include "stream_priv.h"

#include "mem.h"
#include "banned.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Most that one read(2) takes beyond what is needed: what is left of it moves
 * to the front of the buffer later. */
#define READ_AHEAD ((size_t)256 << 10)

/* ---- errors -------------------------------------------------------------- */

/* Fills in r->error from what the walker says, with the place. */
int
gv_reader_broken(struct gv_reader *r, int code, const char *why)
{
	static const char *const name[] = {"head", "record", "end", "input"};
	char where[160] = "";
	uint64_t at = r->offset + r->w.at;

	if (r->what == GV_REC)
		snprintf(where, sizeof where, "record %llu",
		    (unsigned long long)r->recs);
	else
		snprintf(where, sizeof where, "%s", name[r->what]);
	if (r->field) {
		size_t n = strlen(where);

		snprintf(where + n, sizeof where - n, ", field '%s'", r->field);
	}
	r->field = NULL;
	if (code == GV_ERR_SYS)
		return gv_fail(&r->error, code, "cannot read '%s':", r->name);
	return gv_fail(&r->error, code, "cannot read '%s': %s: %s at byte %llu",
	    r->name, where, why, (unsigned long long)at);
}

int
gv_reader_broken_walk(struct gv_reader *r)
{
	return gv_reader_broken(r, r->w.code, r->w.why);
}

int
gv_reader_report(const struct gv_reader *r, struct gv_error *e)
{
	int code = r->error.code;

	if (!e->code)
		*e = r->error;
	return code;
}

/* ---- the window ---------------------------------------------------------- */

/* Reads at most n bytes; -1 with errno, 0 at the end. */
static ssize_t
read_some(int fd, void *buf, size_t n)
{
	struct pollfd p = {fd, POLLIN, 0};
	ssize_t r;

	for (;;) {
		r = read(fd, buf, n);
		if (r >= 0)
			return r;
		if (errno == EAGAIN)
			(void)poll(&p, 1, -1);
		else if (errno != EINTR)
			return -1;
	}
}

void
gv_reader_tie(struct gv_reader *r, struct gv_out *o)
{
	r->tied = o;
	r->watched = o;
}

void
gv_reader_watch(struct gv_reader *r, const struct gv_out *o)
{
	r->tied = NULL;
	r->watched = o;
}

/* Where there is nothing to read yet, lets the output go, and waits as long as
 * somebody reads that. */
static int
wait_tied(struct gv_reader *r)
{
	struct pollfd p = {r->fd, POLLIN, 0};

	if (!r->watched || poll(&p, 1, 0) != 0)
		return 0;
	if (r->tied && gv_out_flush(r->tied, &r->error))
		return r->error.code;
	return gv_out_wait(r->watched, r->fd, &r->error);
}

/* Makes room at the end of the buffer for what is missing, but never more
 * than twice what has come. */
static bool
make_room(struct gv_reader *r, size_t need)
{
	size_t got = r->fill - r->start, want;
	void *p = r->buf;

	if (r->cap - r->start >= need && r->fill < r->cap)
		return true;
	if (r->start) {
		memmove(r->buf, r->buf + r->start, got);
		r->start = 0;
		r->fill = got;
	}
	want = 2 * got > READ_AHEAD ? 2 * got : 2 * READ_AHEAD;
	if (want > need + READ_AHEAD)
		want = need + READ_AHEAD;
	if (gv_grow(&p, &r->cap, want, 1))
		return false;
	r->buf = p;
	return true;
}

static bool
more(struct gv_walk *w, size_t need)
{
	struct gv_reader *r = w->arg;

	while (r->fill - r->start < need) {
		size_t missing = need - (r->fill - r->start), room;
		ssize_t n;

		if (r->eof)
			return false;
		if (!make_room(r, need))
			return gv_walk_fail(w, GV_ERR_NOMEM, "no memory");
		room = r->cap - r->fill;
		if (missing < READ_AHEAD)
			missing = READ_AHEAD;
		if (wait_tied(r))
			return gv_walk_fail(w, r->error.code, "");
		n = read_some(
		    r->fd, r->buf + r->fill, room < missing ? room : missing);
		if (n < 0)
			return gv_walk_fail(w, GV_ERR_SYS, "");
		r->eof = n == 0;
		r->fill += (size_t)n;
		w->base = r->buf + r->start;
		w->have = r->fill - r->start;
	}
	return true;
}

/* Puts the walker on the next object. */
void
gv_reader_advance(struct gv_reader *r)
{
	r->offset += r->done;
	memset(&r->w, 0, sizeof r->w);
	r->w.limit = GV_MAX_RECORD;
	r->field = NULL;
	if (r->mapped) {
		r->w.base = r->map.data + r->offset;
		r->w.have = r->map.size - (size_t)r->offset;
	} else {
		r->start += r->done;
		r->w.base = r->buf ? r->buf + r->start : NULL;
		r->w.have = r->fill - r->start;
		r->w.more = more;
		r->w.arg = r;
	}
	r->done = 0;
}

static bool
at_end(struct gv_reader *r)
{
	if (r->w.have)
		return false;
	return !r->w.more || (!r->w.more(&r->w, 1) && !r->w.code);
}

/* ---- the sequence -------------------------------------------------------- */

/* Reads the next object; it may be over after it. */
static int
step(struct gv_reader *r, bool check)
{
	uint64_t pairs = 0;

	gv_reader_advance(r);
	r->what = GV_NOTHING;
	if (at_end(r)) {
		if (r->between && r->have_schema) {
			r->finished = true;
			return 0;
		}
		return gv_reader_broken(r, GV_ERR_CUT,
		    r->have_schema ? "it ends without END" : "it is empty");
	}
	if (!gv_reader_walk_start(r, &pairs))
		return gv_reader_broken_walk(r);
	if ((r->what == GV_HEAD) != r->between)
		return gv_reader_broken(r, GV_ERR_FORMAT,
		    r->between ? "no HEAD before it" : "a HEAD before END");
	if (r->what == GV_HEAD) {
		if (gv_reader_head(r, pairs))
			return r->error.code;
	} else if (!(r->what == GV_END ? gv_reader_walk_end(r, pairs)
				       : gv_reader_walk_rec(r, pairs, check))) {
		return gv_reader_broken_walk(r);
	}
	r->done = r->w.at;
	return 0;
}

void
gv_reader_hand_out(struct gv_reader *r, uint64_t n, struct gv_rec *rec)
{
	size_t i;

	for (i = 0; i < r->schema.nfields; i++) {
		const uint8_t *p = r->w.base + r->v_at[i];

		if (r->schema.fields[i].dtype == GV_NONE)
			r->v[i].plain = p;
		else
			r->v[i].t.data = p;
	}
	rec->n = n;
	rec->key = r->key;
	rec->v = r->v;
}

/* To the next record: 1, 0 at the end. */
int
gv_reader_step(struct gv_reader *r, bool check)
{
	if (r->error.code)
		return r->error.code;
	while (!r->finished) {
		if (step(r, check))
			return r->error.code;
		if (r->what == GV_REC) {
			r->recs++;
			r->seg_recs++;
			return 1;
		}
	}
	return 0;
}

int
gv_reader_next(struct gv_reader *r, struct gv_rec *rec, struct gv_error *e)
{
	int code = gv_reader_step(r, true);

	if (code < 0)
		return gv_reader_report(r, e);
	if (code)
		gv_reader_hand_out(r, r->recs - 1, rec);
	return code;
}

int
gv_reader_skip(struct gv_reader *r, uint64_t records, struct gv_error *e)
{
	uint64_t i;

	for (i = 0; i < records; i++) {
		int code = gv_reader_step(r, false);

		if (code < 0)
			return gv_reader_report(r, e);
		if (!code)
			return gv_fail(e, GV_ERR_MATCH,
			    "'%s' has %llu records, too few to skip %llu",
			    r->name, (unsigned long long)i,
			    (unsigned long long)records);
	}
	return 0;
}

/* ---- opening and closing ------------------------------------------------- */

/* Maps standard input where it is a file read from its start. */
static bool
map_stdin(struct gv_reader *r, const struct stat *st)
{
	void *p;

	if (!S_ISREG(st->st_mode) || st->st_size <= 0 ||
	    lseek(STDIN_FILENO, 0, SEEK_CUR) != 0)
		return false;
	p = mmap(
	    NULL, (size_t)st->st_size, PROT_READ, MAP_PRIVATE, STDIN_FILENO, 0);
	if (p == MAP_FAILED)
		return false;
	r->map.data = r->map.priv = p;
	r->map.size = (size_t)st->st_size;
	return true;
}

static int
open_input(struct gv_reader *r, const char *path, struct gv_error *e)
{
	bool std = !path || !strcmp(path, "-");
	struct stat st;

	if (std ? fstat(STDIN_FILENO, &st) : stat(path, &st))
		return gv_fail(e, GV_ERR_SYS, "cannot read '%s':", r->name);
	if (S_ISDIR(st.st_mode)) {
		errno = EISDIR;
		return gv_fail(e, GV_ERR_SYS, "cannot read '%s':", r->name);
	}
	if (!std && S_ISREG(st.st_mode)) {
		if (gv_map_open(&r->map, path, e))
			return e->code;
		r->mapped = true;
	} else if (std) {
		r->mapped = map_stdin(r, &st);
		r->fd = STDIN_FILENO;
	} else {
		r->fd = open(path, O_RDONLY | O_CLOEXEC);
		if (r->fd < 0)
			return gv_fail(
			    e, GV_ERR_SYS, "cannot read '%s':", r->name);
	}
	if (r->mapped && r->map.size)
		(void)madvise(r->map.priv, r->map.size, MADV_SEQUENTIAL);
	else if (!r->mapped)
		(void)fcntl(r->fd, F_SETPIPE_SZ, 1 << 20);
	return 0;
}

int
gv_reader_open(struct gv_reader **out, const char *path, struct gv_error *e)
{
	struct gv_reader *r = gv_alloc(1, sizeof *r);
	bool std = !path || !strcmp(path, "-");

	if (!r)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	r->fd = -1;
	r->between = true;
	r->name = gv_strdup(std ? "standard input" : path);
	if (!r->name)
		gv_fail(e, GV_ERR_NOMEM, "out of memory");
	else if (!open_input(r, path, e) && step(r, true))
		gv_reader_report(r, e);
	if (e->code) {
		gv_reader_close(&r);
		return e->code;
	}
	*out = r;
	return 0;
}

void
gv_reader_close(struct gv_reader **rp)
{
	struct gv_reader *r = *rp;

	if (!r)
		return;
	*rp = NULL;
	if (r->mapped)
		gv_map_close(&r->map);
	if (r->fd > STDERR_FILENO)
		close(r->fd);
	gv_schema_free(&r->schema);
	gv_free(r->name);
	gv_free(r->buf);
	gv_free(r->v);
	gv_free(r->v_at);
	gv_pack_free(&r->lead);
	gv_free(r->lead_end);
	gv_free(r->dim_slot);
	gv_free(r->dim_size);
	gv_free(r->index);
	gv_free(r);
}

const struct gv_schema *
gv_reader_schema(const struct gv_reader *r)
{
	return &r->schema;
}

bool
gv_reader_mapped(const struct gv_reader *r)
{
	return r->mapped;
}

uint64_t
gv_reader_bad(const struct gv_reader *r)
{
	return r->index ? r->indexed_bad : r->bad;
}

const char *
gv_reader_name(const struct gv_reader *r)
{
	return r->name;
}

uint64_t
gv_reader_offset(const struct gv_reader *r)
{
	return r->offset + r->done;
}
