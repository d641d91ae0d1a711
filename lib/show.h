/* What gv-model says, as text for people.  All functions write to `f`; who
 * calls checks the stream.
 */
#ifndef GV_SHOW_H
#define GV_SHOW_H

#include "config.h"

#include <jansson.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The facts that tell a model from another. */
void gv_show_facts(FILE *f, const struct gv_config *c);

/* Of a report of gv_inspect(): its tensors, layers taken together; what memory
 * it takes; its parts and their digests. */
void gv_show_tree(FILE *f, const json_t *report);
void gv_show_memory(FILE *f, const json_t *report);
void gv_show_parts(FILE *f, const json_t *report);

/* Every tensor of the report's "list"; of those of gv_items_report() also
 * which are fresh. */
void gv_show_tensors(FILE *f, const json_t *report);

/* Where the parts of gv_join()'s report are from. */
void gv_show_join(FILE *f, const json_t *report);

#ifdef __cplusplus
}
#endif
#endif
