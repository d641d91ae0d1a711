/* A tool: the calculator, or a coprocess that answers in JSON. */
#include "tool.h"

#include "coproc.h"
#include "json.h"
#include "mem.h"
#include "utf8.h"
#include "banned.h"

struct gv_tool {
	const struct gv_tokenizer *t;
	struct gv_tool_marks mark;
	char *own[4]; /* what they point to */
	struct gv_coproc *program; /* NULL: the calculator */
};

/* ---- opening ------------------------------------------------------------- */

static int
no_memory(struct gv_error *e)
{
	return gv_fail(e, GV_ERR_NOMEM, "no memory for a tool");
}

int
gv_tool_marks_of(struct gv_tool_marks *m, const struct gv_tool_marks *given,
    const struct gv_tokenizer *t, struct gv_error *e)
{
	static const char *const nano[] = {"<|python_start|>", "<|python_end|>",
	    "<|output_start|>", "<|output_end|>"};
	const char *mark[] = {
	    given->start, given->end, given->out_start, given->out_end};
	int i;

	if (!mark[0] != !mark[1] || (mark[0] && (!*mark[0] || !*mark[1])))
		return gv_fail(e, GV_ERR_USAGE,
		    "a call of a tool needs a mark at both of its ends");
	for (i = 0; i < 4; i++) {
		if (!mark[i] && gv_tokenizer_special(t, nano[i]) >= 0)
			mark[i] = nano[i];
		if (!mark[i] && i < 2)
			return gv_fail(e, GV_ERR_MATCH,
			    "the vocabulary has no %s, and nothing else marks "
			    "a call of a tool",
			    nano[i]);
	}
	*m = (struct gv_tool_marks){mark[0], mark[1], mark[2], mark[3]};
	return 0;
}

/* Marks of its own, which outlive those given. */
static int
set_marks(
    struct gv_tool *x, const struct gv_tool_marks *given, struct gv_error *e)
{
	struct gv_tool_marks m;
	int i;

	if (gv_tool_marks_of(&m, given, x->t, e))
		return e->code;
	for (i = 0; i < 4; i++) {
		const char *s = i == 0   ? m.start
				: i == 1 ? m.end
				: i == 2 ? m.out_start
					 : m.out_end;

		if (s && !(x->own[i] = gv_strdup(s)))
			return no_memory(e);
	}
	x->mark =
	    (struct gv_tool_marks){x->own[0], x->own[1], x->own[2], x->own[3]};
	return 0;
}

int
gv_tool_open(struct gv_tool **out, const struct gv_tool_opts *o,
    const struct gv_tokenizer *t, struct gv_error *e)
{
	const struct gv_coproc_limits l = {.timeout = o->timeout};
	struct gv_tool *x = gv_alloc(1, sizeof *x);

	if (!x)
		return no_memory(e);
	x->t = t;
	if (set_marks(x, &o->marks, e) ||
	    (strcmp(o->name, "calculator") != 0 &&
		gv_coproc_open(&x->program, o->name, &l, e))) {
		gv_tool_close(&x);
		return e->code;
	}
	*out = x;
	return 0;
}

void
gv_tool_close(struct gv_tool **xp)
{
	struct gv_tool *x = *xp;
	int i;

	*xp = NULL;
	if (!x)
		return;
	gv_coproc_close(&x->program);
	for (i = 0; i < 4; i++)
		gv_free(x->own[i]);
	gv_free(x);
}

int
gv_tool_finish(struct gv_tool *x, struct gv_error *e)
{
	if (!x->program || !gv_coproc_finish(x->program, e))
		return 0;
	return gv_fail_in(e, "tool");
}

const struct gv_tool_marks *
gv_tool_marks(const struct gv_tool *x)
{
	return &x->mark;
}

/* ---- calls --------------------------------------------------------------- */

/* Text with U+FFFD for bytes that aren't UTF-8, as a JSON string. */
static json_t *
string_of(const char *s, size_t n)
{
	size_t len;
	char *clean = gv_utf8_clean(s, n, &len);
	json_t *v = clean ? json_stringn(clean, len) : NULL;

	gv_free(clean);
	return v;
}

/* The answer's text in what the program said, a reference of `said`; *failed if
 * it is an error of the call. */
static const json_t *
answer_in(const json_t *said, const char *id, bool *failed)
{
	const json_t *out = json_object_get(said, "output");
	const json_t *error = json_object_get(said, "error");
	const json_t *same = json_object_get(said, "id");

	*failed = error != NULL;
	if (!json_is_string(out ? out : error) || (out && error))
		return NULL;
	if (same &&
	    (!json_is_string(same) || strcmp(json_string_value(same), id) != 0))
		return NULL;
	return out ? out : error;
}

/* Appends n bytes of text; specials in it are such only in marks. */
static int
put(struct gv_tool *x, const char *s, size_t n, bool mark, struct gv_ids *out,
    struct gv_error *e)
{
	return s && n ? gv_encode_on(x->t, s, n, mark, out, e) : 0;
}

static int
put_json(struct gv_tool *x, const char *line, size_t n, const char *id,
    struct gv_ids *out, struct gv_error *e)
{
	struct gv_error why = {0};
	const json_t *text;
	json_t *said = NULL;
	char q[80];
	bool failed;

	if (gv_json_parse(&said, line, n, &why) == GV_ERR_NOMEM)
		return no_memory(e);
	text = answer_in(said, id, &failed);
	if (!text)
		gv_fail(e, GV_ERR_SYS,
		    "the program answered '%s' to call %s, where an object "
		    "with a text 'output' or 'error' is wanted",
		    gv_quote(q, sizeof q, line, n), id);
	else if (!failed || !put(x, "error: ", 7, false, out, e))
		put(x, json_string_value(text), json_string_length(text), false,
		    out, e);
	json_decref(said);
	return e->code;
}

static int
ask(struct gv_tool *x, const struct gv_tool_call *c, struct gv_ids *out,
    struct gv_error *e)
{
	json_t *o, *text = string_of(c->text, c->n);
	const char *line;
	char *q, id[64];
	size_t n;

	snprintf(id, sizeof id, "%llu:%u:%u", (unsigned long long)c->prompt,
	    (unsigned)c->sample, (unsigned)c->number);
	o = json_pack("{ssso}", "id", id, "text", text);
	q = o ? gv_json_text(o, JSON_COMPACT) : NULL;
	json_decref(o);
	if (!q)
		return no_memory(e);
	if (!gv_coproc_ask(x->program, q, strlen(q), &line, &n, e))
		put_json(x, line, n, id, out, e);
	gv_free(q);
	return e->code ? gv_fail_in(e, "tool") : 0;
}

static int
calculate(struct gv_tool *x, const struct gv_tool_call *c, struct gv_ids *out,
    struct gv_error *e)
{
	char value[GV_CALC_TEXT];

	if (!gv_calculate(c->text, c->n, value))
		return put(x, "error", 5, false, out, e);
	return put(x, value, strlen(value), false, out, e);
}

static int
put_mark(
    struct gv_tool *x, const char *s, struct gv_ids *out, struct gv_error *e)
{
	return put(x, s, s ? strlen(s) : 0, true, out, e);
}

int
gv_tool_call(struct gv_tool *x, const struct gv_tool_call *c,
    struct gv_ids *out, struct gv_error *e)
{
	size_t was = out->n;

	if (put_mark(x, x->mark.out_start, out, e) ||
	    (x->program ? ask(x, c, out, e) : calculate(x, c, out, e)) ||
	    put_mark(x, x->mark.out_end, out, e))
		out->n = was;
	return e->code;
}
