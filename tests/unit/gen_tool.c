/* The generator with everything on: stop strings, tools, a penalty, in groups
 * and batches; forced tokens where they belong.
 *
 *	PROGRAM [device]	cpu (default), cuda
 *
 * Where storage is BF16 another batch may give other samples, so what compares
 * them is left out there.
 */
#include "generate.h"
#include "score.h"
#include "utf8.h"

#define GROUP 4
#define ALL   (PROMPTS * GROUP)

#define ROUGH .25 /* of log-probabilities where storage is BF16 */

static struct gv_gen_prompt p[PROMPTS];
static bool exact; /* any batch gives the same samples */

/* Hot, so that marks that are single letters come often. */
static struct gv_gen_law
hot(int64_t rows)
{
	struct gv_gen_law law = law_of(GROUP, rows, 2);

	law.max_tokens = 60;
	return law;
}

static struct gv_tool *
tool_of(const char *name, const char *start, const char *end)
{
	const struct gv_tool_opts o = {
	    .name = name, .timeout = 5, .marks = {start, end, NULL, NULL}};
	struct gv_tool *tool;

	if (gv_tool_open(&tool, &o, t, &e))
		fatal("gv_tool_open");
	return tool;
}

/* True if any number of rows gives the samples of `want`, with passes one after
 * the other or queued ahead. */
static bool
any_batch(struct gv_gen_law law, const struct got *want)
{
	static const int64_t rows[] = {1, 2, 7, 64};
	static struct got got[ALL];
	bool good = true;
	size_t i;

	for (i = 0; i < 2 * sizeof rows / sizeof *rows; i++) {
		law.rows = rows[i / 2];
		ahead = i % 2;
		run(&law, p, PROMPTS, got, NULL);
		good = good && same(got, want, ALL);
	}
	ahead = false;
	return good;
}

/* ---- stop strings -------------------------------------------------------- */

/* The text of the first n tokens; the caller frees it. */
static char *
text_of(const struct got *g, size_t n, size_t *len)
{
	char *s;

	if (gv_decode(t, g->token, n, true, &s, len, &e))
		fatal("gv_decode");
	return s;
}

/* The first two-letter text of a sample whose letters are of two tokens. */
static void
crossing(const struct got *g, char to[3])
{
	size_t i, n, len;

	for (i = 1; i < g->n; i++) {
		const char *a = gv_token_bytes(t, g->token[i - 1], &n);
		const char *b = gv_token_bytes(t, g->token[i], &len);

		if (a[n - 1] < 'a' || a[n - 1] > 'z' || *b < 'a' || *b > 'z')
			continue;
		snprintf(to, 3, "%c%c", a[n - 1], *b);
		return;
	}
	fatal("no two letters of two tokens");
}

/* Whether `s` is what the sample `free` becomes when `a` and `b` end it. */
static bool
stopped(
    const struct got *s, const struct got *free, const char *a, const char *b)
{
	size_t n = free->n - (free->stop == GV_STOP_ID), i, len;
	const char *x = NULL, *y;
	bool good;
	char *text, *clean;

	for (i = 1; i <= n && !x; i++) {
		text = text_of(free, i, &len);
		x = memmem(text, len, a, strlen(a));
		y = memmem(text, len, b, strlen(b));
		if (!x || (y && y < x))
			x = y;
		if (x)
			len = (size_t)(x - text);
		clean = gv_utf8_clean(text, len, &len);
		good = !strcmp(s->text, clean);
		gv_free(clean);
		gv_free(text);
	}
	if (!x)
		return s->n == free->n && s->stop == free->stop &&
		       !strcmp(s->text, free->text);
	return good && s->stop == GV_STOP_STRING && s->n == i - 1 &&
	       !memcmp(s->token, free->token, s->n * sizeof *s->token);
}

