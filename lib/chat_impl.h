/* What the chat templates share: the pen that they write with.  Not part of the
 * interface.
 *
 * A template calls gv_pen_...() in the order of what it writes.  Text gathers
 * in a stretch that ends where a special token comes; a stretch is encoded as
 * one piece, since that is what a tokenizer sees of the rendered template.
 * Which of its tokens are trained on is known from where they start.  All
 * return 0 or the code of the error in the pen.
 */
#ifndef GV_CHAT_IMPL_H
#define GV_CHAT_IMPL_H

#include "chat.h"
#include "token_impl.h"

struct gv_pen {
	const struct gv_tokenizer *t;
	const struct gv_chat_how *how;
	const struct gv_chat_form *form;
	struct gv_rendered *r;
	struct gv_error *e;
	size_t start; /* where this sequence begins in r */
	bool begun; /* something stands before the stretch */
	char *text; /* the stretch */
	size_t n, cap;
	bool first, trained; /* is its beginning trained on, and its end? */
	struct gv_pen_turn {
		size_t at;
		bool trained;
	} * turn; /* where that changes */
	size_t turns, turn_cap;
	struct gv_tool_marks marks; /* found when first needed */
	size_t picture; /* the next of how->tiles */
	struct gv_ids ids;
};

struct gv_chat_form {
	const char *name;
	int (*write)(
	    struct gv_pen *p, const json_t *messages, const json_t *tools);
	const char
	    *vocabulary; /* where there is no text: the token that tells */
	const char *stop[2]; /* tokens that end a turn or a text, or NULL */
	const char *system; /* ChatML: the message where there is none */
	const char *begin; /* SmolVLM: the token at the beginning */
	const char *of[4]; /* in the text of a model's template ... */
	const char *not_of[4]; /* ... and not in it */
};

/* Says that position `at` is to predict `id`; appends a token of the sequence
 * that begins at `start`. */
void gv_rendered_aim(
    const struct gv_tokenizer *t, struct gv_rendered *r, size_t at, int32_t id);
int gv_rendered_put(const struct gv_tokenizer *t, struct gv_rendered *r,
    size_t start, int32_t id, bool trained, struct gv_error *e) GV_USE_RESULT;

/* Appends tokens of text, all of them trained on. */
int gv_rendered_text(const struct gv_tokenizer *t, struct gv_rendered *r,
    size_t start, const int32_t *id, size_t n,
    struct gv_error *e) GV_USE_RESULT;

int gv_pen_text(struct gv_pen *p, const char *s, size_t n) GV_USE_RESULT;
int gv_pen_str(struct gv_pen *p, const char *s) GV_USE_RESULT;

/* JSON as Python's json.dumps(v, ensure_ascii=False, indent=...) writes it;
 * indent 0: on one line. */
int gv_pen_json(struct gv_pen *p, const json_t *v, int indent) GV_USE_RESULT;

/* Is text from here on trained on?  Never in a prompt.  Before a place where
 * this changes there must be an ASCII character that no normalisation joins
 * with what follows. */
int gv_pen_train(struct gv_pen *p, bool trained) GV_USE_RESULT;

/* A special token by its text, and one by its id; `trained` is for it alone. */
int gv_pen_special(
    struct gv_pen *p, const char *name, bool trained) GV_USE_RESULT;
int gv_pen_id(struct gv_pen *p, int32_t id, bool trained) GV_USE_RESULT;

/* The grid of the next picture, 0 and 0 if it isn't cut; the run of one image's
 * placeholders; and both, a picture's runs one behind the other. */
int gv_pen_tiles(
    struct gv_pen *p, int32_t *rows, int32_t *columns) GV_USE_RESULT;
int gv_pen_run(struct gv_pen *p) GV_USE_RESULT;
int gv_pen_image(struct gv_pen *p) GV_USE_RESULT;

/* Ends the stretch. */
int gv_pen_flush(struct gv_pen *p) GV_USE_RESULT;

/* ---- messages ------------------------------------------------------------ */

/* Is this the message's role? */
bool gv_role_is(const json_t *message, const char *role);

/* The message's role, which must be one of those in `list` ("user|tool"): else
 * an error, and NULL. */
const char *gv_pen_role(
    struct gv_pen *p, const json_t *message, const char *list);

/* Writes a message's content.  `image` writes one of its images:
 * gv_pen_image(), or that with what frames it. */
typedef int gv_pen_image_fn(struct gv_pen *p);
int gv_pen_content(struct gv_pen *p, const json_t *message,
    gv_pen_image_fn *image, bool trim) GV_USE_RESULT;

/* The same of content that is text alone: GV_ERR_FORMAT, naming the role, if it
 * isn't. */
int gv_pen_plain(
    struct gv_pen *p, const json_t *message, bool trim) GV_USE_RESULT;

/* The part i of content, or the whole of it where it is a string: 1 with *type
 * ("image" for images of any kind) and, but for these, its text; 0 behind the
 * last. */
struct gv_part {
	const char *type, *s;
	size_t n;
};
int gv_pen_part(struct gv_pen *p, const json_t *content, size_t i,
    struct gv_part *part) GV_USE_RESULT;

/* Without the characters at both ends that Python's str.strip() takes away. */
void gv_strip(const char **s, size_t *n);

/* An assistant's list of calls, or NULL where it has none. */
const json_t *gv_tool_calls(const json_t *message);

/* Name and arguments of a call of it: {"function": {"name", "arguments"}} or
 * these two alone. */
int gv_pen_call(struct gv_pen *p, const json_t *call, const char **name,
    const json_t **arguments) GV_USE_RESULT;

/* GV_ERR_NOSUP if the message has calls, or if there are tools. */
int gv_pen_no_tools(struct gv_pen *p, const json_t *messages,
    const json_t *tools) GV_USE_RESULT;

/* ---- templates ----------------------------------------------------------- */

typedef int gv_chat_write(
    struct gv_pen *p, const json_t *messages, const json_t *tools);
gv_chat_write gv_chat_chatml, gv_chat_qwen25, gv_chat_qwen3;
gv_chat_write gv_chat_llama3, gv_chat_llama31;
gv_chat_write gv_chat_llava, gv_chat_llava_hf, gv_chat_smolvlm;
gv_chat_write gv_chat_nano;

/* The template of that name, or NULL: the model's; NULL with the reason in *e
 * if there is none. */
const struct gv_chat_form *gv_chat_form(
    const struct gv_tokenizer *t, const char *name, struct gv_error *e);

#endif
