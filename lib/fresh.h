/* A model directory whose weights are random numbers, from a configuration and
 * a vocabulary.
 */
#ifndef GV_FRESH_H
#define GV_FRESH_H

#include "err.h"
#include "tensor.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct gv_fresh_law {
	const char *config; /* a preset's name, or a file like config.json */
	const char *tokenizer; /* directory; NULL: a tower alone */
	const char *tower; /* sizes of this one, see gv_config_tower(), or
	                    * NULL: the configuration's */
	const char *const *set; /* KEY=VALUE, see gv_config_set() */
	size_t nset;
	uint64_t seed;
	enum gv_dtype dtype; /* as gv_model_save() takes it */
};

/* Makes the directory `to` (gv_dir_begin()'s rules).  Weights depend on the
 * configuration and the seed alone.  A missing tokenizer, and what
 * gv_config_read(), _fit() and _set() call a user's mistake, is
 * GV_ERR_USAGE. */
int gv_fresh(const char *to, const struct gv_fresh_law *law,
    struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
