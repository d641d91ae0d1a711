/* What vocabularies make of text: how many tokens, of what kind, and how much
 * of a vocabulary they use.
 *
 *	gv_token_stats_open(&s, model, models, file, files, form, threads, e);
 *	while ((got = gv_token_stats_next(s, &bytes, e)) > 0)
 *		;
 *	report = gv_token_stats_report(s, e);
 *	gv_token_stats_print(out, report, e);
 *	gv_token_stats_close(&s);
 */
#ifndef GV_TOKEN_STATS_H
#define GV_TOKEN_STATS_H

#include "documents.h"
#include "err.h"
#include "io.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct gv_token_stats;

/* Opens the vocabularies of one or more models (token.h), and files of
 * documents in the form of lines, JSON lines or whole files: text as
 * gv-tokenize --text takes it.  Works with `threads` threads, 0: one a core. */
int gv_token_stats_open(struct gv_token_stats **s, const char *const *model,
    size_t models, const char *const *file, size_t files,
    enum gv_docs_form form, size_t threads, struct gv_error *e) GV_USE_RESULT;
void gv_token_stats_close(struct gv_token_stats **s);

/* Encodes some more documents with each vocabulary: 1, or 0 at the end, or the
 * error of the first bad document.  *bytes of text are added to. */
int gv_token_stats_next(struct gv_token_stats *s, uint64_t *bytes,
    struct gv_error *e) GV_USE_RESULT;

/* What was found, in JSON, the caller's:
 *
 *	documents, bytes	of the text
 *	vocabularies		a list, an object for each model, of
 *	  model			its name
 *	  size			ids that text can be made of: special tokens
 *				aren't counted
 *	  used			how many of them occur
 *	  tokens		of the text
 *	  bytes_per_token	bytes / tokens
 *	  document		tokens of a document: mean, and the quantiles
 *				min, p5, p25, p50, p75, p95, p99, max (the
 *				smallest value that such a share doesn't exceed)
 *	  single		tokens of one byte
 *	  kinds			by kind of token the tokens of the text, the
 *				bytes in them and the ids used: "letters",
 *				"numbers", "blanks", "other" (characters), with
 *				or without a blank in front; "mixed"; and
 *				"broken", parts of characters
 *	  longest		the longest tokens that occur, a list of id,
 *				bytes, text and count
 *
 * Numbers are counts, but for bytes_per_token and the mean, which are null
 * where there is nothing to divide by.  NULL without memory. */
json_t *gv_token_stats_report(struct gv_token_stats *s, struct gv_error *e);

/* Writes a report as a table to read, a column a vocabulary. */
int gv_token_stats_print(
    struct gv_out *o, const json_t *report, struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
