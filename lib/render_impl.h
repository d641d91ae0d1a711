/* What render.c and render_files.c share.  Not part of the interface. */
#ifndef GV_RENDER_IMPL_H
#define GV_RENDER_IMPL_H

#include "render.h"

/* Parses a line that is a JSON object; *o is the caller's. */
int gv_render_parse(
    json_t **o, const char *line, size_t n, struct gv_error *e) GV_USE_RESULT;

#endif
