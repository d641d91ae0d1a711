/* Records as what a reward judges: their fields by name.
 *
 *	text		plain text: what was sampled
 *	answers		plain: a text or a list of texts
 *	options		plain: a list of texts; null, or no such field, for
 *			open questions
 *	loss_mask	U8 (T): the answer is from its first 1 to its end
 *	task		plain text: a reward's description
 *	group		plain: whole number; samples of one prompt have one
 */
#ifndef GV_REWARD_RECORD_H
#define GV_REWARD_RECORD_H

#include "err.h"
#include "reward.h"
#include "stream.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Places of fields in a stream's records, -1 where it has none of the name. */
struct gv_reward_fields {
	const struct gv_schema *schema;
	int text, answers, options, loss_mask, task, group;
};

/* Fields of a wrong type are GV_ERR_MATCH. */
int gv_reward_fields(struct gv_reward_fields *f, const struct gv_reader *in,
    struct gv_error *e) GV_USE_RESULT;

/* A record in the form that is judged; zero it first.  It may be used for one
 * record after the other. */
struct gv_reward_record {
	struct gv_judged in; /* points into the record and the rest of this */
	json_t *answers, *options;
	struct gv_span *span[2];
	size_t cap[2];
	char *json;
};

/* Takes the text and what `needs` (GV_NEED_...) names from a record.
 * GV_ERR_FORMAT says which field isn't what it should be, GV_ERR_MATCH which
 * one no record has. */
int gv_reward_take(struct gv_reward_record *r, const struct gv_reward_fields *f,
    const struct gv_rec *rec, unsigned needs, struct gv_error *e) GV_USE_RESULT;

/* Takes nothing but answers and options. */
int gv_reward_answers(struct gv_reward_record *r,
    const struct gv_reward_fields *f, const struct gv_rec *rec,
    struct gv_error *e) GV_USE_RESULT;
void gv_reward_record_free(struct gv_reward_record *r);

/* Writes a plain text or whole number as text that fits a line; false if it is
 * something else. */
bool gv_reward_label(char *dst, size_t cap, const struct gv_value *v);

/* What names the group of a record: its key and group; false if it has none. */
bool gv_reward_group(char *dst, size_t cap, const struct gv_reward_fields *f,
    const struct gv_rec *rec);

#ifdef __cplusplus
}
#endif
#endif
