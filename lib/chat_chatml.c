/* ChatML and the templates that are made of it: SmolLM2's, Qwen's. */
#include "chat_impl.h"

#include "banned.h"

static int
framed(struct gv_pen *p)
{
	if (gv_tokenizer_special(p->t, "<|vision_start|>") < 0)
		return gv_pen_image(p);
	if (gv_pen_special(p, "<|vision_start|>", false) || gv_pen_image(p))
		return p->e->code;
	return gv_pen_special(p, "<|vision_end|>", false);
}

/* What follows is trained on in the assistant's turns. */
static int
open_turn(struct gv_pen *p, const char *role)
{
	if (gv_pen_special(p, "<|im_start|>", false) || gv_pen_str(p, role) ||
	    gv_pen_str(p, "\n"))
		return p->e->code;
	return gv_pen_train(p, !strcmp(role, "assistant"));
}

static int
close_turn(struct gv_pen *p, bool trained)
{
	if (gv_pen_special(p, "<|im_end|>", trained) || gv_pen_train(p, false))
		return p->e->code;
	return gv_pen_str(p, "\n");
}

/* A turn that holds its content and nothing else. */
static int
plain_turn(struct gv_pen *p, const json_t *message, const char *role)
{
	if (open_turn(p, role) || gv_pen_content(p, message, framed, false))
		return p->e->code;
	return close_turn(p, !strcmp(role, "assistant"));
}

static int
system_turn(struct gv_pen *p, const char *text)
{
	if (open_turn(p, "system") || gv_pen_str(p, text))
		return p->e->code;
	return close_turn(p, false);
}

/* The system message of a conversation that has none; NULL: none it is. */
static const char *
default_system(const struct gv_pen *p)
{
	return p->t->system && p->form == p->t->form ? p->t->system
						     : p->form->system;
}

int
gv_chat_chatml(struct gv_pen *p, const json_t *messages, const json_t *tools)
{
	const char *system = default_system(p), *role;
	size_t n = json_array_size(messages), i;

	if (gv_pen_no_tools(p, messages, tools))
		return p->e->code;
	if (system && !gv_role_is(json_array_get(messages, 0), "system") &&
	    system_turn(p, system))
		return p->e->code;
	for (i = 0; i < n; i++) {
		const json_t *m = json_array_get(messages, i);

		role = gv_pen_role(p, m, "system|user|assistant|tool");
		if (!role || plain_turn(p, m, role))
			return gv_fail_in(p->e, "message %zu", i + 1);
	}
	return p->how->prompt ? open_turn(p, "assistant") : 0;
}

/* ---- Qwen: tools --------------------------------------------------------- */

/* Both families tell of tools in these words. */
static int
tell_tools(struct gv_pen *p, const json_t *tools)
{
	size_t i;

	if (gv_pen_str(p,
		"# Tools\n\nYou may call one or more functions to assist with "
		"the user query.\n\nYou are provided with function signatures "
		"within <tools></tools> XML tags:\n<tools>"))
		return p->e->code;
	for (i = 0; i < json_array_size(tools); i++)
		if (gv_pen_str(p, "\n") ||
		    gv_pen_json(p, json_array_get(tools, i), 0))
			return p->e->code;
	return gv_pen_str(p,
	    "\n</tools>\n\nFor each function call, return a json object with "
	    "function name and arguments within <tool_call></tool_call> XML "
	    "tags:\n<tool_call>\n{\"name\": <function-name>, \"arguments\": "
	    "<args-json-object>}\n</tool_call>");
}

/* The first turn: the system message, the default one, tools. */
static int
first_turn(struct gv_pen *p, const json_t *messages, const json_t *tools)
{
	const json_t *first = json_array_get(messages, 0);
	const char *system = default_system(p);
	bool given = gv_role_is(first, "system");

	if (!json_array_size(tools)) {
		if (given && plain_turn(p, first, "system"))
			return gv_fail_in(p->e, "message 1");
		return given || !system ? 0 : system_turn(p, system);
	}
	if (open_turn(p, "system"))
		return p->e->code;
	if (given && gv_pen_plain(p, first, false))
		return gv_fail_in(p->e, "message 1");
	if (!given && system && gv_pen_str(p, system))
		return p->e->code;
	if ((given || system) && gv_pen_str(p, "\n\n"))
		return p->e->code;
	if (tell_tools(p, tools))
		return p->e->code;
	return close_turn(p, false);
}