static void
stop_strings(void)
{
	static struct got free[ALL], got[ALL];
	struct gv_gen_law law = hot(7);
	char border[3];
	const char *const stop[] = {border, "i"};
	struct gv_gen_prompt one = p[0];
	struct gv_gen_stats st;
	uint64_t passes;
	int i, good = 0, ended = 0;

	run(&law, p, PROMPTS, free, NULL);
	crossing(&free[3], border);
	law.stop = stop;
	law.stops = 2;
	run(&law, p, PROMPTS, got, NULL);
	for (i = 0; i < ALL; i++) {
		good += stopped(&got[i], &free[i], stop[0], stop[1]);
		ended += got[i].stop == GV_STOP_STRING;
	}
	is_int(good, ALL, "samples end where '%s' or '%s' is complete", border,
	    stop[1]);
	ok(ended > 3 && ended <= ALL, "%d of %d do", ended, ALL);
	ok(any_batch(law, got), "whatever the batch");
	law.stops = 1;
	run(&law, p, PROMPTS, got, NULL);
	ok(got[3].stop == GV_STOP_STRING &&
		stopped(&got[3], &free[3], border, border),
	    "a string across two tokens alone ends a sample, too");
	law.group = 1;
	one.sample = 3;
	run(&law, &one, 1, got, &st);
	passes = st.passes;
	ahead = true;
	run(&law, &one, 1, got + 1, &st);
	ahead = false;
	ok(same(got, got + 1, 1) && passes == got->n && st.passes == passes + 1,
	    "a pass that was queued ahead in vain leaves nothing behind");
}

/* What on_text() has said of each sample. */
static struct {
	char s[1024];
	size_t n;
} heard[ALL];

static void
hear(void *arg, uint64_t number, uint32_t sample, const char *s, size_t n)
{
	size_t i = (size_t)number * GROUP + sample;

	(void)arg;
	memcpy(heard[i].s + heard[i].n, s, n);
	heard[i].n += n;
}

static void
as_it_comes(void)
{
	static const char *const stop[] = {"is a", "ee"};
	static struct got got[ALL];
	struct gv_tool *tool = tool_of("calculator", " ", "e");
	struct gv_gen_law law = hot(7);
	int i, good = 0;
	char *clean;
	size_t n;

	law.stop = stop;
	law.stops = 2;
	law.tool = tool;
	law.on_text = hear;
	run(&law, p, PROMPTS, got, NULL);
	for (i = 0; i < ALL; i++) {
		clean = gv_utf8_clean(heard[i].s, heard[i].n, &n);
		good += !strcmp(clean, got[i].text);
		gv_free(clean);
	}
	is_int(good, ALL, "the pieces of a text are the text");
	gv_tool_close(&tool);
}

/* ---- tools --------------------------------------------------------------- */

/* Whether tokens are forced where a call has ended and nowhere else, whole
 * unless the sample ends in them.  Adds up the calls. */
static bool
forced_well(const struct got *g, const char *end, const int32_t *answer,
    size_t len, int *calls)
{
	size_t i, n, at;
	const char *b;

	for (i = 0; i < g->n; i++) {
		if (g->mask[i] > 1 || !g->mask[i] != (g->logp[i] == 0))
			return false;
		if (g->mask[i])
			continue;
		b = i ? gv_token_bytes(t, g->token[i - 1], &n) : NULL;
		if (!b || !memmem(b, n, end, strlen(end)))
			return false;
		for (at = 0; at < len && i < g->n; at++, i++)
			if (g->mask[i] || g->token[i] != answer[at])
				return false;
		if (at < len && g->n != 60)
			return false;
		++*calls;
		i--;
	}
	return true;
}

/* The largest difference between the log-probabilities of what was drawn and
 * those of the same sequences computed from their start. */
static double
against_scores(const struct got *got)
{
	static int32_t token[ALL][256], target[ALL][256];
	static float logp[ALL][256];
	struct gv_score_item item[ALL] = {0};
	double worst = 0;
	size_t i, j;

	memset(target, -1, sizeof target);
	for (i = 0; i < ALL; i++) {
		const struct gv_gen_prompt *q = &p[i / GROUP];

		memcpy(token[i], q->token, q->n * sizeof **token);
		memcpy(
		    token[i] + q->n, got[i].token, got[i].n * sizeof **token);
		for (j = 0; j < got[i].n; j++)
			if (got[i].mask[j])
				target[i][q->n - 1 + j] = got[i].token[j];
		item[i] =
		    (struct gv_score_item){token[i], target[i], q->n + got[i].n,
			q->image_at, q->images, NULL, logp[i], NULL};
		if (gv_visual_take(&item[i].visual, m, GV_IN_IMAGE, q->visual,
			i ? item[i - 1].visual : NULL, &e) ||
		    gv_score_check(m, &item[i], &e))
			fatal("score");
	}
	if (gv_score(m, item, ALL, &e))
		fatal("gv_score");
	for (i = 0; i < ALL; i++) {
		for (j = 0; j < got[i].n; j++)
			worst = fmax(worst,
			    fabs((double)got[i].logp[j] -
				 (double)logp[i][p[i / GROUP].n - 1 + j]));
		gv_visual_drop(&item[i].visual);
	}
	return worst;
}

