/* The nano template. */
#include "chat_impl.h"

#include "banned.h"

/* The system message opens the turn of the user's behind it. */
static int
system_text(struct gv_pen *p, const json_t *message)
{
	if (gv_pen_special(p, "<|user_start|>", false) ||
	    gv_pen_plain(p, message, false))
		return p->e->code;
	return gv_pen_str(p, "\n\n");
}

static int
turn(struct gv_pen *p, const json_t *messages, size_t i)
{
	const json_t *m = json_array_get(messages, i);
	const char *role = gv_pen_role(p, m, "system|user|assistant");
	bool answer = role && !strcmp(role, "assistant");
	bool open = i == 1 && gv_role_is(json_array_get(messages, 0), "system");

	if (!role)
		return p->e->code;
	if (!strcmp(role, "system"))
		return i ? gv_fail(p->e, GV_ERR_FORMAT,
			       "a system message is not the first")
			 : system_text(p, m);
	if (open && answer)
		return gv_fail(p->e, GV_ERR_FORMAT,
		    "no user turn follows the system message");
	if ((!open && gv_pen_special(p,
			  answer ? "<|assistant_start|>" : "<|user_start|>",
			  false)) ||
	    gv_pen_train(p, answer) ||
	    gv_pen_content(p, m, gv_pen_image, false) ||
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
