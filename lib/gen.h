/* Generation: prompts in, samples out, on any model and backend.
 *
 * A prompt is computed once, however many samples are drawn from it: its keys
 * and values stay in the cache as the prefix that its samples share.  Samples
 * of many prompts advance together, one token each a forward pass; as soon as
 * one ends, the next prompt takes its place (continuous batching), and is
 * prefilled in the same pass in which the others decode.  The first token of
 * every sample is drawn on its own from the prompt's last logits.
 *
 *	gv_gen_open(&g, m, t, &law, e);
 *	for (;;) {
 *		while (more prompts && gv_gen_room(g))
 *			gv_gen_submit(g, &prompt, e);
 *		if (!gv_gen_pending(g))
 *			break;
 *		gv_gen_step(g, e);
 *		while (gv_gen_take(g, &result))
 *			...
 *	}
 *
 * Images that consecutive prompts share (the same bytes) are encoded once.
 * With one sample a prompt, consecutive prompts whose tokens are the same up
 * to the end of their last image share that part's keys and values as well.
 *
 * Reproducibility.  The random numbers of a sample depend on (seed, number of
 * its prompt, number of the sample, position) alone: not on rows, order or
 * neighbours.  Its logits are the same up to the rounding of matrix products,
 * whose order of summation a backend may choose by the shape of a batch.  So
 * the ids are the same for any `rows`, except where a draw falls within that
 * rounding (relative 1e-6 where storage is F32, 1e-2 where it is BF16) of the
 * border between two ids; with equal options and input they are the same bits.
 */
#ifndef GV_GEN_H
#define GV_GEN_H

#include "err.h"
#include "model.h"
#include "tensor.h"
#include "token.h"
#include "tool.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How tokens are drawn: gvk_sample's law, and when a sample ends. */
struct gv_gen_law {
	float temperature; /* 0: the largest logit */
	float top_p; /* 1: all */
	int32_t top_k; /* 0: all */
	float min_p; /* 0: all */
	float repetition; /* penalty for prompt and sample so far; 0, 1: none */
	int32_t group; /* G samples a prompt, at least 1 */
	int64_t max_tokens; /* of a sample, at least 1 */
	int64_t rows; /* samples that decode together, at least 1 */
	uint64_t seed;
	/* Strings that end a sample (stops), and a tool that it may call, or
	 * NULL: see watch.h and tool.h.  They must outlive the generator. */
	const char *const *stop;
	size_t stops;
	struct gv_tool *tool;
	/* Called with each piece of text that is sure to be in a sample, as it
	 * comes: bytes, which may end within a character.  May be NULL. */
	void (*on_text)(void *arg, uint64_t prompt, uint32_t sample,
	    const char *s, size_t n);
	void *arg;
};

/* A prompt; everything is copied, `user` as the pointer that it is. */
struct gv_gen_prompt {
	uint64_t number; /* for the seeds: usually the number of its record */
	uint32_t sample; /* number of its first sample, usually 0 */
	const int32_t *token; /* (n), with R placeholders an image */
	size_t n;
	const int32_t *image_at; /* (images) first placeholder of each */
	size_t images;
	enum gv_input input; /* GV_IN_NONE, or what `visual` holds */
	const struct gv_tensor *visual; /* N = images of them */
	void *user;
};

enum gv_gen_stop {
	GV_STOP_LENGTH, /* max_tokens, or the model's positions */
	GV_STOP_ID,
	GV_STOP_STRING
};
const char *gv_gen_stop_name(enum gv_gen_stop stop); /* "length", "stop",
                                                      * "string" */

struct gv_gen_sample {
	/* (n) what was drawn, with the stop id, or the token that completed the
	 * stop string; and what a tool forced */
	const int32_t *token;
	const float *logp; /* (n) under the full softmax at temperature 1; 0
	                    * where forced */
	const uint8_t *mask; /* (n) 1 drawn, 0 forced */
	size_t n;
	/* Its text up to the stop id or string, special tokens spelled out,
	 * NUL-terminated; bytes that aren't UTF-8 as U+FFFD. */
	const char *text;
	size_t bytes;
	enum gv_gen_stop stop;
};

/* A finished prompt; its memory belongs to the generator and is valid until
 * the next call with it. */
