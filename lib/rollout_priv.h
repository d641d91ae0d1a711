/* Inside gv_rollout: what its two halves, sampling and reading, share. */
#ifndef GV_ROLLOUT_PRIV_H
#define GV_ROLLOUT_PRIV_H

#include "prompts.h"
#include "prov.h"
#include "publish.h"
#include "rollout.h"

struct gv_rollout {
	struct gv_rollout_opts o;
	struct gv_inputs *in;
	struct gv_prompt_fields fields;
	struct gvk *k;
	struct gv_model *m;
	struct gv_tokenizer *t;
	struct gv_tool *tool;
	struct gv_gen *g;
	struct gv_out *out;
	struct gv_writer *w;
	bool keep[GV_MAX_FIELDS]; /* fields of the input that are passed on */
	uint64_t bad, tokens;
	double start; /* seconds of the clock */
	/* of a trainer that is followed */
	struct gv_follow *follow;
	int64_t version; /* of the weights in use */
	uint64_t fed, next; /* prompts that samples were drawn for; the first
	                     * that counts */
	bool ended; /* the input has */
};

/* Whether records are looked at as they are, and nothing is drawn. */
bool gv_rollout_reads(const struct gv_rollout *r);

/* A bad record: 0 if it may pass (it is counted and named), else its error. */
int gv_rollout_bad(
    struct gv_rollout *r, uint64_t n, struct gv_error *e) GV_USE_RESULT;

/* Writes what is passed on of a record. */
int gv_rollout_put_kept(struct gv_rollout *r, const struct gv_kept *k,
    struct gv_error *e) GV_USE_RESULT;

/* rollout_head.c: opens the output and writes its HEAD; chooses what is passed
 * on. */
int gv_rollout_begin(struct gv_rollout *r, const struct gv_facts *f,
    struct gv_error *e) GV_USE_RESULT;

/* rollout_sample.c: the fields of a sample besides those of its prompt, and all
 * of the sampling. */
struct gv_rollout_field {
	const char *name, *spec, *unit;
};
const struct gv_rollout_field *gv_rollout_fields(size_t *n);
int gv_rollout_sample(struct gv_rollout *r, struct gv_error *e) GV_USE_RESULT;

/* rollout_follow.c: the model of a trainer, opened before the first sample and
 * kept up with. */
int gv_rollout_open_followed(
    struct gv_rollout *r, unsigned parts, struct gv_error *e) GV_USE_RESULT;
int gv_rollout_follow(struct gv_rollout *r, const struct gv_gen_work *work,
    struct gv_error *e) GV_USE_RESULT;

/* rollout_read.c: scores and logits. */
int gv_rollout_read(struct gv_rollout *r, struct gv_error *e) GV_USE_RESULT;

#endif
