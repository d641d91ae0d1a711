/* What gv-encode-vision makes of records: their images become features or
 * embeds of a model, all else is passed on.
 *
 *	gv_inputs_open(&in, path, n, &e);
 *	gv_encoding_open(&r, &in, &opts, &e)	all is checked, HEAD is written
 *	gv_encoding_run(r, &e)
 *	gv_encoding_close(&r)
 *
 * A thread reads ahead.  Neighbouring records that show the same images share
 * what becomes of them.
 */
#ifndef GV_ENCODING_H
#define GV_ENCODING_H

#include "inputs.h"

#ifdef __cplusplus
extern "C" {
#endif

struct gv_encoding_opts {
	const char *model; /* its directory */
	const char *device;
	int64_t threads;
	const char *output; /* NULL: standard output */
	bool force;
	bool full; /* on to embeds (N,R,C); else the tower's features (N,P,C) */
	enum gv_dtype dtype; /* of these: GV_F32 or GV_BF16 */
	int64_t batch; /* images in a pass; 0: as the device likes it */
	/* Lines for the user (say.h), and how far it is; either may be NULL. */
	void (*say)(int level, const char *line);
	void (*progress)(uint64_t records, uint64_t images);
};

struct gv_encoding;

/* Both must outlive it, and nobody else reads `in`.  GV_ERR_MATCH for a model
 * without the parts, and a stream of other pixels.  A failure leaves no
 * output. */
int gv_encoding_open(struct gv_encoding **r, struct gv_inputs *in,
    const struct gv_encoding_opts *o, struct gv_error *e) GV_USE_RESULT;

/* All records, to the END of the output, which is complete then. */
int gv_encoding_run(struct gv_encoding *r, struct gv_error *e) GV_USE_RESULT;

/* After an error of gv_encoding_run() it may wait for the record that is being
 * read. */
void gv_encoding_close(struct gv_encoding **r); /* NULL is allowed */

#ifdef __cplusplus
}
#endif
#endif
