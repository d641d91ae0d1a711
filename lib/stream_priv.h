/* The inside of a reader of streams: what stream_read.c (the window and the
 * sequence), stream_walk.c and stream_rec.c (the objects) and stream_index.c
 * (random access) share.  Not for anybody else.
 */
#ifndef GV_STREAM_PRIV_H
#define GV_STREAM_PRIV_H

#include "pack.h"
#include "stream.h"
#include "walk.h"

#ifdef __cplusplus
extern "C" {
#endif

enum gv_object { GV_HEAD, GV_REC, GV_END, GV_NOTHING };

struct gv_reader {
	char *name;
	struct gv_map map; /* a file ... */
	bool mapped;
	int fd; /* ... or what read(2) gives: */
	uint8_t *buf; /* bytes [start, fill) are not consumed yet */
	size_t start, fill, cap;
	bool eof;
	struct gv_out *tied; /* written out before a wait */
	const struct gv_out *watched; /* no wait is longer than its reader is */

	struct gv_walk w; /* over the current object */
	uint64_t offset; /* of the current object in the input */
	size_t done; /* bytes of it that the next call steps over */
	enum gv_object what;
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
	struct gv_pack
	    lead; /* what tensors begin with: the one of field i ... */
	size_t *lead_end; /* ... from lead_end[i] to lead_end[i + 1] */
	size_t *dim_slot; /* (field, axis) -> named dimension */
	int64_t *dim_size; /* of each named dimension in this record */
	size_t ndims;

	uint64_t *index; /* offset of each record, or NULL */
	uint64_t indexed, indexed_bad;
};

/* Records in r->error why the input is broken, and where: object, record,
 * field, byte.  Returns the code. */
int gv_reader_broken(struct gv_reader *r, int code, const char *why);
int gv_reader_broken_walk(struct gv_reader *r); /* what r->w says */

/* Hands r->error on; returns its code. */
int gv_reader_report(const struct gv_reader *r, struct gv_error *e);

/* Puts r->w on the next object, r->done bytes on. */
void gv_reader_advance(struct gv_reader *r);

/* To the next record: 1, 0 at the end, or an error in r->error. */
int gv_reader_step(struct gv_reader *r, bool check);

/* Points the values of the record under r->w into the window. */
void gv_reader_hand_out(struct gv_reader *r, uint64_t n, struct gv_rec *rec);

/* Reads an object's map header and the pair `gv`: r->what. */
bool gv_reader_walk_start(struct gv_reader *r, uint64_t *pairs);

/* Reads the rest of an object.  `check`: the CRC of a record, too. */
int gv_reader_head(struct gv_reader *r, uint64_t pairs);
bool gv_reader_walk_end(struct gv_reader *r, uint64_t pairs);
bool gv_reader_walk_rec(struct gv_reader *r, uint64_t pairs, bool check);

/* Reads the value of an object's `crc`, which is that of its first `upto`
 * bytes, and that the object ends where one may end. */
bool gv_reader_walk_crc(struct gv_walk *w, size_t upto, bool check);

#ifdef __cplusplus
}
#endif
#endif
