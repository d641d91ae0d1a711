/* Files of documents, rendered by several threads.
 *
 *	gv_tokens_open(&w, out, &how, form, e);
 *	gv_render_open(&f, &how, file, files, form, threads, w, out, e);
 *	while ((r = gv_render_next(f, &some, e)) > 0)
 *		... some->bad; gv_writer_join(w, some->part, e) ...
 *	gv_render_close(&f);
 *
 * What comes out does not depend on the number of threads.
 */
#ifndef GV_RENDER_FILES_H
#define GV_RENDER_FILES_H

#include "documents.h"
#include "err.h"
#include "render.h"
#include "stream.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct gv_render_files;

/* What some documents that follow each other became, in order.  A record
 * without "id" has the number of its line, counted over all files, as its
 * key. */
struct gv_render_some {
	struct gv_writer *part; /* of the stream: their records; or, ... */
	const struct gv_record *rec; /* ... without one, the records */
	size_t recs;
	uint64_t tokens; /* of them all */
	const struct gv_error *bad; /* why others can't be rendered, with ... */
	size_t bads; /* ... file and line */
	bool rests; /* these are all that the input gave so far: what is made
		     * of them should not be held back */
};

/* Renders the documents of files with `threads` threads (0: one a core):
 * lines, GV_DOCS_LINES, or for GV_RENDER_TEXT whole files, GV_DOCS_WHOLE.  With
 * `w`, a stream that gv_tokens_open() began for *how, the threads also get the
 * records ready.  With `out`, lines are waited for as long as somebody reads
 * that (gv_lines_watch).  *how, the names, w and out must stay. */
int gv_render_open(struct gv_render_files **f, const struct gv_render *how,
    const char *const *file, size_t files, enum gv_docs_form form,
    size_t threads, const struct gv_writer *w, const struct gv_out *out,
    struct gv_error *e) GV_USE_RESULT;

/* 1 and what comes next, valid until the next call; 0 at the end; an error
 * where reading fails. */
int gv_render_next(struct gv_render_files *f,
    const struct gv_render_some **some, struct gv_error *e) GV_USE_RESULT;
void gv_render_close(struct gv_render_files **f);

#ifdef __cplusplus
}
#endif
#endif
