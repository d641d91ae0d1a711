/* The generator's samples: draws, forced tokens, ends, texts. */
#include "gen_priv.h"

#include "banned.h"
#include "mem.h"
#include "utf8.h"

/* ---- text ---------------------------------------------------------------- */

int
gv_gen_text(const struct gv_tokenizer *t, const int32_t *id, size_t n,
    char **out, size_t *len, struct gv_error *e)
{
	size_t raw_len;
	char *raw;

	if (gv_decode(t, id, n, false, &raw, &raw_len, e))
		return e->code;
	*out = gv_utf8_clean(raw, raw_len, len);
	gv_free(raw);
	if (!*out)
		return gv_fail(e, GV_ERR_NOMEM, "no memory for a text");
	return 0;
}

const char *
gv_gen_stop_name(enum gv_gen_stop stop)
{
	static const char *const name[] = {
	    [GV_STOP_LENGTH] = "length",
	    [GV_STOP_ID] = "stop",
	    [GV_STOP_STRING] = "string",
	};

	return name[stop];
}

/* Tells of the text up to `end`, where that is more than it has told of. */
static void
tell(struct gv_gen *g, struct sample *s, size_t end)
{
	const struct prompt *p = s->prompt;

	if (!g->law.on_text || end <= s->told)
		return;
	g->law.on_text(g->law.arg, p->number, (uint32_t)(s - p->sample),
	    s->text.s + s->told, end - s->told);
	s->told = end;
}

/* ---- ends ---------------------------------------------------------------- */

static void
end_prompt(struct gv_gen *g, struct prompt *p)
{
	int32_t i;

	gv_gen_drop_prefix(g, &p->prefix);
	for (i = 0; i < g->law.group; i++) {
		struct sample *s = &p->sample[i];

		s->out.token = s->token;
		s->out.logp = s->logp;
		s->out.mask = s->mask;
		s->out.text = s->clean;
		p->out[i] = s->out;
	}
}

static void
end_sample(struct gv_gen *g, struct sample *s, struct gv_error *e)
{
	struct prompt *p = s->prompt;
	size_t end = s->out.stop == GV_STOP_STRING ? s->text.stop : s->text.n;

	tell(g, s, end);
	s->clean = gv_utf8_clean(s->text.s, end, &s->out.bytes);
	if (!s->clean)
		gv_gen_no_memory(e);
	gv_watched_free(&s->text);
	gv_rows_give(&g->rows, s->own_at, s->own_n);
	s->own_n = 0;
	if (--p->left == 0)
		end_prompt(g, p);
}

void
gv_gen_free_sample(struct sample *s)
{
	gv_free(s->token);
	gv_free(s->logp);
	gv_free(s->mask);
	gv_free(s->clean);
	gv_watched_free(&s->text);
}

/* ---- tokens -------------------------------------------------------------- */

int32_t
gv_gen_owes(const struct sample *s)
{
	return (int32_t)s->out.n - (s->own_used - s->prompt->suffix);
}

int64_t
gv_gen_due(const struct gv_gen *g)
{
	int64_t n = 0;
	int32_t i;

	for (i = 0; i < g->nactive; i++)
		n += gv_gen_owes(g->active[i]);
	return n;
}

static int
push(struct sample *s, int32_t id, float logp, uint8_t mask, struct gv_error *e)
{
	size_t n = s->out.n + 1;

	if (gv_grow((void **)&s->token, &s->cap_token, n, sizeof *s->token) ||
	    gv_grow((void **)&s->logp, &s->cap_logp, n, sizeof *s->logp) ||
	    gv_grow((void **)&s->mask, &s->cap_mask, n, sizeof *s->mask))
		return gv_gen_no_memory(e);
	s->token[n - 1] = id;
	s->logp[n - 1] = logp;
	s->mask[n - 1] = mask;
	s->out.n = n;
	return 0;
}

/* Asks the tool, and appends what it says as far as the sample may go. */
static int
call(struct gv_gen *g, struct sample *s, struct gv_error *e)
{
	const struct prompt *p = s->prompt;
	const struct gv_tool_call c = {.prompt = p->number,
	    .sample = p->first + (uint32_t)(s - p->sample),
	    .number = s->calls++,
	    .text = s->text.s + s->text.call,
	    .n = s->text.call_end - s->text.call};
	size_t i, room = (size_t)p->max_new - s->out.n, n;

	g->forced.n = 0;
	if (gv_tool_call(g->law.tool, &c, &g->forced, e))
		return e->code;
	n = g->forced.n < room ? g->forced.n : room;
	for (i = 0; i < n; i++)
		if (push(s, g->forced.id[i], 0, 0, e))
			return e->code;
	g->stats.calls++;
	g->stats.forced += n;
	return gv_watch_force(g->watch, &s->text, g->forced.id, n, e);
}

/* What a token that isn't a stop id does to the text. */
static int
look(struct gv_gen *g, struct sample *s, int32_t id, struct gv_error *e)
{
	int event;

	if (!g->watch)
		return 0;
	event = gv_watch_add(g->watch, &s->text, id, e);
	if (event < 0)
		return event;
	if (event == GV_WATCH_STOP)
		s->out.stop = GV_STOP_STRING;
	else if (event == GV_WATCH_CALL && call(g, s, e))
		return e->code;
	if (g->law.on_text && !s->out.stop)
		tell(g, s, gv_watch_sure(g->watch, &s->text));
	return 0;
}

enum gv_gen_next
gv_gen_draw(struct gv_gen *g, struct sample *s, int32_t id, float logp,
    struct gv_error *e)
{
	bool mark = s->text.calling && gv_watch_is_mark(g->watch, id);
	size_t n = s->out.n + 1, i;

	if (push(s, id, logp, 1, e))
		return GV_GEN_ENDS;
	for (i = 0; i < g->nstop && g->stop[i] != id; i++)
		;
	if (i < g->nstop && !mark) /* a turn that ends in a call goes on */
		s->out.stop = GV_STOP_ID;
	else if (look(g, s, id, e))
		return GV_GEN_ENDS;
	if (s->out.stop || s->out.n >= (size_t)s->prompt->max_new) {
		end_sample(g, s, e);
		return GV_GEN_ENDS;
	}
	return s->out.n > n ? GV_GEN_FORCED : GV_GEN_GOES_ON;
}
