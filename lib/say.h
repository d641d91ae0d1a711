/* Lines for the user, which the library hands to who called it: it prints
 * nothing itself.
 */
#ifndef GV_SAY_H
#define GV_SAY_H

#include "err.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Calls to(level, line) with a formatted line of at most 1023 bytes, without a
 * line feed.  Level 0 is for everybody, 1 and 2 for who asked to know more (-v,
 * -vv).  Where `to` is NULL nobody listens. */
void gv_say(void (*to)(int level, const char *line), int level, const char *fmt,
    ...) GV_PRINTF(3, 4);

#ifdef __cplusplus
}
#endif
#endif
