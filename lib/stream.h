/* Streams: the typed, checked records that programs pass to each other.
 * The format is specified in gv-stream(5); this is its reader and writer.
 *
 * A stream is HEAD REC... END, and streams may follow each other.  The reader
 * gives record after record as if of one stream; it fails on a cut, a wrong
 * checksum, count, type or shape, and on a second HEAD whose kind, fields or
 * digests differ from the first.  A reader that has seen gv_reader_next()
 * return 0 has seen a complete, valid stream.
 */
#ifndef GV_STREAM_H
#define GV_STREAM_H

#include "err.h"
#include "io.h"
#include "tensor.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Limits of the format: exceeding one is an error. */
#define GV_MAX_FIELDS 248 /* a record has five keys of its own */
#define GV_MAX_KEYS   256 /* keys of a map, a record included */
#define GV_MAX_DEPTH  8 /* containers in each other */
#define GV_MAX_KEY    256 /* bytes of a key or field name */
#define GV_MAX_RECORD ((size_t)1 << 30) /* bytes of a record */

/* ---- schema -------------------------------------------------------------- */

/* What a field of every record is.  A dimension is a size, or GV_ANY under a
 * name: dimensions of one name have one size within a record. */
#define GV_ANY ((int64_t)-1)
struct gv_field {
	char name[64];
	enum gv_dtype dtype; /* GV_NONE: plain data (number, text, list, map) */
	int rank;
	int64_t shape[GV_MAX_RANK];
	char dim[GV_MAX_RANK][8]; /* name of a GV_ANY dimension, "T" */
	char unit[16]; /* "px", "nat", "" */
};

/* Who made a stream, in order; each program appends itself. */
struct gv_prog {
	char *name, *ver;
	json_t *args; /* list of strings: the arguments that matter */
	json_t *digests; /* map name -> hex digest of what was used */
};

struct gv_schema {
	char kind[32]; /* "image", "tokens", "features", "samples", ... */
	size_t nfields;
	struct gv_field *fields;
	size_t nprogs;
	struct gv_prog *progs;
};

/* An empty schema of a kind.  gv_schema_free() frees what it owns. */
int gv_schema_init(
    struct gv_schema *s, const char *kind, struct gv_error *e) GV_USE_RESULT;
void gv_schema_free(struct gv_schema *s);
int gv_schema_copy(struct gv_schema *dst, const struct gv_schema *src,
    struct gv_error *e) GV_USE_RESULT;

/* Appends a field.  `spec` is a dtype and shape such as "I32 (T)",
 * "U8 (N,64,64,3)", "F32 ()" (a tensor of rank 0), or "plain".  A second field
 * of a name is GV_ERR_MATCH. */
int gv_schema_field(struct gv_schema *s, const char *name, const char *spec,
    const char *unit, struct gv_error *e) GV_USE_RESULT;

/* Appends a field as it is in another stream. */
int gv_schema_add_field(struct gv_schema *s, const struct gv_field *f,
    struct gv_error *e) GV_USE_RESULT;

/* The field of that name, or NULL. */
const struct gv_field *gv_schema_find(
    const struct gv_schema *s, const char *name);

/* Appends a program to the provenance chain.  args and digests may be NULL;
 * the references are taken over (stolen), also on failure. */
int gv_schema_prog(struct gv_schema *s, const char *name, json_t *args,
    json_t *digests, struct gv_error *e) GV_USE_RESULT;

/* The digest under `key` that the last program naming it recorded, or NULL. */
const char *gv_schema_digest(const struct gv_schema *s, const char *key);

/* GV_ERR_MATCH, naming what differs, unless kinds and fields are the same. */
int gv_schema_same(const struct gv_schema *a, const struct gv_schema *b,
    struct gv_error *e) GV_USE_RESULT;

/* GV_ERR_MATCH, naming the digest, unless every digest that both chains
 * recorded is the same: rows of two encoders must not meet in one stream. */
int gv_schema_agree(const struct gv_schema *a, const struct gv_schema *b,
    struct gv_error *e) GV_USE_RESULT;

/* Appends to the chain of dst the programs of src that it doesn't hold yet:
 * for a program that joins streams. */
