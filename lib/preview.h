/* Records and their values as text for people: on one line each, quoted, cut.
 */
#ifndef GV_PREVIEW_H
#define GV_PREVIEW_H

#include "io.h"
#include "stream.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A record, a line for its key and one for each field: plain values as JSON,
 * of tensors type, shape and the first eight numbers.  Plain values are cut
 * after 200 bytes, unless `whole`: after 1 MiB. */
int gv_preview_record(struct gv_out *o, const struct gv_schema *s,
    const struct gv_rec *rec, bool whole, struct gv_error *e) GV_USE_RESULT;

/* The value of a field, or NULL where stream or record has none. */
const struct gv_value *gv_preview_field(
    const struct gv_reader *r, const struct gv_rec *rec, const char *name);

/* A number that is plain, or the only element of a tensor; false if the value
 * is none, or NULL. */
bool gv_preview_number(const struct gv_value *v, double *out);

/* A plain value as text to read, of at most cap - 1 bytes: strings without
 * quotes, the text parts of a message, lists with commas; "" for NULL. */
void gv_preview_text(char *dst, size_t cap, const struct gv_value *v);

/* What a record asks: its `question`, or its last message of the user. */
void gv_preview_question(
    char *dst, size_t cap, const struct gv_reader *r, const struct gv_rec *rec);

#ifdef __cplusplus
}
#endif
#endif
