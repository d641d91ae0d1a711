/* From a line of input to the record of a tokens stream.
 *
 * The lines of gv-tokenize(1), where the keys are described: conversations to
 * train on, prompts to answer, documents.
 */
#ifndef GV_RENDER_H
#define GV_RENDER_H

#include "chat.h"
#include "err.h"
#include "tile_table.h"
#include "stream.h"
#include "token.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum gv_render_mode {
	GV_RENDER_CHAT, /* {"messages"} or {"conversations"} */
	GV_RENDER_PROMPT, /* {"messages", "answers", "task"} */
	GV_RENDER_JSON, /* {"text"} */
	GV_RENDER_TEXT /* the line itself is the document */
};

struct gv_render {
	const struct gv_tokenizer *tokenizer;
	enum gv_render_mode mode;
	struct gv_chat_how chat; /* image_rows 0: not known; prompt: by mode */
	int64_t max_length; /* tokens a sequence has at most; 0: any */
	size_t threads; /* for a long document; gv_render_open() sets it */
	const struct gv_tile_table *tiles; /* of images by key, or NULL */
	bool strict; /* a document that isn't UTF-8 is GV_ERR_FORMAT */
	const char *const *keep; /* keys of a prompt's line to keep, besides */
	size_t nkeep; /* those that always are */
};

/* Field i of a prompt's record that holds plain data from its line: messages,
 * answers, task and options, then those of `keep`; NULL behind the last. */
const char *gv_render_plain(const struct gv_render *how, size_t i);

/* A record.  Zero it first; gv_record_free() at the end. */
struct gv_record {
	char key[GV_MAX_KEY + 1]; /* the line's "id", "" without */
	struct gv_rendered seq; /* its sequences, one behind the other */
	int32_t *start; /* where each begins */
	size_t starts, start_cap;
	json_t *plain; /* of a prompt: an object with all gv_render_plain() */
};
void gv_record_free(struct gv_record *r);

/* Renders n bytes (a line without its newline) into *r, whose old content is
 * replaced and memory reused.
 *
 * Images of the line's "image" (a path or a list) that the messages don't
 * place stand at the beginning of the first user message, in each conversation.
 * A sequence longer than max_length loses text at its end; if that would cut an
 * image, or the sequence is a prompt, it is GV_ERR_LIMIT.  A prompt's last
 * message, if it is the assistant's, is left out, and is the answer if there is
 * no other. */
int gv_render(const struct gv_render *how, const char *line, size_t n,
    struct gv_record *r, struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