int gv_schema_merge_progs(struct gv_schema *dst, const struct gv_schema *src,
    struct gv_error *e) GV_USE_RESULT;

/* ---- records ------------------------------------------------------------- */

/* The value of a field: a tensor, or plain data kept as its msgpack bytes. */
struct gv_value {
	bool present;
	struct gv_tensor t; /* when the field is a tensor */
	const uint8_t *plain; /* else one msgpack object ... */
	size_t plain_bytes; /* ... of this many bytes */
};

/* A record as read.  Everything points into the reader's memory and is valid
 * until the next gv_reader_next().  Tensor payloads are 64-byte aligned. */
struct gv_rec {
	uint64_t n; /* running number in the whole input, from 0 */
	const char *key; /* NUL-terminated; may be "" */
	struct gv_value *v; /* in the order of the schema's fields */
};

/* Plain values as C types.  0, or GV_ERR_FORMAT if the value has another
 * type.  gv_value_text gives a span into the record (not NUL-terminated).
 * gv_value_json makes a new reference (binary data is an error). */
int gv_value_int(const struct gv_value *v, int64_t *out);
int gv_value_f64(const struct gv_value *v, double *out); /* int or float */
int gv_value_text(const struct gv_value *v, const char **s, size_t *n);
int gv_value_json(const struct gv_value *v, json_t **out);

/* ---- reading ------------------------------------------------------------- */

struct gv_reader;

/* Opens a file or, for NULL or "-", standard input.  A regular file is mapped:
 * nothing is copied.  The HEAD is read and checked before the call returns.
 * `name` in messages is the path or "standard input". */
int gv_reader_open(
    struct gv_reader **r, const char *path, struct gv_error *e) GV_USE_RESULT;

/* The schema of the (first) HEAD; provenance of later HEADs is not merged. */
const struct gv_schema *gv_reader_schema(const struct gv_reader *r);

/* 1: a record; 0: the input ended where it should; negative: an error, sticky,
 * with file, record, field and byte offset in the message. */
int gv_reader_next(
    struct gv_reader *r, struct gv_rec *rec, struct gv_error *e) GV_USE_RESULT;

/* Before the reader waits for more of a pipe it writes out what `o` has, so
 * that a filter's output is not held back while its input rests; and it waits
 * no longer than somebody reads `o`, else fails with GV_ERR_PIPE.  The reader
 * is to be closed before `o`.  NULL unties. */
void gv_reader_tie(struct gv_reader *r, struct gv_out *o);

/* The same without writing anything out: for a reader in a thread that doesn't
 * write `o`. */
void gv_reader_watch(struct gv_reader *r, const struct gv_out *o);

/* As gv_reader_next, without checking payload CRC or handing out the record:
 * for resuming.  On a mapped file this is a jump a record. */
int gv_reader_skip(
    struct gv_reader *r, uint64_t records, struct gv_error *e) GV_USE_RESULT;

/* Random access, for gv-shuf: only mapped inputs (else GV_ERR_NOSUP).
 * gv_reader_index() checks all records once and counts them; then
 * gv_reader_at() gives record i, valid until the next gv_reader_at() or
 * gv_reader_next().  Neither moves the place of gv_reader_next(). */
bool gv_reader_mapped(const struct gv_reader *r);
int gv_reader_index(
    struct gv_reader *r, uint64_t *count, struct gv_error *e) GV_USE_RESULT;
int gv_reader_at(struct gv_reader *r, uint64_t i, struct gv_rec *rec,
    struct gv_error *e) GV_USE_RESULT;

/* Makes random access possible on a pipe of which nothing but the HEAD has been
 * read: copies its bytes, to its end, into a nameless file in TMPDIR (/tmp)
 * and maps that.  A mapped input is left alone. */
int gv_reader_spool(struct gv_reader *r, struct gv_error *e) GV_USE_RESULT;

/* Records that earlier programs let pass as bad, summed over the ENDs seen. */
uint64_t gv_reader_bad(const struct gv_reader *r);
const char *gv_reader_name(const struct gv_reader *r);
uint64_t gv_reader_offset(const struct gv_reader *r); /* bytes consumed */
void gv_reader_close(struct gv_reader **r);

