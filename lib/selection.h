/* Which fields and records of a stream are meant: fields by their names,
 * records by their numbers and by their keys.
 *
 *	gv_selection_open(&s, &law, e);
 *	while (gv_inputs_next(&in, &rec, e) > 0 && !gv_selection_done(s, rec.n))
 *		if (gv_selection_takes(s, &rec))
 *			...
 *	gv_selection_check(s, e);
 */
#ifndef GV_SELECTION_H
#define GV_SELECTION_H

#include "err.h"
#include "sha.h"
#include "stream.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Sets named[i] for each field of the schema that the list, "tokens,targets",
 * names.  A name that it hasn't is GV_ERR_MATCH. */
int gv_fields_named(const struct gv_schema *s, const char *list, bool *named,
    struct gv_error *e) GV_USE_RESULT;

/* What is meant; the texts must outlive gv_selection_open() only. */
struct gv_selection_law {
	const char *records; /* "0-9,20,100-": ascending; NULL: any number */
	const char *const *key; /* nkeys of them, */
	size_t nkeys;
	const char *key_file; /* and those of a file's lines; NULL: none */
	bool except; /* the other records */
};

/* Nothing said means all records.  Numbers out of order or of no sense are
 * GV_ERR_USAGE; what is wrong with the file of keys is told by its line. */
struct gv_selection;
int gv_selection_open(struct gv_selection **s,
    const struct gv_selection_law *law, struct gv_error *e) GV_USE_RESULT;
void gv_selection_close(struct gv_selection **s);

/* Is the record meant: is its number one of those, and its key?  To be asked of
 * all records, in their order. */
bool gv_selection_takes(struct gv_selection *s, const struct gv_rec *rec);

/* No record from number n on can be meant. */
bool gv_selection_done(const struct gv_selection *s, uint64_t n);

/* GV_ERR_MATCH, naming it, if a key or a range of numbers has not been met
 * among the records asked about, unless `except`. */
int gv_selection_check(
    const struct gv_selection *s, struct gv_error *e) GV_USE_RESULT;

/* The digest of all keys in their order by bytes: for provenance. */
int gv_selection_digest(const struct gv_selection *s, char out[GV_DIGEST],
    struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
