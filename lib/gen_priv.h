/* Inside the generator: the life of a prompt and of its samples.
 *
 *	submitted		queued, in order of submission
 *	  | gv_gen_admit	rows of the cache, images encoded
 *	prefilled		first token of every sample drawn
 *	  |			samples wait until a row of the batch is free
 *	decoding		one token a pass
 *	  |			the last sample has ended: rows given back
 *	done			waits to be the oldest, is taken
 *
 * Where the tokens of a prompt of n tokens have their keys and values:
 *	one sample	[prefix: up to the last image's end, shared by
 *			consecutive prompts][own: the rest, then what is drawn]
 *	a group		[prefix: the prompt][own of sample 0], [... 1], ...
 */
#ifndef GV_GEN_PRIV_H
#define GV_GEN_PRIV_H

#include "draw.h"
#include "gen.h"
#include "rows.h"
#include "visual.h"
#include "watch.h"

/* Rows of the cache that several sequences see.  Counted references. */
struct prefix {
	int32_t at, n;
	int refs;
	bool fresh; /* must be computed in this pass */
	struct gv_visual *visual; /* what its image rows came from */
	int32_t *token; /* (n) */
};

struct prompt;

struct sample {
	struct prompt *prompt;
	struct gv_gen_sample out; /* token and logp are the arrays below */
	int32_t *token;
	float *logp;
	uint8_t *mask;
	size_t cap_token, cap_logp, cap_mask;
	struct gv_watched text; /* until the sample ends, then: */
	char *clean;
	size_t told; /* bytes of it that on_text() has had */
	uint32_t calls; /* of the tool */
	uint64_t seed;
	int32_t own_at, own_n; /* rows of its own; own_n 0: none yet */
	int32_t own_used; /* of these, filled, or about to be by a pass that is
	                   * under way */
	struct sample *next; /* among those that wait for a row */
};

struct prompt {
	struct prompt *next;
	uint64_t number;
	uint32_t first; /* number of its first sample */
	void *user;
	int32_t *token, *image_at;
	size_t n, images;
	int32_t max_new; /* tokens that a sample may have */
	int32_t suffix; /* tokens after the prefix: one sample only */
	struct gv_visual *visual;
	struct prefix *prefix;
	struct sample *sample; /* (group) */
	struct gv_gen_sample *out; /* (group), for the result */
	int32_t left; /* samples that haven't ended */
};

/* What the model is reserved for; `longest` and `images` are of one prompt,
 * `most` tokens may a sample have. */
struct sizes {
	int64_t longest, images, most;
	int64_t tokens, seqs, outs, kv_rows;
};

/* The arrays of a batch, host memory. */
struct arrays {
	int32_t *id, *pos, *kv_row; /* (tokens) */
	int32_t *q_at; /* (seqs+1) */
	int32_t *p_at, *p_len, *k_at, *k_len; /* (seqs) */
	int32_t *out; /* (outs) */
	uint64_t *seed, *counter; /* (outs) */
	void *embeds; /* (images*R,C) in the storage type */
	struct sample **whose[GV_DRAW_DEPTH]; /* (outs) of each pass */
	void *all; /* the block they are in */
};

/* A pass under way: whose its draws are.  The first `had` hold rows of the
 * batch, the others have their first token drawn. */
struct pass {
	struct sample **whose; /* (M), NULL: ended by the draw before */
	int64_t M, had;
};

struct gv_gen {
	struct gv_model *m;
	struct gv_gen_law law;
	struct gv_gen_stats stats;
	int32_t stop[16];
	size_t nstop;
	uint8_t *banned; /* (V) */
	struct gv_watch *watch; /* NULL: ids are no text */
	struct gv_ids forced; /* what the tool said last */

	struct prompt *head, *tail; /* all prompts, oldest first */
	struct prompt *queue; /* the first that isn't admitted */
	struct prompt *taken; /* the last result */
	size_t prompts, queued;
	struct gv_visual *last; /* of the last submission */
	struct prefix *shared; /* of the last admission */
	struct sample **active; /* (rows) */
	int32_t nactive;
	struct sample *wait, **wait_end; /* with tokens, but no row yet */
	bool stuck; /* the queue's first can't be admitted before a sample
	             * ends */
	struct prompt **admitted; /* (outs) in this pass */
	size_t nadmitted;

	struct sizes size;
	bool reserved;
	struct gv_rows rows;
	struct arrays a;
	struct gv_batch b;
	struct gv_draw *draw;
	struct pass pass[GV_DRAW_DEPTH]; /* pass n is number n mod depth */
	uint64_t begun, ended; /* passes */
	bool ahead; /* passes are queued before the draws of the last are known:
	             * where that keeps a device busy */
};

/* What one pass takes in at least, if so much waits: a processor is busy with
 * little, and a GPU's products want thousands of rows. */
struct gv_gen_intake {
	int64_t images; /* encoded together */
	int64_t tokens; /* of prompts; or the longest prompt */
};
struct gv_gen_intake gv_gen_intake(const struct gv_gen *g);
int gv_gen_no_memory(struct gv_error *e);

/* gen_prompt.c */
void gv_gen_drop_prefix(struct gv_gen *g, struct prefix **p);
void gv_gen_free_prompt(struct gv_gen *g, struct prompt **p);

/* gen_admit.c: prompts of the queue into the next pass, as many as fit. */
int gv_gen_admit(struct gv_gen *g, struct gv_error *e) GV_USE_RESULT;

/* gen_sample.c: what becomes of a sample with a draw.  FORCED: it goes on with
 * more tokens than the draw.  With an error, none of them. */
enum gv_gen_next { GV_GEN_ENDS, GV_GEN_GOES_ON, GV_GEN_FORCED };
enum gv_gen_next gv_gen_draw(struct gv_gen *g, struct sample *s, int32_t id,
    float logp, struct gv_error *e);
void gv_gen_free_sample(struct sample *s);

/* Tokens that a sample, or all active ones, have and no pass has taken. */
int32_t gv_gen_owes(const struct sample *s);
int64_t gv_gen_due(const struct gv_gen *g);

/* gen_batch.c: memory for a size; and a pass over what is active and admitted,
 * or if one is under way, over those that it draws for, whose ids only the
 * device will know. */
int gv_gen_reserve(
    struct gv_gen *g, const struct sizes *s, struct gv_error *e) GV_USE_RESULT;
void gv_gen_release(struct gv_gen *g);
int gv_gen_pass(struct gv_gen *g, struct gv_error *e) GV_USE_RESULT;

#endif
