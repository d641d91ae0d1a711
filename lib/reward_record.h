/* Records as what a reward judges, and judged ones: their fields by name.
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
#include "reward_tally.h"
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

/* ---- judged records in a tally ------------------------------------------- */

/* Fields to break it down by; zero it first. */
struct gv_reward_by {
	size_t n;
	struct {
		const char *field;
		int at;
	} by[GV_TALLY_BY];
};

/* Adds a field; the name must outlive it.  A field that isn't there is left
 * out, or GV_ERR_MATCH if it `must` be; too many are GV_ERR_LIMIT. */
int gv_reward_by(struct gv_reward_by *b, const struct gv_reader *in,
    const char *field, bool must, struct gv_error *e) GV_USE_RESULT;

/* Adds a record.  Those of one group have the same `group` and key.  A field
 * to break down by that is neither text nor a whole number is GV_ERR_FORMAT.
 */
int gv_reward_count(struct gv_tally *t, const struct gv_reward_by *b,
    const struct gv_reward_fields *f, const struct gv_rec *rec,
    const struct gv_reward *reward, const struct gv_verdict *v,
    struct gv_error *e) GV_USE_RESULT;

/* ---- judged records ------------------------------------------------------ */

/* Starts a stream of kind "rewards": the fields of `in` without `reward` and
 * `rewards`, then these; its provenance and gv-reward with args and digests,
 * whose references are taken over. */
int gv_rewards_begin(struct gv_writer **w, struct gv_out *o,
    const struct gv_schema *in, json_t *args, json_t *digests,
    struct gv_error *e) GV_USE_RESULT;

/* Writes a record of `in` with its verdict. */
int gv_rewards_put(struct gv_writer *w, const struct gv_schema *in,
    const struct gv_rec *rec, const struct gv_reward *reward,
    const struct gv_verdict *v, struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
