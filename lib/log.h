/* A log of JSON lines that survives a crash: one write(2) a line, appended. */
#ifndef GV_LOG_H
#define GV_LOG_H

#include "err.h"

#include <jansson.h>

#ifdef __cplusplus
extern "C" {
#endif

struct gv_log;

/* Opens `path` for appending, or creates it.  A resumed run continues its
 * file. */
int gv_log_open(struct gv_log **l, const char *path, struct gv_error *e)
    GV_USE_RESULT;

/* Writes `o` (an object) as one line.  `o` stays the caller's.  A NULL log is
 * allowed and does nothing. */
int gv_log_line(struct gv_log *l, const json_t *o, struct gv_error *e)
    GV_USE_RESULT;

/* Closes and reports what close(2) says. */
int gv_log_close(struct gv_log **l, struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
