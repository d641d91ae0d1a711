/* The templates of Llama 3, and of 3.1 and later. */
#include "chat_impl.h"

#include "banned.h"

static int
open_turn(struct gv_pen *p, const char *role)
{
	if (gv_pen_special(p, "<|start_header_id|>", false) ||
	    gv_pen_str(p, role) ||
	    gv_pen_special(p, "<|end_header_id|>", false) ||
	    gv_pen_str(p, "\n\n"))
		return p->e->code;
	return gv_pen_train(p, !strcmp(role, "assistant"));
}

static int
close_turn(struct gv_pen *p, bool trained)
{
	return gv_pen_special(p, "<|eot_id|>", trained)
		   ? p->e->code
		   : gv_pen_train(p, false);
}

static int
plain_turn(struct gv_pen *p, const json_t *message, const char *role)
{
	if (open_turn(p, role) ||
	    gv_pen_content(p, message, gv_pen_image, true))
		return p->e->code;
	return close_turn(p, !strcmp(role, "assistant"));
}

static int
begin(struct gv_pen *p)
{
	return p->t->bos >= 0 ? gv_pen_id(p, p->t->bos, false)
			      : gv_pen_special(p, "<|begin_of_text|>", false);
}

int
gv_chat_llama3(struct gv_pen *p, const json_t *messages, const json_t *tools)
{
	size_t n = json_array_size(messages), i;
	const char *role;

	if (gv_pen_no_tools(p, messages, tools) || begin(p))
		return p->e->code;
	for (i = 0; i < n; i++) {
		const json_t *m = json_array_get(messages, i);

		role = gv_pen_role(p, m, "system|user|assistant|tool|ipython");
		if (!role || plain_turn(p, m, role))
			return gv_fail_in(p->e, "message %zu", i + 1);
	}
	return p->how->prompt ? open_turn(p, "assistant") : 0;
}

/* ---- 3.1 and later ------------------------------------------------------- */

static int
system_turn(struct gv_pen *p, const json_t *message, const json_t *tools)
{
	const char *date = p->how->date ? p->how->date : "26 Jul 2024";

	if (open_turn(p, "system") ||
	    (tools && gv_pen_str(p, "Environment: ipython\n")) ||
	    gv_pen_str(
		p, "Cutting Knowledge Date: December 2023\nToday Date: ") ||
	    gv_pen_str(p, date) || gv_pen_str(p, "\n\n"))
		return p->e->code;
	if (message && gv_pen_plain(p, message, true))
		return gv_fail_in(p->e, "message 1");
	return close_turn(p, false);
}

/* The first message behind the system's, with the tools in front of it. */
static int
tools_turn(struct gv_pen *p, const json_t *message, const json_t *tools)
{
	size_t i;

	if (!message)
		return gv_fail(
		    p->e, GV_ERR_FORMAT, "no user message to put the tools in");
	if (open_turn(p, "user") ||
	    gv_pen_str(p,
		"Given the following functions, please respond with a JSON for "
		"a function call with its proper arguments that best answers "
		"the given prompt.\n\nRespond in the format {\"name\": "
		"function "
		"name, \"parameters\": dictionary of argument name and its "
		"value}.Do not use variables.\n\n"))
		return p->e->code;
	for (i = 0; i < json_array_size(tools); i++)
		if (gv_pen_json(p, json_array_get(tools, i), 4) ||
		    gv_pen_str(p, "\n\n"))
			return p->e->code;
	if (gv_pen_content(p, message, gv_pen_image, true))
		return p->e->code;
	return close_turn(p, false);
}

static int
call_turn(struct gv_pen *p, const json_t *message)
{
	const json_t *calls = gv_tool_calls(message), *arguments;
	const char *name;

	if (json_array_size(calls) != 1)
		return gv_fail(p->e, GV_ERR_NOSUP,
		    "%s has place for one call of a tool in a message, not %zu",
		    p->form->name, json_array_size(calls));
	if (gv_pen_call(p, json_array_get(calls, 0), &name, &arguments) ||
	    open_turn(p, "assistant") || gv_pen_str(p, "{\"name\": \"") ||
	    gv_pen_str(p, name) || gv_pen_str(p, "\", \"parameters\": ") ||
	    gv_pen_json(p, arguments, 0) || gv_pen_str(p, "}"))
		return p->e->code;
	return close_turn(p, true);
}

static int
llama31_turn(struct gv_pen *p, const json_t *m)
{
	const char *role =
	    gv_pen_role(p, m, "system|user|assistant|tool|ipython");
	const json_t *content = json_object_get(m, "content");

	if (!role)
		return p->e->code;
	if (gv_tool_calls(m))
		return call_turn(p, m);
	if (strcmp(role, "tool") != 0 && strcmp(role, "ipython") != 0)
		return plain_turn(p, m, role);
	if (!content)
		return gv_fail(p->e, GV_ERR_FORMAT, "it has no 'content'");
	if (open_turn(p, "ipython") || gv_pen_json(p, content, 0))
		return p->e->code;
	return close_turn(p, false);
}

int
gv_chat_llama31(struct gv_pen *p, const json_t *messages, const json_t *tools)
{
	const json_t *first = json_array_get(messages, 0);
	bool given = gv_role_is(first, "system");
	size_t n = json_array_size(messages), i = given;

	if (begin(p) || system_turn(p, given ? first : NULL, tools))
		return p->e->code;
	if (tools) {
		if (tools_turn(p, json_array_get(messages, i), tools))
			return gv_fail_in(p->e, "message %zu", i + 1);
		i++;
	}
	for (; i < n; i++)
		if (llama31_turn(p, json_array_get(messages, i)))
			return gv_fail_in(p->e, "message %zu", i + 1);
	return p->how->prompt ? open_turn(p, "assistant") : 0;
}