/* GV_ERR_MATCH with a line that says what is missing unless the reader's
 * stream has a field `name` that fits `spec` (as in gv_schema_field; named
 * dimensions fit anything, and "BF16|F32 (N,D)" allows two dtypes).  *i is the
 * field's index in gv_rec.v. */
int gv_reader_need(const struct gv_reader *r, const char *name,
    const char *spec, size_t *i, struct gv_error *e) GV_USE_RESULT;

/* Index of a field, or -1: for optional ones. */
int gv_reader_has(const struct gv_reader *r, const char *name);

/* ---- writing ------------------------------------------------------------- */

struct gv_writer;

/* Starts a stream: writes the HEAD.  The schema is copied.  The writer uses
 * `o`, which stays the caller's to commit or abort. */
int gv_writer_open(struct gv_writer **w, struct gv_out *o,
    const struct gv_schema *s, struct gv_error *e) GV_USE_RESULT;

/* A record is begun, its fields are put in any order, and it is ended.  All
 * fields of the schema must have been put; dtype, rank and dimensions are
 * checked against it.  Tensor data must stay valid until gv_writer_end_rec,
 * which writes large ones without a copy in between. */
int gv_writer_begin(
    struct gv_writer *w, const char *key, struct gv_error *e) GV_USE_RESULT;
int gv_writer_tensor(struct gv_writer *w, const char *field, int rank,
    const int64_t *shape, const void *data, struct gv_error *e) GV_USE_RESULT;
int gv_writer_int(struct gv_writer *w, const char *field, int64_t v,
    struct gv_error *e) GV_USE_RESULT;
int gv_writer_f64(struct gv_writer *w, const char *field, double v,
    struct gv_error *e) GV_USE_RESULT;
int gv_writer_text(struct gv_writer *w, const char *field, const char *s,
    size_t n, struct gv_error *e) GV_USE_RESULT;
int gv_writer_json(struct gv_writer *w, const char *field, const json_t *v,
    struct gv_error *e) GV_USE_RESULT;
/* Passes a value on as it was read. */
int gv_writer_value(struct gv_writer *w, const char *field,
    const struct gv_value *v, struct gv_error *e) GV_USE_RESULT;
int gv_writer_end_rec(struct gv_writer *w, struct gv_error *e) GV_USE_RESULT;

/* Drops the record that was begun: nothing of it has been written. */
void gv_writer_drop(struct gv_writer *w);

/* Writes a whole record as read (any keys of the schema, same order). */
int gv_writer_rec(struct gv_writer *w, const struct gv_rec *rec,
    struct gv_error *e) GV_USE_RESULT;

/* ---- parts --------------------------------------------------------------- */

/* A part of a stream that is being written: records that another thread gets
 * ready, in memory, so that the one that writes the stream has little to do.
 *
 *	gv_writer_part(&part, w, e);		once, for each thread or batch
 *	gv_writer_begin(part, key, e) ...	in that thread: as many records
 *	gv_writer_end_rec(part, e);		as it likes
 *	gv_writer_join(w, part, e);		in the thread that writes w
 *	gv_writer_abort(&part);
 *
 * Each function that puts a record works on a part as on a writer, and what
 * comes out has the same bytes.  Several threads may make parts, and use one
 * each, while w is written; w must stay. */
int gv_writer_part(struct gv_writer **part, const struct gv_writer *w,
    struct gv_error *e) GV_USE_RESULT;

/* Writes the records of a part of w and empties that, keeping its memory, also
 * on an error. */
int gv_writer_join(struct gv_writer *w, struct gv_writer *part,
    struct gv_error *e) GV_USE_RESULT;

/* ---- the end ------------------------------------------------------------- */

/* Writes END and frees the writer; the caller then commits the output.
 * `bad` is the number of records that --max-errors let pass. */
int gv_writer_close(
    struct gv_writer **w, uint64_t bad, struct gv_error *e) GV_USE_RESULT;

/* Frees the writer without END, so that what was written is seen to be cut. */
void gv_writer_abort(struct gv_writer **w);

#ifdef __cplusplus
}
#endif
#endif
