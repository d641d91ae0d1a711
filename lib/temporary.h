/* Room on disk for what doesn't fit into memory. */
#ifndef GV_TEMPORARY_H
#define GV_TEMPORARY_H

#include "err.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Opens a new file in TMPDIR (/tmp if not set) that nobody else sees and that
 * goes away with its descriptor.  Returns that, or a negative error. */
int gv_temporary(struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
