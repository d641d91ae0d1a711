/* Reading streams: a window on a mapping or a pipe, and a walk over it that
 * checks everything before it hands anything out.
 *
 *	          HEAD                 REC              END
 *	start ---------> IN_SEGMENT ---------> (same) ---------> BETWEEN
 *	BETWEEN: HEAD goes on to IN_SEGMENT, the end of input is the end
 *	IN_SEGMENT: the end of input is an error
 */
#include "stream.h"

#include "crc.h"
#include "mem.h"
#include "pack.h"
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

enum object { HEAD, REC, END, NOTHING };
static const char *const object_name[] = {"head", "record", "end", "input"};

struct gv_reader {
	char *name;
	struct gv_map map; /* a file ... */
	bool mapped;
	int fd; /* ... or what read(2) gives: */
	uint8_t *buf; /* bytes [start, fill) are not consumed yet */
	size_t start, fill, cap;
	bool eof;

	struct gv_walk w; /* over the current object */
	uint64_t offset; /* of the current object in the input */
	size_t done; /* bytes of it that the next call steps over */
	enum object what;
	const char *field; /* being read, for messages */
	bool between; /* no segment is open */
	bool finished;
	uint64_t recs, seg_recs, seg_start, bad;
	struct gv_error error; /* sticky */

	struct gv_schema schema;
	bool have_schema;
	struct gv_value *v;
	size_t *v_at; /* where each value's bytes are, from the object */
	char key[GV_MAX_KEY + 1];
	size_t *dim_slot; /* (field, axis) -> named dimension */
	int64_t *dim_size; /* of each named dimension in this record */
	size_t ndims;

	uint64_t *index; /* offset of each record, or NULL */
	uint64_t indexed, indexed_bad;
};

/* ---- errors -------------------------------------------------------------- */

