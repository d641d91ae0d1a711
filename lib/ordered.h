/* Work on a sequence of items in several threads, with the results in order.
 *
 *	gv_ordered_open(&o, threads, sizeof (struct item), next, work, ctx, e);
 *	while ((r = gv_ordered_take(o, &p, e)) > 0)
 *		... p is the next item, worked on ...
 *	gv_ordered_close(&o);
 *
 * What comes out does not depend on the number of threads, as long as work()
 * looks at its own item only.  At most 4 items a thread are under way.
 */
#ifndef GV_ORDERED_H
#define GV_ORDERED_H

#include "err.h"

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Fills in the next item: 1, or 0 at the end, or an error.  Called by one
 * thread at a time, in order; may block without holding up finished items.
 * An item's memory is zeroed once and then used again and again, so buffers
 * in it can be kept. */
typedef int gv_ordered_next(void *ctx, void *item, struct gv_error *e);

/* Does the work.  Called by many threads at a time, each with an item of its
 * own; *ctx is shared.  A failure is kept in the item: whoever takes it
 * decides. */
typedef void gv_ordered_work(void *ctx, void *item);

/* Frees what an item holds, when all is done. */
typedef void gv_ordered_drop(void *item);

struct gv_ordered;

/* Starts `threads` threads (0: one a core that this process may use).  With
 * one thread everything happens within gv_ordered_take().  ctx stays the
 * caller's. */
int gv_ordered_open(struct gv_ordered **o, size_t threads, size_t item_bytes,
    gv_ordered_next *next, gv_ordered_work *work, gv_ordered_drop *drop,
    void *ctx, struct gv_error *e) GV_USE_RESULT;

/* 1 and the next item, valid until the next call; 0 after the last one; or the
 * error that next() gave, after all items before it. */
int gv_ordered_take(
    struct gv_ordered *o, void **item, struct gv_error *e) GV_USE_RESULT;

/* Stops the threads, after the items that they are busy with, and frees.  A
 * thread that is inside next() must return first: close the input's writer or
 * end the process instead. */
void gv_ordered_close(struct gv_ordered **o);

#ifdef __cplusplus
}
#endif
#endif