/* Answers of tools, one behind the other, are one turn of the user's. */
static int
tool_turn(struct gv_pen *p, const json_t *messages, size_t i)
{
	const json_t *m = json_array_get(messages, i);

	if ((!i || !gv_role_is(json_array_get(messages, i - 1), "tool")) &&
	    (gv_pen_special(p, "<|im_start|>", false) || gv_pen_str(p, "user")))
		return p->e->code;
	if (gv_pen_str(p, "\n<tool_response>\n") || gv_pen_plain(p, m, false) ||
	    gv_pen_str(p, "\n</tool_response>"))
		return p->e->code;
	if (gv_role_is(json_array_get(messages, i + 1), "tool"))
		return 0;
	return close_turn(p, false);
}

/* Calls, each behind a newline but for the first if it is at the `beginning`.
 * `raw`: arguments that are text are JSON already. */
static int
put_calls(struct gv_pen *p, const json_t *message, bool beginning, bool raw)
{
	const json_t *calls = gv_tool_calls(message), *arguments;
	const char *name;
	size_t i;

	for (i = 0; i < json_array_size(calls); i++) {
		if (gv_pen_call(p, json_array_get(calls, i), &name, &arguments))
			return p->e->code;
		if (((i || !beginning) && gv_pen_str(p, "\n")) ||
		    gv_pen_str(p, "<tool_call>\n{\"name\": \"") ||
		    gv_pen_str(p, name) || gv_pen_str(p, "\", \"arguments\": "))
			return p->e->code;
		if (raw && json_is_string(arguments)
			? gv_pen_str(p, json_string_value(arguments))
			: gv_pen_json(p, arguments, 0))
			return p->e->code;
		if (gv_pen_str(p, "}\n</tool_call>"))
			return p->e->code;
	}
	return 0;
}

static bool
has_content(const json_t *message)
{
	const json_t *v = json_object_get(message, "content");

	return json_string_length(v) || json_array_size(v);
}

/* ---- Qwen2.5 ------------------------------------------------------------- */

static int
qwen25_assistant(struct gv_pen *p, const json_t *m)
{
	bool content = has_content(m);

	if (!gv_tool_calls(m))
		return plain_turn(p, m, "assistant");
	if (open_turn(p, "assistant") ||
	    (content && gv_pen_content(p, m, framed, false)) ||
	    put_calls(p, m, !content, false))
		return p->e->code;
	return close_turn(p, true);
}

int
gv_chat_qwen25(struct gv_pen *p, const json_t *messages, const json_t *tools)
{
	size_t n = json_array_size(messages), i;
	const char *role;

	if (first_turn(p, messages, tools))
		return p->e->code;
	for (i = gv_role_is(json_array_get(messages, 0), "system"); i < n;
	     i++) {
		const json_t *m = json_array_get(messages, i);

		role = gv_pen_role(p, m, "system|user|assistant|tool");
		if (!role ||
		    (!strcmp(role, "tool")           ? tool_turn(p, messages, i)
			: !strcmp(role, "assistant") ? qwen25_assistant(p, m)
						     : plain_turn(p, m, role)))
			return gv_fail_in(p->e, "message %zu", i + 1);
	}
	return p->how->prompt ? open_turn(p, "assistant") : 0;
}

/* ---- Qwen3 --------------------------------------------------------------- */

struct span {
	const char *s;
	size_t n;
};

static struct span
strip_newlines(struct span x, bool left, bool right)
{
	while (left && x.n && *x.s == '\n') {
		x.s++;
		x.n--;
	}
	while (right && x.n && x.s[x.n - 1] == '\n')
		x.n--;
	return x;
}

/* Where `what` is found first, or last, in x; NULL if it isn't. */
static const char *
find(struct span x, const char *what, bool last)
{
	const char *at = memmem(x.s, x.n, what, strlen(what)), *next;

	for (next = at; last && next; at = next ? next : at)
		next = memmem(next + 1, (size_t)(x.s + x.n - next - 1), what,
		    strlen(what));
	return at;
}

