/* What is looked for in the text of a sample while it grows: the strings that
 * end it, and calls of a tool.
 *
 * The text of a sample is the bytes of its tokens, end to end, special ones
 * spelled out.  A stop string is found wherever it stands in what the model
 * wrote, also across tokens, and inside a call; but not across text that was
 * forced.  Of several that one token completes, the one that begins first
 * counts, and the longer of two that begin together.
 *
 * A call stands between two marks.  A mark that is an added token of the
 * vocabulary (<|python_start|>) is that token alone, never its spelling in
 * other tokens; any other mark is found in the text like a stop string.
 *
 *	gv_watch_open(&w, t, &law, e);
 *	struct gv_watched s = {0};		... a sample
 *	gv_watch_add(w, &s, id, e)		for each token that is drawn
 *	gv_watch_force(w, &s, id, n, e)		for those that are forced
 *	gv_watched_free(&s);
 */
#ifndef GV_WATCH_H
#define GV_WATCH_H

#include "err.h"
#include "token.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What to look for; copied. */
struct gv_watch_law {
	const char *const *stop; /* (stops) none of them empty */
	size_t stops;
	const char *start, *end; /* marks of a call; NULL: no calls */
};

struct gv_watch;

/* `t` must outlive it. */
int gv_watch_open(struct gv_watch **w, const struct gv_tokenizer *t,
    const struct gv_watch_law *law, struct gv_error *e) GV_USE_RESULT;
void gv_watch_close(struct gv_watch **w); /* NULL is allowed */

/* True for a mark of a call that is one token: it must be possible to draw
 * it. */
bool gv_watch_is_mark(const struct gv_watch *w, int32_t id);

/* One sample.  Zero it first. */
struct gv_watched {
	char *s; /* (n) the text so far */
	size_t n, cap;
	size_t from; /* nothing is looked for in what is before */
	size_t call, call_end; /* where a call's text begins, and ended */
	size_t stop; /* where the stop string begins */
	bool calling; /* a call has begun */
};

enum gv_watch_event {
	GV_WATCH_NONE,
	GV_WATCH_STOP, /* the text ends where a stop string began */
	GV_WATCH_CALL /* s[call..call_end) is the text of a call */
};

/* Takes a token that was drawn: an event, or a negative error.  One that both
 * stops and ends a call stops. */
int gv_watch_add(const struct gv_watch *w, struct gv_watched *s, int32_t id,
    struct gv_error *e) GV_USE_RESULT;

/* Takes tokens that were forced. */
int gv_watch_force(const struct gv_watch *w, struct gv_watched *s,
    const int32_t *id, size_t n, struct gv_error *e) GV_USE_RESULT;

/* How many bytes of the text will be in it whatever comes: those behind may be
 * the beginning of a stop string. */
size_t gv_watch_sure(const struct gv_watch *w, const struct gv_watched *s);

void gv_watched_free(struct gv_watched *s);

#ifdef __cplusplus
}
#endif
#endif
