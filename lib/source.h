/* What to make records of pictures from: operands, lists of paths, JSON lines,
 * tar files and pictures end to end, as one sequence of records that are yet to
 * be decoded.
 *
 * A source reads lists and archives, and copies what a record needs out of
 * them; files that are only named stay closed.  So gv_source_next() is quick,
 * and what it fills in can be worked on in another thread.
 */
#ifndef GV_SOURCE_H
#define GV_SOURCE_H

#include "err.h"
#include "io.h"
#include "stream.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What operands are.  "-" is standard input: JSON lines by default.
 *
 *	named	by their names: NAME.jsonl are JSON lines, NAME.tar are tar
 *		files, all others pictures
 *	jsonl	JSON lines: a record a line
 *	paths	lists of paths, one a line: a record a picture
 *	paths0	the same, ended by NULs
 *	tar	tar files as WebDataset has them: members that stand together
 *		and have one name up to the first dot after the last slash are
 *		a record, and that name is its key
 *	frames	JPEGs and PNGs end to end: of every `every`-th picture, so many
 *		as `frames` says make a record (the last one may have fewer),
 *		whose key is the number of its first picture, from 0
 */
enum gv_source_form {
	GV_SOURCE_NAMED,
	GV_SOURCE_JSONL,
	GV_SOURCE_PATHS,
	GV_SOURCE_PATHS0,
	GV_SOURCE_TAR,
	GV_SOURCE_FRAMES
};

/* What a name says: jsonl, tar, or named for a picture; "-" is jsonl. */
enum gv_source_form gv_source_form(const char *operand);

struct gv_source_law {
	enum gv_source_form form;
	/* tar: the members that are pictures, by what follows the dot ("jpg");
	 * NULL: all whose names end as pictures' do, so that a WebP is refused
	 * later rather than passed over. */
	const char *field;
	/* tar: further members that are wanted ("txt"); where there are any,
	 * "json", too. */
	const char *const *keep;
	size_t nkeep;
	uint64_t every, frames; /* at least 1 */
};

/* A span of a record's bytes. */
struct gv_source_part {
	size_t at, n;
	char name[64]; /* tar: what follows the dot, in lower case; else "" */
	bool picture;
};

/* A record before its decoding.  Buffers are kept from one to the next. */
struct gv_source_rec {
	enum {
		GV_SOURCE_PATH, /* buf is a path, NUL-terminated */
		GV_SOURCE_LINE, /* buf is a JSON line, NUL-terminated */
		GV_SOURCE_PARTS /* buf holds files */
	} kind;
	char key[GV_MAX_KEY + 1]; /* of paths and parts */
	uint8_t *buf;
	size_t n, cap;
	struct gv_source_part *part;
	size_t parts, part_cap;
	const char *list; /* the operand it is out of, NULL if it is one */
	uint64_t line; /* its number there, from 1; 0 where there are none */
	bool rests; /* the list had no more to give, for now */
	struct gv_error error; /* nothing can be made of it, for this reason */
};
void gv_source_rec_free(struct gv_source_rec *r);

struct gv_source;

/* n operands, which the source keeps pointing to, as to what is in *law. */
int gv_source_open(struct gv_source **s, const struct gv_source_law *law,
    char *const *operand, int n, struct gv_error *e) GV_USE_RESULT;

/* Before the first record: the lines of lists are waited for as
 * gv_lines_watch() has it. */
void gv_source_watch(struct gv_source *s, const struct gv_out *o);

/* Fills in the next record: 1, 0 at the end, or an error that says where. */
int gv_source_next(struct gv_source *s, struct gv_source_rec *r,
    struct gv_error *e) GV_USE_RESULT;
void gv_source_close(struct gv_source **s);

#ifdef __cplusplus
}
#endif
#endif
