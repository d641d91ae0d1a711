/* Documents from files, some at a time, for threads to work on.
 *
 * Several forms of files hold documents: text with one on each line, JSON
 * lines, files that are one each, and running text, of which only pieces are
 * wanted.  Names that end in ".jsonl" are of JSON lines wherever lines or
 * running text are read; "-" is the standard input.
 */
#ifndef GV_DOCUMENTS_H
#define GV_DOCUMENTS_H

#include "err.h"
#include "io.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum gv_docs_form {
	GV_DOCS_LINES, /* each line, of at most 64 MiB; blank ones are none */
	GV_DOCS_JSON, /* the same, all files being JSON lines */
	GV_DOCS_WHOLE, /* each file, of at most 1 GiB */

	/* Files of any size in blocks of at most 1 MiB.  A block ends before a
	 * letter or digit of ASCII that begins a line whose predecessor ends in
	 * a visible character of ASCII, or else between two words of ASCII,
	 * before the blank: no piece of the split patterns that split.h names
	 * spans these, and what is on one side of them is cut the same whatever
	 * is on the other.  Where there is no such place in a block, after a
	 * character. */
	GV_DOCS_BLOCKS
};

#define GV_DOCS_BATCH 1024 /* documents of a batch, at most */

/* What is worked on at a time, all of one file.  Zero it first. */
struct gv_docs_batch {
	const char *file;
	bool json; /* the documents are lines that should be JSON objects */
	bool lines; /* ... are lines of any kind */
	bool rests; /* the input had no more to give, for now */
	char *text;
	size_t n, cap, docs;
	struct gv_doc {
		size_t at, n; /* in text */
		uint64_t number; /* of the line in its file, from 1 */
		uint64_t running; /* and counted over all files */
	} doc[GV_DOCS_BATCH];
};
void gv_docs_free(struct gv_docs_batch *b);

struct gv_docs;

/* `file` must stay. */
int gv_docs_open(struct gv_docs **d, const char *const *file, size_t files,
    enum gv_docs_form form, struct gv_error *e) GV_USE_RESULT;
void gv_docs_close(struct gv_docs **d);

/* Before the first gv_docs_next(): lines are waited for as gv_lines_watch() has
 * it. */
void gv_docs_watch(struct gv_docs *d, const struct gv_out *o);

/* 1 and at least one document, in *b whose memory is used again; 0 at the end;
 * or an error, after all documents before it. */
int gv_docs_next(struct gv_docs *d, struct gv_docs_batch *b,
    struct gv_error *e) GV_USE_RESULT;

/* What is done with n bytes of a document, a line of JSON if `json`. */
typedef int (*gv_docs_work)(
    void *ctx, const char *s, size_t n, bool json, struct gv_error *e);

/* Does it with each document of a batch until one fails, whose file and line
 * are then put in front of the message. */
int gv_docs_each(const struct gv_docs_batch *b, gv_docs_work work, void *ctx,
    struct gv_error *e) GV_USE_RESULT;

/* Parses a document that is a line of JSON; *o, an object, is the caller's. */
int gv_docs_parse(
    json_t **o, const char *s, size_t n, struct gv_error *e) GV_USE_RESULT;

/* Puts the document's file and line in front of a message; returns the error's
 * code. */
int gv_docs_in(const struct gv_docs_batch *b, const struct gv_doc *doc,
    struct gv_error *e);

/* The same of an input of another kind, "-" being the standard one. */
int gv_docs_in_file(struct gv_error *e, const char *file);

#ifdef __cplusplus
}
#endif
#endif
