/* What render.c, render_files.c, token_stream.c and token_learn.c share.
 * Not part of the interface. */
#ifndef GV_RENDER_IMPL_H
#define GV_RENDER_IMPL_H

#include "render.h"

/* Parses a line that is a JSON object; *o is the caller's. */
int gv_render_parse(
    json_t **o, const char *line, size_t n, struct gv_error *e) GV_USE_RESULT;

/* Puts the name of an input, "-" being the standard one, in front of a message;
 * returns the error's code. */
int gv_render_in_file(struct gv_error *e, const char *file);

/* Is a line nothing but blanks? */
bool gv_render_blank(const char *s, size_t n);

#endif