/* The same with other tokens in place of the last forced ones. */
static double
twisted(const struct got *from)
{
	static struct got got[ALL];
	size_t i, j;

	memcpy(got, from, sizeof got);
	for (i = 0; i < ALL; i++)
		for (j = 1; j < got[i].n; j++)
			if (got[i].mask[j] && !got[i].mask[j - 1])
				got[i].token[j - 1] = 5;
	return against_scores(got);
}

static void
calls(void)
{
	static struct got got[ALL];
	struct gv_tool *tool = tool_of("calculator", " ", "e");
	struct gv_gen_law law = hot(7);
	struct gv_gen_stats st;
	struct gv_ids answer = {0};
	int i, good = 0, n = 0;

	if (gv_encode(t, "<|output_start|>", 16, true, &answer, &e) ||
	    gv_encode(t, "error", 5, true, &answer, &e) ||
	    gv_encode(t, "<|output_end|>", 14, true, &answer, &e))
		fatal("gv_encode");
	law.tool = tool;
	ok(run(&law, p, PROMPTS, got, &st), "samples with a tool");
	for (i = 0; i < ALL; i++)
		good += forced_well(&got[i], "e", answer.id, answer.n, &n);
	is_int(good, ALL, "answers are forced where calls end");
	/* a call may be a sample's last token: then nothing is forced */
	ok(n > 20 &&
		(exact ? (uint64_t)n == st.calls : (uint64_t)n <= st.calls),
	    "%d calls", n);
	near(against_scores(got), 0, exact ? 5e-5 : ROUGH,
	    "what follows them is as without a cache");
	ok(twisted(got) > (exact ? 1e-3 : ROUGH),
	    "another forced token would be seen");
	if (exact)
		ok(any_batch(law, got), "whatever the batch");
	law.group = 1;
	law.max_tokens = 12;
	law.rows = 3;
	run(&law, p, PROMPTS, got, NULL);
	for (n = good = i = 0; i < PROMPTS; i++)
		good += got[i].n <= 12 &&
			(got[i].stop == GV_STOP_ID || got[i].n == 12);
	is_int(good, PROMPTS, "answers count for the length");
	gv_ids_free(&answer);
	gv_tool_close(&tool);
}

/* All at once, and an answer that would betray an order of calls. */
static void
everything(void)
{
	static const char id[] =
	    "while read -r l; do l=${l#*:?}; "
	    "echo \"{\\\"output\\\":\\\"${l%%\\\"*}\\\"}\"; "
	    "done";
	static const char *const stop[] = {"wh", "qu"};
	static struct got got[ALL], again[ALL];
	struct gv_tool *tool = tool_of(id, " ", "e");
	struct gv_gen_law law = hot(7);
	int i, strings = 0, named = 0;
	char want[64];

	law.min_p = 1e-3f;
	law.repetition = 1.3f;
	law.top_k = 200;
	law.top_p = .95f;
	law.stop = stop;
	law.stops = 2;
	law.tool = tool;
	run(&law, p, PROMPTS, got, NULL);
	for (i = 0; i < ALL; i++) {
		snprintf(want, sizeof want,
		    "<|output_start|>%d:%d:0<|output_end|>", i / GROUP,
		    i % GROUP);
		strings += got[i].stop == GV_STOP_STRING;
		named += strstr(got[i].text, want) != NULL;
	}
	ok(strings && named > 3, "%d ends, %d answers with a number", strings,
	    named);
	near(against_scores(got), 0, exact ? 5e-5 : ROUGH,
	    "everything as without a cache");
	if (exact)
		ok(any_batch(law, got), "everything, whatever the batch");
	law.repetition = 0;
	run(&law, p, PROMPTS, again, NULL);
	ok(!same(got, again, ALL), "the penalty matters");
	if (gv_tool_finish(tool, &e))
		fatal("gv_tool_finish");
	gv_tool_close(&tool);
}

