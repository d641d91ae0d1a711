/* Conversations and documents as ids, with what is trained on.
 *
 * A conversation is rendered by one of the chat templates that are built in,
 * by construction, never by tokenizing rendered text again: special tokens come
 * from the structure, and literal ones in text stay text.  The ids are those
 * that Hugging Face's template of the family gives.  Templates are known by
 * their names:
 *
 *   chatml	<|im_start|>ROLE\nTEXT<|im_end|>\n ...
 *   smollm2	the same, with SmolLM2's system message where there is none
 *   qwen2.5	the same with Qwen's, tools, <tool_call> and <tool_response>
 *   qwen3	the same without one, and thoughts, <think>\n...\n</think>\n\n,
 *		in front of answers behind the last question, and of no others
 *   llama3	<|begin_of_text|><|start_header_id|>ROLE<|end_header_id|>\n\n
 *		TEXT<|eot_id|> ..., TEXT without blanks at its ends
 *   llama3.1	the same (3.2 and 3.3, too), with a system message that always
 *		is there, the two dates in it, and tools
 *   llava	LLaVA-1.5's, which is Vicuna's: "A chat between ... USER: TEXT
 *		ASSISTANT: TEXT</s>USER: ...", a turn's images in front of its
 *		text, a line each
 *   llava-hf	the same as transformers has it: no system sentence of its own,
 *		a blank where </s> is
 *   smolvlm	<|im_start|>User: TEXT<end_of_utterance>\nAssistant: ...
 *   idefics3	the same behind <|begin_of_text|>
 *   nano	<|bos|><|user_start|>TEXT<|user_end|><|assistant_start|>TEXT
 *		<|assistant_end|> ...; a system message, only as the first, is
 *		put before the text of the first user turn with an empty line
 *		between
 *
 * A model's template is the one that the text in its chat_template.jinja,
 * chat_template.json or tokenizer_config.json is of; where it has no such text,
 * that whose special tokens the vocabulary has.
 */
#ifndef GV_CHAT_H
#define GV_CHAT_H

#include "err.h"
#include "token.h"
#include "tool.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What was rendered.  target[i] is the id to be predicted at position i if it
 * is trained on, else -1 (already shifted).  bytes[i] is the number of UTF-8
 * bytes that target[i] stands for (0 for specials and -1). */
struct gv_rendered {
	int32_t *token, *target, *bytes;
	size_t n, cap;
	int32_t *image_at; /* position of the first placeholder of each image */
	size_t images, image_cap;
	struct gv_ids ids; /* scratch, kept for its memory */
};
void gv_rendered_free(struct gv_rendered *r);

/* How to render.  All zero is the model's template, to train on. */
struct gv_chat_how {
	const char *form; /* a template's name, or NULL: the model's */
	int image_rows; /* placeholders that an image takes, or a tile of it */
	const int32_t *tiles; /* rows, columns of each picture; NULL: not cut */
	size_t pictures; /* of which there are so many in the messages */
	bool prompt; /* end with the opening of the assistant's turn */
	bool no_thinking; /* qwen3: open it with an empty block of thoughts */
	const char *date; /* llama3.1: today's; NULL: "26 Jul 2024", as there */
	struct gv_tool_marks marks; /* of "python" parts, as tool.h has them */
};

/* The names of the templates, i from 0; NULL behind the last. */
const char *gv_chat_form_name(size_t i);

/* The name of the model's, NULL if it has none that is built in. */
const char *gv_chat_of(const struct gv_tokenizer *t);

/* GV_ERR_NOSUP, saying which template or which vocabulary, unless this can be
 * rendered at all, thoughts and date included: for a program that wants to know
 * before its first line. */
int gv_chat_check(const struct gv_tokenizer *t, const struct gv_chat_how *how,
    struct gv_error *e) GV_USE_RESULT;

/* Renders `messages`, a JSON list of {"role", "content"}.
 *
 * Content is a string, or a list of {"type":"text","text"} and
 * {"type":"image"} (or another type that gv_image_part() knows), and in the
 * assistant's turns {"type":"python","text"} (a call of a tool) and
 * {"type":"python_output","text"} (what came back).  These two stand between
 * marks.  As in gv-rollout, what came back and its marks,
 * which are forced upon the model, are encoded each by itself; the model's own
 * marks are text like other text, unless they are tokens.  An image is a run of
 * placeholders, framed in ChatML by <|vision_start|> and <|vision_end|> where
 * the vocabulary has them.  Of a picture that was cut into tiles each of these,
 * and the whole of it, is an image, one behind the other; smolvlm and idefics3
 * write rows, columns and which one is the whole, as their processors do.
 *
 * Roles are system, user, assistant and, where the template has tools or writes
 * any role, tool.  An assistant's "tool_calls" and "reasoning_content", and
 * `tools` (a list of functions, or NULL), are as in transformers, which leaves
 * thoughts out where the template has no place for them.  JSON in a prompt is
 * spelled as Python spells it.  What else the template has no place for is
 * GV_ERR_NOSUP by name.
 *
 * Appends to *r, so that several sequences can share one (targets never cross).
 * Trained on, unless `prompt`: the assistant's text, thoughts and calls with
 * their marks, and the token that ends the turn.  A token that holds the end of
 * the untrained head and the start of the text (ChatML's newline before a text
 * that begins with one) is not trained on.  On an error *r is as before. */
int gv_chat(const struct gv_tokenizer *t, const struct gv_chat_how *how,
    const json_t *messages, const json_t *tools, struct gv_rendered *r,
    struct gv_error *e) GV_USE_RESULT;

/* Renders a plain document, all of it trained on.  With <|bos|> (nano) that
 * token begins it, and is also the target at its end: the next document's
 * start.  Else it ends with <|endoftext|> or the eos_token, and begins with
 * the bos_token where tokenizer_config.json says "add_bos_token".  A long one
 * is encoded by gv_encode_threads(). */
int gv_document(const struct gv_tokenizer *t, const char *s, size_t n,
    size_t threads, struct gv_rendered *r, struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