/* Fills in r->error from what the walker says, with the place. */
static int
broken(struct gv_reader *r, int code, const char *why)
{
	char where[160] = "";
	uint64_t at = r->offset + r->w.at;

	if (r->what == REC)
		snprintf(where, sizeof where, "record %llu",
		    (unsigned long long)r->recs);
	else
		snprintf(where, sizeof where, "%s", object_name[r->what]);
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

static int
broken_walk(struct gv_reader *r)
{
	return broken(r, r->w.code, r->w.why);
}

static int
report(const struct gv_reader *r, struct gv_error *e)
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
static void
advance(struct gv_reader *r)
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
		r->w.base = r->buf + r->start;
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

/* ---- objects ------------------------------------------------------------- */

/* The map's header and the pair "gv". */
static bool
walk_start(struct gv_reader *r, uint64_t *pairs)
{
	struct gv_walk *w = &r->w;
	struct gv_item it;
	size_t off, n;

	if (!gv_walk_item(w, &it))
		return false;
	if (it.type != GV_ITEM_MAP || it.u < 1)
		return gv_walk_fail(w, GV_ERR_FORMAT, "not a gv stream");
	*pairs = it.u;
	if (!gv_walk_is(w, "gv", "not a gv stream") ||
	    !gv_walk_text(w, &off, &n))
		return false;
	if (n == 3 && !memcmp(w->base + off, "rec", 3))
		r->what = REC;
	else if (n == 4 && !memcmp(w->base + off, "head", 4))
		r->what = HEAD;
	else if (n == 3 && !memcmp(w->base + off, "end", 3))
		r->what = END;
	else
		return gv_walk_fail(w, GV_ERR_FORMAT, "an unknown object");
	return true;
}

/* `crc`, and that the object ends where an object may end. */
static bool
walk_crc(struct gv_walk *w, size_t upto, bool check)
{
	struct gv_item it;

	if (!gv_walk_item(w, &it))
		return false;
	if (it.tag != 0xce)
		return gv_walk_fail(w, GV_ERR_FORMAT, "'crc' is not uint 32");
	if (w->at % GV_ALIGN)
		return gv_walk_fail(w, GV_ERR_FORMAT, "not padded to 64 bytes");
	if (check && it.u != gv_crc(0, w->base, upto))
		return gv_walk_fail(w, GV_ERR_FORMAT, "CRC mismatch");
	return true;
}

static bool
walk_seal(struct gv_walk *w)
{
	size_t upto;

	if (!gv_walk_pad(w, false))
		return false;
	upto = w->at;
	return gv_walk_is(w, "crc", "no 'crc'") && walk_crc(w, upto, true);
}

static bool
number_after(struct gv_walk *w, const char *key, const char *why, uint64_t *u)
{
	return gv_walk_is(w, key, why) && gv_walk_uint(w, u, why);
}

static bool
walk_end(struct gv_reader *r, uint64_t pairs)
{
	struct gv_walk *w = &r->w;
	uint64_t recs, bad, bytes;

	if (pairs != 6)
		return gv_walk_fail(w, GV_ERR_FORMAT, "not of six pairs");
	if (!number_after(w, "recs", "no 'recs'", &recs) ||
	    !number_after(w, "bad", "no 'bad'", &bad) ||
	    !number_after(w, "bytes", "no 'bytes'", &bytes) || !walk_seal(w))
		return false;
	if (w->at != 64)
		return gv_walk_fail(w, GV_ERR_FORMAT, "not of 64 bytes");
	if (recs != r->seg_recs)
		return gv_walk_fail(
		    w, GV_ERR_FORMAT, "another number of records was written");
	if (bytes != r->offset - r->seg_start)
		return gv_walk_fail(
		    w, GV_ERR_FORMAT, "another number of bytes was written");
	if (bad > UINT32_MAX)
		return gv_walk_fail(w, GV_ERR_LIMIT, "'bad' is too large");
	r->bad += bad;
	r->between = true;
	return true;
}

/* Numbers the named dimensions of the schema. */
static int
prepare(struct gv_reader *r)
{
	const struct gv_schema *s = &r->schema;
	size_t nf = s->nfields, i, j;
	char(*names)[sizeof s->fields->dim[0]];
	int a;

	r->v = gv_alloc(nf, sizeof *r->v);
	r->v_at = gv_alloc(nf, sizeof *r->v_at);
	r->dim_slot = gv_alloc(nf * GV_MAX_RANK, sizeof *r->dim_slot);
	r->dim_size = gv_alloc(nf * GV_MAX_RANK, sizeof *r->dim_size);
	names = gv_alloc(nf * GV_MAX_RANK, sizeof *names);
	if (!r->v || !r->v_at || !r->dim_slot || !r->dim_size || !names) {
		gv_free(names);
		return broken(r, GV_ERR_NOMEM, "no memory");
	}
	for (i = 0; i < nf; i++)
		for (a = 0; a < s->fields[i].rank; a++) {
			const char *name = s->fields[i].dim[a];

			if (s->fields[i].shape[a] != GV_ANY)
				continue;
			for (j = 0; j < r->ndims; j++)
				if (!strcmp(names[j], name))
					break;
			if (j == r->ndims)
				memcpy(names[r->ndims++], name, sizeof *names);
			r->dim_slot[i * GV_MAX_RANK + (size_t)a] = j;
		}
	gv_free(names);
	return 0;
}

static int
read_head(struct gv_reader *r, uint64_t pairs)
{
	struct gv_schema s = {0};
	struct gv_error e = {0};
	int code = 0;

	if (pairs != 7)
		return broken(r, GV_ERR_FORMAT, "not of seven pairs");
	if (!gv_walk_head(&r->w, &s, &e) || !walk_seal(&r->w)) {
		code = broken_walk(r);
	} else if (!r->have_schema) {
		r->schema = s;
		r->have_schema = true;
		memset(&s, 0, sizeof s);
		code = prepare(r);
	} else if (gv_schema_same(&r->schema, &s, &e) ||
		   gv_schema_agree(&r->schema, &s, &e)) {
		code = broken(r, e.code, e.msg);
	}
	gv_schema_free(&s);
	r->between = false;
	r->seg_start = r->offset;
	r->seg_recs = 0;
	return code;
}

/* ---- records ------------------------------------------------------------- */

static bool
walk_shape(struct gv_walk *w, const struct gv_field *f, int64_t *shape)
{
	struct gv_item it;
	int i;

	if (!gv_walk_item(w, &it))
		return false;
	if (it.type != GV_ITEM_ARRAY || it.u != (uint64_t)f->rank)
		return gv_walk_fail(
		    w, GV_ERR_FORMAT, "a shape of another rank than in HEAD");
	for (i = 0; i < f->rank; i++) {
		uint64_t u;

		if (!gv_walk_uint(w, &u, "a dimension is not a size"))
			return false;
		if (u > INT64_MAX)
			return gv_walk_fail(
			    w, GV_ERR_LIMIT, "a dimension is too large");
		shape[i] = (int64_t)u;
		if (f->shape[i] != GV_ANY && f->shape[i] != shape[i])
			return gv_walk_fail(w, GV_ERR_FORMAT,
			    "another size of a dimension than in HEAD");
	}
	return true;
}

/* A map of nd, type, kind, shape, pad, data. */
static bool
walk_tensor(struct gv_walk *w, const struct gv_field *f, struct gv_tensor *t,
    size_t *at)
{
	struct gv_item it;

	if (!gv_walk_item(w, &it))
		return false;
	if (it.type != GV_ITEM_MAP || it.u != 6)
		return gv_walk_fail(
		    w, GV_ERR_FORMAT, "not a tensor, a map of six pairs");
	if (!gv_walk_is_bin(w, "nd", "no 'nd'") || !gv_walk_item(w, &it))
		return false;
	if (it.type != GV_ITEM_BOOL || !it.u)
		return gv_walk_fail(w, GV_ERR_FORMAT, "'nd' is not true");
	if (!gv_walk_is_bin(w, "type", "no 'type'") ||
	    !gv_walk_is(
		w, gv_dtype_wire(f->dtype), "another type than in HEAD") ||
	    !gv_walk_is_bin(w, "kind", "no 'kind'") ||
	    !gv_walk_is_bin(w, "", "'kind' is not empty") ||
	    !gv_walk_is_bin(w, "shape", "no 'shape'") ||
	    !walk_shape(w, f, t->shape))
		return false;
	t->dtype = f->dtype;
	t->rank = f->rank;
	if (!gv_shape_bytes(t->dtype, t->shape, t->rank, &t->bytes))
		return gv_walk_fail(w, GV_ERR_LIMIT, "the shape is too large");
	if (!gv_walk_pad(w, true) || !gv_walk_is_bin(w, "data", "no 'data'") ||
	    !gv_walk_item(w, &it))
		return false;
	if (it.tag != 0xc6)
		return gv_walk_fail(w, GV_ERR_FORMAT, "'data' is not bin 32");
	if (it.u != t->bytes)
		return gv_walk_fail(
		    w, GV_ERR_FORMAT, "'data' is not of the shape's size");
	if (w->at % GV_ALIGN)
		return gv_walk_fail(
		    w, GV_ERR_FORMAT, "'data' is not aligned to 64 bytes");
	return gv_walk_span(w, t->bytes, at);
}

static bool
walk_value(struct gv_reader *r, size_t i)
{
	const struct gv_field *f = &r->schema.fields[i];
	struct gv_value *v = &r->v[i];
	struct gv_walk *w = &r->w;

	memset(v, 0, sizeof *v);
	v->present = true;
	r->field = f->name;
	if (f->dtype != GV_NONE) {
		if (!walk_tensor(w, f, &v->t, &r->v_at[i]))
			return false;
	} else {
		r->v_at[i] = w->at;
		if (!gv_walk_skip(w, GV_MAX_DEPTH - 1, false))
			return false;
		v->plain_bytes = w->at - r->v_at[i];
	}
	r->field = NULL;
	return true;
}

static bool
walk_key(struct gv_reader *r)
{
	struct gv_walk *w = &r->w;
	size_t off, n;

	if (!gv_walk_text(w, &off, &n))
		return false;
	if (n > GV_MAX_KEY)
		return gv_walk_fail(w, GV_ERR_LIMIT, "'key' is too long");
	memcpy(r->key, w->base + off, n);
	r->key[n] = '\0';
	if (strlen(r->key) != n)
		return gv_walk_fail(w, GV_ERR_FORMAT, "'key' holds a NUL");
	return true;
}

/* The known keys of a record by number: n, key, the fields, pad, crc. */
static const char *
known_key(const struct gv_reader *r, size_t i)
{
	size_t nf = r->schema.nfields;

	return i == 0        ? "n"
	       : i == 1      ? "key"
	       : i < nf + 2  ? r->schema.fields[i - 2].name
	       : i == nf + 2 ? "pad"
			     : "crc";
}

static bool
same(const struct gv_walk *w, size_t off, size_t n, const char *s)
{
	return strlen(s) == n && !memcmp(w->base + off, s, n);
}

static bool
walk_known(struct gv_reader *r, size_t i, size_t key_at, bool check)
{
	struct gv_walk *w = &r->w;
	size_t nf = r->schema.nfields;
	uint64_t u;

	if (i == 0) {
		if (!gv_walk_uint(w, &u, "'n' is not a number"))
			return false;
		if (u != r->seg_recs)
			return gv_walk_fail(
			    w, GV_ERR_FORMAT, "'n' is out of sequence");
		return true;
	}
	if (i == 1)
		return walk_key(r);
	if (i < nf + 2)
		return walk_value(r, i - 2);
	if (i == nf + 2) {
		/* gv_walk_pad reads the key as well */
		w->at = key_at;
		return gv_walk_pad(w, false);
	}
	return walk_crc(w, key_at, check);
}

/* Dimensions of one name have one size. */
static bool
dims_agree(struct gv_reader *r)
{
	size_t i, j;
	int a;

	for (i = 0; i < r->ndims; i++)
		r->dim_size[i] = -1;
	for (i = 0; i < r->schema.nfields; i++)
		for (a = 0; a < r->schema.fields[i].rank; a++) {
			int64_t have = r->v[i].t.shape[a];

			if (r->schema.fields[i].shape[a] != GV_ANY)
				continue;
			j = r->dim_slot[i * GV_MAX_RANK + (size_t)a];
			if (r->dim_size[j] >= 0 && r->dim_size[j] != have) {
				r->field = r->schema.fields[i].name;
				return gv_walk_fail(&r->w, GV_ERR_FORMAT,
				    "two sizes of one named dimension");
			}
			r->dim_size[j] = have;
		}
	return true;
}

static bool
walk_rec(struct gv_reader *r, uint64_t pairs, bool check)
{
	struct gv_walk *w = &r->w;
	size_t total = r->schema.nfields + 4, next = 0, off, n, i, at;

	for (pairs--; pairs; pairs--) {
		at = w->at;
		if (!gv_walk_text(w, &off, &n))
			return false;
		if (next < total && same(w, off, n, known_key(r, next))) {
			if (!walk_known(r, next++, at, check))
				return false;
			continue;
		}
		for (i = 0; i < total; i++)
			if (same(w, off, n, known_key(r, i))) {
				r->field = known_key(r, i);
				w->at = at;
				return gv_walk_fail(
				    w, GV_ERR_FORMAT, "out of order or twice");
			}
		if (next == total)
			break;
		if (!gv_walk_skip(w, GV_MAX_DEPTH - 1, true))
			return false;
	}
	if (pairs)
		return gv_walk_fail(
		    w, GV_ERR_FORMAT, "'crc' is not the last key");
	if (next < total) {
		r->field = known_key(r, next);
		return gv_walk_fail(w, GV_ERR_FORMAT, "missing");
	}
	return dims_agree(r);
}

/* ---- the sequence -------------------------------------------------------- */

/* Reads the next object; it may be over after it. */
static int
step(struct gv_reader *r, bool check)
{
	uint64_t pairs = 0;

	advance(r);
	r->what = NOTHING;
	if (at_end(r)) {
		if (r->between && r->have_schema) {
			r->finished = true;
			return 0;
		}
		return broken(r, GV_ERR_CUT,
		    r->have_schema ? "it ends without END" : "it is empty");
	}
	if (!walk_start(r, &pairs))
		return broken_walk(r);
	if ((r->what == HEAD) != r->between)
		return broken(r, GV_ERR_FORMAT,
		    r->between ? "no HEAD before it" : "a HEAD before END");
	if (r->what == HEAD) {
		if (read_head(r, pairs))
			return r->error.code;
	} else if (!(r->what == END ? walk_end(r, pairs)
				    : walk_rec(r, pairs, check))) {
		return broken_walk(r);
	}
	r->done = r->w.at;
	return 0;
}

static void
hand_out(struct gv_reader *r, uint64_t n, struct gv_rec *rec)
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
static int
next_rec(struct gv_reader *r, bool check)
{
	if (r->error.code)
		return r->error.code;
	while (!r->finished) {
		if (step(r, check))
			return r->error.code;
		if (r->what == REC) {
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
	int code = next_rec(r, true);

	if (code < 0)
		return report(r, e);
	if (code)
		hand_out(r, r->recs - 1, rec);
	return code;
}

int
gv_reader_skip(struct gv_reader *r, uint64_t records, struct gv_error *e)
{
	uint64_t i;

	for (i = 0; i < records; i++) {
		int code = next_rec(r, false);

		if (code < 0)
			return report(r, e);
		if (!code)
			return gv_fail(e, GV_ERR_MATCH,
			    "'%s' has %llu records, too few to skip %llu",
			    r->name, (unsigned long long)i,
			    (unsigned long long)records);
	}
	return 0;
}

/* ---- random access ------------------------------------------------------- */

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
	while ((code = next_rec(r, true)) > 0) {
		if (gv_grow(&p, &cap, (size_t)r->recs, sizeof *r->index)) {
			code = broken(r, GV_ERR_NOMEM, "no memory");
			break;
		}
		((uint64_t *)p)[r->recs - 1] = r->offset;
	}
	if (!code && !p && !(p = gv_alloc(1, 1)))
		code = broken(r, GV_ERR_NOMEM, "no memory");
	if (code) {
		gv_free(p);
		return report(r, e);
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
		return report(r, e);
	if (!r->index || i >= r->indexed)
		return gv_fail(e, GV_ERR_USAGE, "no record %llu in '%s'",
		    (unsigned long long)i, r->name);
	r->offset = r->index[i];
	r->done = 0;
	r->recs = i;
	advance(r);
	/* `n` is known only within a segment: believe what the index checked */
	if (walk_start(r, &pairs)) {
		at = w->at;
		if (number_after(w, "n", "no 'n'", &u))
			r->seg_recs = u;
		w->at = at;
	}
	if (w->code || r->what != REC || !walk_rec(r, pairs, false)) {
		if (!w->code)
			gv_walk_fail(w, GV_ERR_FORMAT, "it changed");
		broken_walk(r);
		return report(r, e);
	}
	hand_out(r, i, rec);
	go(r, was);
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
		report(r, e);
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
	else if (r->fd > STDERR_FILENO)
		close(r->fd);
	gv_schema_free(&r->schema);
	gv_free(r->name);
	gv_free(r->buf);
	gv_free(r->v);
	gv_free(r->v_at);
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
