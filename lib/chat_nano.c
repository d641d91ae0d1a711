/* The nano template. */
#include "chat_impl.h"

#include "banned.h"

/* A system message, which only the first can be, is written in the turn of the
 * user's behind it. */
static int
turn(struct gv_pen *p, const json_t *messages, size_t i)
{
	const json_t *m = json_array_get(messages, i);
	const char *role = gv_pen_role(p, m, "system|user|assistant");
	const json_t *first = json_array_get(messages, 0);
	bool answer = role && !strcmp(role, "assistant");

	if (!role)
		return p->e->code;
	if (!strcmp(role, "system"))
		return i ? gv_fail(p->e, GV_ERR_FORMAT,
			       "a system message is not the first")
			 : 0;
	if (i == 1 && answer && gv_role_is(first, "system"))
		return gv_fail(p->e, GV_ERR_FORMAT,
		    "no user turn follows the system message");
	if (gv_pen_special(
		p, answer ? "<|assistant_start|>" : "<|user_start|>", false) ||
	    gv_pen_train(p, answer))
		return p->e->code;
	if (i == 1 && gv_role_is(first, "system") &&
	    (gv_pen_plain(p, first, false) || gv_pen_str(p, "\n\n")))
		return p->e->code;
	if (gv_pen_content(p, m, gv_pen_image, false) ||
	    gv_pen_special(
		p, answer ? "<|assistant_end|>" : "<|user_end|>", answer))
		return p->e->code;
	return gv_pen_train(p, false);
}

int
gv_chat_nano(struct gv_pen *p, const json_t *messages, const json_t *tools)
{
	size_t n = json_array_size(messages), i;

	if (gv_pen_no_tools(p, messages, tools) ||
	    gv_pen_special(p, "<|bos|>", false))
		return p->e->code;
	if (n == 1 && gv_role_is(json_array_get(messages, 0), "system"))
		return gv_fail(p->e, GV_ERR_FORMAT,
		    "no user turn follows the system message");
	for (i = 0; i < n; i++)
		if (turn(p, messages, i))
			return gv_fail_in(p->e, "message %zu", i + 1);
	return p->how->prompt ? gv_pen_special(p, "<|assistant_start|>", false)
			      : 0;
}