/* Marks that are special tokens can be drawn if there is a tool. */
static void
special_marks(void)
{
	static struct got got[ALL];
	struct gv_tool *tool = tool_of("calculator", NULL, NULL);
	int32_t start = gv_tokenizer_special(t, "<|python_start|>");
	int32_t out = gv_tokenizer_special(t, "<|output_start|>");
	struct gv_gen_law law = hot(7);
	struct gv_gen_stats st;
	int i, with, drawn[2] = {0}, outs = 0;
	size_t j;

	law.temperature = 50;
	law.max_tokens = 60;
	for (with = 0; with < 2; with++) {
		law.tool = with ? tool : NULL;
		run(&law, p, PROMPTS, got, &st);
		for (i = 0; i < ALL; i++)
			for (j = 0; j < got[i].n; j++) {
				drawn[with] += got[i].token[j] == start;
				outs +=
				    got[i].token[j] == out && got[i].mask[j];
			}
	}
	ok(!drawn[0] && drawn[1], "marks are drawn %d times with a tool",
	    drawn[1]);
	ok(st.calls > 0 && st.forced >= 3 * st.calls, "%d calls, %d forced",
	    (int)st.calls, (int)st.forced);
	is_int(outs, 0, "those of answers are not drawn");
	gv_tool_close(&tool);
}

/* A call may end as a turn does; then the sample goes on. */
static void
turns(void)
{
	static struct got got[ALL];
	struct gv_tool *tool = tool_of("calculator", " ", "<|assistant_end|>");
	struct gv_gen_law law = hot(7);
	struct gv_gen_stats st;
	int i, ended = 0;
	size_t j, on = 0;

	law.tool = tool;
	run(&law, p, PROMPTS, got, &st);
	for (i = 0; i < ALL; i++) {
		ended += got[i].stop == GV_STOP_ID;
		for (j = 0; j + 1 < got[i].n; j++)
			on += got[i].token[j] == stop_id && !got[i].mask[j + 1];
	}
	ok(ended && st.calls && on == st.calls,
	    "%d turns end samples, %d calls", ended, (int)st.calls);
	gv_tool_close(&tool);
}

static void
failing(const char *command, const char *why)
{
	struct gv_tool *tool = tool_of(command, " ", "e");
	struct gv_gen_law law = hot(7);
	struct gv_gen *g;
	int i;

	law.tool = tool;
	if (gv_gen_open(&g, m, t, &law, &e))
		fatal("gv_gen_open");
	for (i = 0; i < PROMPTS; i++)
		if (gv_gen_submit(g, &p[i], &e))
			fatal("gv_gen_submit");
	while (!gv_gen_step(g, &e) && gv_gen_pending(g))
		;
	ok(e.code == GV_ERR_SYS && strstr(e.msg, why), "%s", e.msg);
	gv_error_clear(&e);
	gv_gen_close(&g);
	gv_tool_close(&tool);
}

static void
without_text(void)
{
	static const char *const stop[] = {"a"}, *const empty[] = {""};
	struct gv_gen_law law = hot(7);
	struct gv_gen *g;

	law.stop = stop;
	law.stops = 1;
	is_int(gv_gen_open(&g, m, NULL, &law, &e), GV_ERR_USAGE,
	    "no stop strings without a tokenizer");
	gv_error_clear(&e);
	law.stop = empty;
	is_int(gv_gen_open(&g, m, t, &law, &e), GV_ERR_USAGE,
	    "no empty stop string");
	gv_error_clear(&e);
}

int
main(int argc, char **argv)
{
	gen_start(argc > 1 ? argv[1] : "cpu");
	all_prompts(p);
	exact = gvk_dtype(k) == GVK_F32;
	if (exact)
		stop_strings();
	as_it_comes();
	calls();
	everything();
	special_marks();
	turns();
	failing("read -r l; exit 1", "tool: the program");
	failing("while read -r l; do echo no; done", "tool: the program");
	without_text();
	gen_end();
	return done();
}
