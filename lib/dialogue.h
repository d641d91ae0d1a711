/* A conversation with a model, about images or not: text in, text out.
 *
 *	gv_dialogue_open(&d, m, t, &chat, e);
 *	gv_dialogue_show(d, path, n, e);	images, with the first turn
 *	gv_dialogue_law(d, &law, e);		how answers are drawn
 *	gv_dialogue_ask(d, text, n, &answer, e)	... any number of times
 *	gv_dialogue_close(&d);
 *
 * Each question and its answer are turns that the next question sees, written
 * as `chat` says.  Where that is NULL there are no turns, but plain text that
 * the model goes on with, each anew.
 */
#ifndef GV_DIALOGUE_H
#define GV_DIALOGUE_H

#include "chat.h"
#include "err.h"
#include "gen.h"
#include "model.h"
#include "token.h"

#ifdef __cplusplus
extern "C" {
#endif

struct gv_dialogue;

/* Model, tokenizer and what *chat points to must outlive it; its image_rows and
 * prompt are not looked at.  GV_ERR_NOSUP as gv_chat_check() has it. */
int gv_dialogue_open(struct gv_dialogue **d, struct gv_model *m,
    const struct gv_tokenizer *t, const struct gv_chat_how *chat,
    struct gv_error *e) GV_USE_RESULT;
void gv_dialogue_close(struct gv_dialogue **d); /* NULL is allowed */

/* Reads n > 0 pictures, once, of any format that gv-decode knows, as the
 * model's processor gives it its pixels: one that splits pictures makes tiles
 * (tile.h), each of which is an image of the chat. */
int gv_dialogue_show(struct gv_dialogue *d, char *const *path, int n,
    struct gv_error *e) GV_USE_RESULT;

/* The law of the draws; its group is 1, its on_text is told of the text while
 * it comes. */
int gv_dialogue_law(struct gv_dialogue *d, const struct gv_gen_law *law,
    struct gv_error *e) GV_USE_RESULT;

/* Asks and answers; *answer is valid until the next call.  A question that
 * isn't UTF-8 (GV_ERR_FORMAT), or more than the model has positions for
 * (GV_ERR_LIMIT), is taken back, and another one may be asked, unless
 * gv_dialogue_stuck(): the error came while it was answered. */
int gv_dialogue_ask(struct gv_dialogue *d, const char *text, size_t n,
    const struct gv_gen_sample **answer, struct gv_error *e) GV_USE_RESULT;
bool gv_dialogue_stuck(const struct gv_dialogue *d);

/* Forgets all turns; the images stand before the next question again. */
void gv_dialogue_reset(struct gv_dialogue *d);

/* How likely an answer is. */
struct gv_likely {
	size_t n; /* tokens of the answer that are scored */
	int32_t *id; /* (n) */
	float *logp; /* (n) natural */
	double sum; /* of all */
	int64_t bytes; /* that the answer has */
	double perplexity; /* by the token */
	double bits_per_byte; /* of what spells bytes; 0 without any */
};

/* Scores `answer` to a text, or as what goes on from it, where nothing was
 * asked before and there is no law.  GV_ERR_FORMAT if nothing of it is scored:
 * the first token of a raw text has nothing before it. */
int gv_dialogue_score(struct gv_dialogue *d, const char *text, size_t n,
    const char *answer, struct gv_likely *s, struct gv_error *e) GV_USE_RESULT;
void gv_likely_free(struct gv_likely *s);

#ifdef __cplusplus
}
#endif
#endif
