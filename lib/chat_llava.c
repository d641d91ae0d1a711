/* The templates of LLaVA-1.5 (Vicuna's), SmolVLM and Idefics 3. */
#include "chat_impl.h"

#include "banned.h"

/* ---- LLaVA --------------------------------------------------------------- */

/* The images of a message, each on a line before its text. */
static int
pictures_first(struct gv_pen *p, const json_t *message)
{
	const json_t *content = json_object_get(message, "content");
	struct gv_part part;
	size_t i;
	int got;

	for (i = 0; (got = gv_pen_part(p, content, i, &part)) > 0; i++)
		if (!strcmp(part.type, "image") &&
		    (gv_pen_image(p) || gv_pen_str(p, "\n")))
			return p->e->code;
	return got;
}

static int
no_picture(struct gv_pen *p)
{
	(void)p;
	return 0;
}

/* transformers has a blank behind each text, answers too. */
static int
texts(struct gv_pen *p, const json_t *message)
{
	const json_t *content = json_object_get(message, "content");
	struct gv_part part;
	size_t i;
	int got;

	for (i = 0; (got = gv_pen_part(p, content, i, &part)) > 0; i++) {
		if (!strncmp(part.type, "python", 6))
			return gv_fail(p->e, GV_ERR_NOSUP,
			    "%s has no place for content of type '%s'",
			    p->form->name, part.type);
		if (part.s &&
		    (gv_pen_text(p, part.s, part.n) || gv_pen_str(p, " ")))
			return p->e->code;
	}
	return got;
}

/* A turn ends with </s> behind an answer, and with a blank behind others. */
static int
llava_turn(struct gv_pen *p, const json_t *m, bool hf)
{
	const char *role = gv_pen_role(p, m, "system|user|assistant");
	bool answer = role && !strcmp(role, "assistant");

	if (!role)
		return p->e->code;
	if (strcmp(role, "system") != 0 &&
	    (gv_pen_str(p, answer ? "ASSISTANT:" : "USER:") ||
		gv_pen_train(p, answer) || gv_pen_str(p, " ")))
		return p->e->code;
	if (pictures_first(p, m))
		return p->e->code;
	if (hf)
		return texts(p, m) ? p->e->code : gv_pen_train(p, false);
	if (gv_pen_content(p, m, no_picture, false) ||
	    (answer ? gv_pen_id(p, p->t->eos, true) : gv_pen_str(p, " ")))
		return p->e->code;
	return gv_pen_train(p, false);
}

static int
llava(struct gv_pen *p, const json_t *messages, const json_t *tools, bool hf)
{
	static const char system[] =
	    "A chat between a curious user and an artificial intelligence "
	    "assistant. The assistant gives helpful, detailed, and polite "
	    "answers to the user's questions. ";
	size_t n = json_array_size(messages), i;

	if (gv_pen_no_tools(p, messages, tools))
		return p->e->code;
	if (!hf && p->t->eos < 0)
		return gv_fail(p->e, GV_ERR_NOSUP,
		    "the vocabulary has no eos_token, with which %s ends a "
		    "turn",
		    p->form->name);
	if (p->t->bos >= 0) {
		if (gv_pen_id(p, p->t->bos, false))
			return p->e->code;
		p->begun =
		    false; /* not in the text: its beginning is to come */
	}
	if (!hf && !gv_role_is(json_array_get(messages, 0), "system") &&
	    gv_pen_str(p, system))
		return p->e->code;
	for (i = 0; i < n; i++)
		if (llava_turn(p, json_array_get(messages, i), hf))
			return gv_fail_in(p->e, "message %zu", i + 1);
	return p->how->prompt ? gv_pen_str(p, "ASSISTANT:") : 0;
}

int
gv_chat_llava(struct gv_pen *p, const json_t *messages, const json_t *tools)
{
	return llava(p, messages, tools, false);
}

int
gv_chat_llava_hf(struct gv_pen *p, const json_t *messages, const json_t *tools)
{
	return llava(p, messages, tools, true);
}

/* ---- SmolVLM ------------------------------------------------------------- */

static const char fake[] = "<fake_token_around_image>";

static int
framed(struct gv_pen *p, const char *name)
{
	if (gv_pen_special(p, fake, false) ||
	    (gv_tokenizer_special(p->t, name) < 0
		    ? gv_pen_str(p, name)
		    : gv_pen_special(p, name, false)))
		return p->e->code;
	return gv_pen_run(p);
}

/* Tiles row by row, each row with a line break, and the whole picture last. */
static int
tiled(struct gv_pen *p)
{
	int32_t rows, columns, i, k;
	char name[40];

	if (gv_pen_tiles(p, &rows, &columns))
		return p->e->code;
	for (i = 1; i <= rows; i++) {
		for (k = 1; k <= columns; k++) {
			snprintf(name, sizeof name, "<row_%d_col_%d>", (int)i,
			    (int)k);
			if (framed(p, name))
				return p->e->code;
		}
		if (gv_pen_str(p, "\n"))
			return p->e->code;
	}
	if ((rows && gv_pen_str(p, "\n")) || framed(p, "<global-img>"))
		return p->e->code;
	return gv_pen_special(p, fake, false);
}

/* A blank stands behind the colon, unless an image does. */
static int
smolvlm_turn(struct gv_pen *p, const json_t *m)
{
	const char *role = gv_pen_role(p, m, "system|user|assistant");
	bool answer = role && !strcmp(role, "assistant");
	struct gv_part part;
	int got;

	if (!role)
		return p->e->code;
	got = gv_pen_part(p, json_object_get(m, "content"), 0, &part);
	if (got < 0 ||
	    gv_pen_str(p, answer                  ? "Assistant:"
			  : !strcmp(role, "user") ? "User:"
						  : "System:") ||
	    gv_pen_train(p, answer) ||
	    ((!got || strcmp(part.type, "image") != 0) && gv_pen_str(p, " ")) ||
	    gv_pen_content(p, m, tiled, false) ||
	    gv_pen_special(p, "<end_of_utterance>", answer) ||
	    gv_pen_train(p, false))
		return p->e->code;
	return gv_pen_str(p, "\n");
}

int
gv_chat_smolvlm(struct gv_pen *p, const json_t *messages, const json_t *tools)
{
	size_t n = json_array_size(messages), i;

	if (gv_pen_no_tools(p, messages, tools) ||
	    gv_pen_special(p, p->form->begin, false))
		return p->e->code;
	for (i = 0; i < n; i++)
		if (smolvlm_turn(p, json_array_get(messages, i)))
			return gv_fail_in(p->e, "message %zu", i + 1);
	return p->how->prompt ? gv_pen_str(p, "Assistant:") : 0;
}