struct gv_gen_result {
	uint64_t number;
	void *user;
	const int32_t *token; /* (n) the prompt */
	size_t n;
	const int32_t *image_at; /* (images) */
	size_t images;
	const struct gv_gen_sample *sample; /* (law.group) */
};

struct gv_gen;

/* `m` and `t` must outlive the generator, which alone may run the model
 * meanwhile: it reserves memory as the prompts need it.  Ids that can't be
 * drawn: beyond the tokenizer's, image placeholders, and special tokens that
 * neither end a turn nor mark a call of the tool.  A model with fewer ids than
 * its tokenizer is GV_ERR_MATCH, a law outside its ranges GV_ERR_USAGE.  `t`
 * may be NULL, where ids are no text: all but image placeholders can be drawn
 * then, only the model's eos ends a sample, and texts are empty. */
int gv_gen_open(struct gv_gen **g, struct gv_model *m,
    const struct gv_tokenizer *t, const struct gv_gen_law *law,
    struct gv_error *e) GV_USE_RESULT;
void gv_gen_close(struct gv_gen **g); /* `user` pointers are not freed */

/* True while another prompt is welcome: enough to keep the rows busy, and
 * results that wait for an older prompt stay bounded. */
bool gv_gen_room(const struct gv_gen *g);

/* Queues a prompt.  GV_ERR_MATCH or GV_ERR_FORMAT for a bad one (an id outside
 * the vocabulary, placeholders that don't agree with image_at or the rows of
 * the images), GV_ERR_LIMIT for one that leaves no position for a new token:
 * the generator stays usable, and the caller names the record. */
int gv_gen_submit(struct gv_gen *g, const struct gv_gen_prompt *p,
    struct gv_error *e) GV_USE_RESULT;

/* Forgets what it knows of earlier prompts: the model has new weights.  Nothing
 * may be pending. */
void gv_gen_forget(struct gv_gen *g);

/* Prompts that were submitted and not taken. */
size_t gv_gen_pending(const struct gv_gen *g);

/* The draws of one forward pass.  On a device the pass after it may be under
 * way by then.  Nothing to do is success.  An error is final. */
int gv_gen_step(struct gv_gen *g, struct gv_error *e) GV_USE_RESULT;

/* The oldest prompt, if all its samples have ended: results come in the order
 * of submission. */
bool gv_gen_take(struct gv_gen *g, struct gv_gen_result *r);

/* The loop at the top of this file.  feed() submits the next prompt: 1 it did,
 * or passed over a bad one; 0 there are no more; negative: an error.  done()
 * gets each result: 0 go on, 1 stop without an error, negative: an error. */
struct gv_gen_work {
	int (*feed)(void *arg, struct gv_error *e);
	int (*done)(
	    void *arg, const struct gv_gen_result *r, struct gv_error *e);
	void *arg;
};
int gv_gen_run(struct gv_gen *g, const struct gv_gen_work *w,
    struct gv_error *e) GV_USE_RESULT;

/* What was done so far, for reports. */
struct gv_gen_stats {
	uint64_t passes; /* forward passes of the decoder */
	uint64_t prefill; /* prompt tokens computed */
	uint64_t shared; /* prompt tokens that were in the cache already */
	uint64_t drawn; /* tokens sampled */
	uint64_t calls, forced; /* of the tool, and tokens that it gave */
	uint64_t images; /* images encoded (or copied, if embeds came in) */
};
void gv_gen_stats(const struct gv_gen *g, struct gv_gen_stats *s);

/* The ids that end a sample: the tokenizer's stop ids and the model's eos.
 * Returns how many; at most cap are stored. */
size_t gv_gen_stops(const struct gv_model *m, const struct gv_tokenizer *t,
    int32_t *id, size_t cap);

/* Sampled ids as text: without special tokens, bytes that aren't UTF-8 as
 * U+FFFD.  *out is freed with gv_free(). */
int gv_gen_text(const struct gv_tokenizer *t, const int32_t *id, size_t n,
    char **out, size_t *len, struct gv_error *e) GV_USE_RESULT;

/* Checks that every placeholder of a record belongs to an image and the other
 * way round; GV_ERR_MATCH says what doesn't.  For programs that take records
 * without generating. */
int gv_gen_check_images(const struct gv_config *c, const int32_t *token,
    size_t n, const int32_t *image_at, size_t images,
    struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
