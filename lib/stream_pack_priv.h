/* The bytes of records, packed apart from their numbers.
 *
 * A record's own number `n` is known when it is written, maybe by another
 * thread than packed it.  All that depends on it is what stands in front of the
 * record's first pad, and that pad: behind it a record is the same wherever it
 * goes, since records begin at multiples of 64.  So a gap is left in front of
 * each record, into which its head moves when the number is there:
 *
 *	gap | key, fields ...               | payload, fields ..., pad | crc
 *	      map, n | key, fields ... | pad | payload, fields ..., pad | crc
 *
 * Not for anybody but the writer.
 */
#ifndef GV_STREAM_PACK_PRIV_H
#define GV_STREAM_PACK_PRIV_H

#include "pack.h"
#include "stream.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What was put for a field. */
struct gv_slot {
	struct gv_tensor t;
	size_t off, n; /* plain: its bytes in gv_packed.plain */
	bool put;
};

/* A record: places in gv_packed.bytes. */
struct gv_packed_rec {
	size_t head, body, end; /* `end`: where the pair `crc` goes */
	bool padded; /* in front of a payload; else there is none */
};

/* A payload that isn't in gv_packed.bytes, but belongs there at `at`. */
struct gv_payload {
	size_t at;
	const void *data;
	size_t bytes;
};

struct gv_packed {
	const struct gv_schema *schema; /* the caller's, as the slots are */
	struct gv_slot *slot; /* one a field */
	struct gv_pack plain; /* the plain values in the slots */
	struct gv_pack lead; /* what each record begins with, then each ... */
	size_t *lead_end; /* ... field: ends in it, [0] being the record's */
	struct gv_pack bytes; /* the records */
	struct gv_pack scratch; /* for what is moved into a gap */
	struct gv_packed_rec *rec;
	size_t n, cap;
	struct gv_payload *load; /* of the last record, one a field at most */
	size_t loads;
};

/* For records of a schema, which must stay. */
int gv_packed_open(struct gv_packed *m, const struct gv_schema *s,
    struct gv_error *e) GV_USE_RESULT;
void gv_packed_free(struct gv_packed *m);

/* Forgets all records. */
void gv_packed_empty(struct gv_packed *m);

/* Packs a record of what is in the slots, which has been checked.  `lone`: it
 * is written before another is added, and its large payloads, which stay until
 * then, are not copied. */
int gv_packed_add(struct gv_packed *m, const char *key, bool lone,
    struct gv_error *e) GV_USE_RESULT;

/* Gives record i its number and checksum, and writes it. */
int gv_packed_write(struct gv_packed *m, size_t i, uint64_t number,
    struct gv_out *o, struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
