/* Reading streams: records by number, and pipes made into files for it. */
#include "stream_priv.h"

#include "io.h"
#include "mem.h"
#include "temporary.h"
#include "banned.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

/* What a walk over the input changes; the index must leave it as it was. */
struct place {
	uint64_t offset, recs, seg_recs, seg_start, bad;
	size_t done;
	bool between, finished;
};

static struct place
here(const struct gv_reader *r)
{
	struct place p = {r->offset, r->recs, r->seg_recs, r->seg_start, r->bad,
	    r->done, r->between, r->finished};

	return p;
}

static void
go(struct gv_reader *r, struct place p)
{
	r->offset = p.offset;
	r->recs = p.recs;
	r->seg_recs = p.seg_recs;
	r->seg_start = p.seg_start;
	r->bad = p.bad;
	r->done = p.done;
	r->between = p.between;
	r->finished = p.finished;
}

int
gv_reader_index(struct gv_reader *r, uint64_t *count, struct gv_error *e)
{
	struct place was = here(r), first = {0};
	size_t cap = 0;
	void *p = NULL;
	int code;

	if (!r->mapped)
		return gv_fail(e, GV_ERR_NOSUP,
		    "cannot seek in '%s', which is no regular file", r->name);
	if (r->index) {
		*count = r->indexed;
		return 0;
	}
	first.between = true;
	go(r, first);
	while ((code = gv_reader_step(r, true)) > 0) {
		if (gv_grow(&p, &cap, (size_t)r->recs, sizeof *r->index)) {
			code = gv_reader_broken(r, GV_ERR_NOMEM, "no memory");
			break;
		}
		((uint64_t *)p)[r->recs - 1] = r->offset;
	}
	if (!code && !p && !(p = gv_alloc(1, 1)))
		code = gv_reader_broken(r, GV_ERR_NOMEM, "no memory");
	if (code) {
		gv_free(p);
		return gv_reader_report(r, e);
	}
	r->index = p;
	r->indexed = *count = r->recs;
	r->indexed_bad = r->bad;
	if (r->map.size)
		(void)madvise(r->map.priv, r->map.size, MADV_NORMAL);
	go(r, was);
	return 0;
}

int
gv_reader_at(
    struct gv_reader *r, uint64_t i, struct gv_rec *rec, struct gv_error *e)
{
	struct place was = here(r);
	struct gv_walk *w = &r->w;
	uint64_t pairs, u;
	size_t at;

	if (r->error.code)
		return gv_reader_report(r, e);
	if (!r->index || i >= r->indexed)
		return gv_fail(e, GV_ERR_USAGE, "no record %llu in '%s'",
		    (unsigned long long)i, r->name);
	r->offset = r->index[i];
	r->done = 0;
	r->recs = i;
	gv_reader_advance(r);
	/* `n` is known only within a segment: believe what the index checked */
	if (gv_reader_walk_start(r, &pairs)) {
		at = w->at;
		if (gv_walk_is(w, "n", "no 'n'") &&
		    gv_walk_uint(w, &u, "'n' is not a number"))
			r->seg_recs = u;
		w->at = at;
	}
	if (w->code || r->what != GV_REC ||
	    !gv_reader_walk_rec(r, pairs, false)) {
		if (!w->code)
			gv_walk_fail(w, GV_ERR_FORMAT, "it changed");
		gv_reader_broken_walk(r);
		return gv_reader_report(r, e);
	}
	gv_reader_hand_out(r, i, rec);
	go(r, was);
	return 0;
}

/* ---- spooling ------------------------------------------------------------ */

/* All that is left of the input, what was read ahead first. */
static int
copy_rest(struct gv_reader *r, int to, uint64_t *bytes, struct gv_error *e)
{
	size_t cap = (size_t)1 << 20;
	uint8_t *block = gv_alloc(cap, 1);
	const uint8_t *p = r->buf;
	ssize_t n = (ssize_t)r->fill;

	if (!block)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	*bytes = 0;
	while (n > 0) {
		if (gv_write_full(to, p, (size_t)n)) {
			gv_fail(e, GV_ERR_SYS,
			    "cannot copy '%s' to a temporary:", r->name);
			break;
		}
		*bytes += (uint64_t)n;
		p = block;
		n = gv_read_full(r->fd, block, cap);
	}
	if (n < 0)
		gv_fail(e, GV_ERR_SYS, "cannot read '%s':", r->name);
	gv_free(block);
	return e->code;
}

int
gv_reader_spool(struct gv_reader *r, struct gv_error *e)
{
	uint64_t bytes = 0;
	void *p;
	int fd;

	if (r->mapped)
		return 0;
	if (r->error.code)
		return gv_reader_report(r, e);
	if (r->offset || r->start)
		return gv_fail(e, GV_ERR_USAGE,
		    "cannot seek in '%s', of which records were read", r->name);
	fd = gv_temporary(e);
	if (fd < 0)
		return e->code;
	if (!copy_rest(r, fd, &bytes, e)) {
		p = mmap(NULL, (size_t)bytes, PROT_READ, MAP_PRIVATE, fd, 0);
		if (p == MAP_FAILED) {
			gv_fail(e, GV_ERR_SYS,
			    "cannot map a temporary for '%s':", r->name);
		} else {
			r->map.data = r->map.priv = p;
			r->map.size = (size_t)bytes;
			r->mapped = true;
		}
	}
	close(fd);
	return e->code;
}