/* Takes thoughts that are written in the content out of it. */
static void
split_thoughts(struct span *content, struct span *thoughts)
{
	static const char open[] = "<think>", close[] = "</think>";
	struct span all = *content;
	const char *first = find(all, close, false), *last, *from;

	if (!first)
		return;
	last = find(all, close, true) + strlen(close);
	*thoughts = strip_newlines(
	    (struct span){all.s, (size_t)(first - all.s)}, false, true);
	if ((from = find(*thoughts, open, true))) {
		from += strlen(open);
		thoughts->n -= (size_t)(from - thoughts->s);
		thoughts->s = from;
	}
	*thoughts = strip_newlines(*thoughts, true, false);
	*content = strip_newlines(
	    (struct span){last, (size_t)(all.s + all.n - last)}, true, false);
}

/* The message that the last answer is to: a user's that isn't, as some write
 * it, the answer of a tool. */
static size_t
last_query(const json_t *messages)
{
	static const char open[] = "<tool_response>";
	static const char close[] = "</tool_response>";
	const size_t a = sizeof open - 1, b = sizeof close - 1;
	size_t n = json_array_size(messages), i;

	for (i = n; i-- > 0;) {
		const json_t *m = json_array_get(messages, i);
		const json_t *v = json_object_get(m, "content");
		const char *s = json_string_value(v);
		size_t len = json_string_length(v);

		if (gv_role_is(m, "user") &&
		    !(s && len >= a && len >= b && !memcmp(s, open, a) &&
			!memcmp(s + len - b, close, b)))
			return i;
	}
	return n - 1;
}

/* Content that is a list is written part by part; it is searched for thoughts
 * only where it is one text. */
static int
qwen3_assistant(struct gv_pen *p, const json_t *m, bool answer, bool last)
{
	const json_t *v = json_object_get(m, "content");
	const json_t *given = json_object_get(m, "reasoning_content");
	struct span content = {"", 0}, thoughts = {"", 0}, shown;
	bool list = json_array_size(v) > 0;

	if (json_is_string(v))
		content =
		    (struct span){json_string_value(v), json_string_length(v)};
	if (json_is_string(given))
		thoughts = (struct span){
		    json_string_value(given), json_string_length(given)};
	else
		split_thoughts(&content, &thoughts);
	if (open_turn(p, "assistant"))
		return p->e->code;
	shown = content;
	if (answer && (last || thoughts.n)) {
		if (p->how->no_thinking && !thoughts.n &&
		    gv_pen_train(p, false))
			return p->e->code;
		thoughts = strip_newlines(thoughts, true, true);
		if (gv_pen_str(p, "<think>\n") ||
		    gv_pen_text(p, thoughts.s, thoughts.n) ||
		    gv_pen_str(p, "\n</think>\n\n") || gv_pen_train(p, true))
			return p->e->code;
		shown = strip_newlines(content, true, false);
	}
	if (list ? gv_pen_content(p, m, framed, false)
		 : gv_pen_text(p, shown.s, shown.n))
		return p->e->code;
	if (put_calls(p, m, !list && !content.n, true))
		return p->e->code;
	return close_turn(p, true);
}

static int
qwen3_turn(struct gv_pen *p, const json_t *messages, size_t i, size_t query)
{
	const json_t *m = json_array_get(messages, i);
	const char *role = gv_pen_role(p, m, "system|user|assistant|tool");
	bool last = i + 1 == json_array_size(messages);

	if (!role)
		return p->e->code;
	if (!strcmp(role, "tool"))
		return tool_turn(p, messages, i);
	if (!strcmp(role, "assistant"))
		return qwen3_assistant(p, m, i > query, last);
	return plain_turn(p, m, role);
}

int
gv_chat_qwen3(struct gv_pen *p, const json_t *messages, const json_t *tools)
{
	size_t n = json_array_size(messages), query = last_query(messages), i;

	if (first_turn(p, messages, tools))
		return p->e->code;
	for (i = gv_role_is(json_array_get(messages, 0), "system"); i < n; i++)
		if (qwen3_turn(p, messages, i, query))
			return gv_fail_in(p->e, "message %zu", i + 1);
	if (!p->how->prompt)
		return 0;
	if (open_turn(p, "assistant"))
		return p->e->code;
	return p->how->no_thinking ? gv_pen_str(p, "<think>\n\n</think>\n\n")
				   : 0;
}
