/* Records that threads get ready: the stream, and what is said of bad lines,
 * are those of rendering line after line. */
#include "render_files.h"

#include "token_stream.h"
#include "tokens.h"

#define LINES 5000 /* of several batches */
#define BAD   37 /* each such line is none */

static char path[MOST_PATH];

/* Line i; some are blank, some not JSON, some have ids of their own. */
static size_t
write_line(char *to, size_t room, size_t i, bool json)
{
	if (i % 11 == 3)
		return (size_t)snprintf(to, room, " \t\n");
	if (!json)
		return (size_t)snprintf(to, room, "%zu: the line %.*s\n", i,
		    (int)(i % 40), "has so many letters of these at its end");
	if (i % BAD == 5)
		return (size_t)snprintf(to, room, "{\"text\": %zu\n", i);
	return (size_t)snprintf(to, room,
	    i % 5 ? "{\"text\": \"line %zu\"}\n"
		  : "{\"id\": \"k%zu\", \"text\": \"\"}\n",
	    i);
}

static void
write_lines(bool json)
{
	size_t room = LINES * 128, n = 0, i;
	char *s = malloc(room);

	if (!s)
		bail("lines", "out of memory");
	for (i = 1; i <= LINES; i++)
		n += write_line(s + n, room - n, i, json);
	write_file(in_scratch(path, "lines"), s, n);
	free(s);
}

static char *
take_stream(struct gv_writer **w, struct gv_out **out, uint64_t bad, size_t *n)
{
	struct gv_error e = {0};
	char *bytes;

	must(gv_writer_close(w, bad, &e), &e);
	must(gv_out_commit(out, &e), &e);
	must(
	    gv_slurp(in_scratch(path, "out"), SIZE_MAX / 2, &bytes, n, &e), &e);
	unlink(path);
	return bytes;
}

static struct gv_writer *
start(const struct gv_render *how, struct gv_out **out)
{
	struct gv_error e = {0};
	struct gv_writer *w;

	must(gv_out_open(out, in_scratch(path, "out"), true, true, &e), &e);
	must(gv_tokens_open(&w, *out, how, GV_DOCS_LINES, &e), &e);
	return w;
}

/* One line after the other, with nothing of what is tested. */
static char *
line_by_line(const struct gv_render *how, size_t *n)
{
	bool json = how->mode == GV_RENDER_JSON;
	struct gv_record r = {0};
	struct gv_error e = {0};
	struct gv_out *out;
	struct gv_writer *w = start(how, &out);
	uint64_t bad = 0;
	char line[256];
	size_t i, len;

	for (i = 1; i <= LINES; i++) {
		len = write_line(line, sizeof line, i, json) - 1;
		if (line[0] == ' ')
			continue;
		if (gv_render(how, line, len, &r, &e)) {
			gv_error_clear(&e);
			bad++;
			continue;
		}
		if (!r.key[0])
			snprintf(r.key, sizeof r.key, "%zu", i);
		must(gv_tokens_put(w, how, &r, &e), &e);
	}
	gv_record_free(&r);
	return take_stream(&w, &out, bad, n);
}

/* Does message k say where the k-th bad line is? */
static bool
names_line(const struct gv_error *bad, size_t k)
{
	size_t i = 0;
	char want[32];

	for (k++; k; k--)
		do
			i++;
		while (i % BAD != 5 || i % 11 == 3);
	snprintf(want, sizeof want, "line %zu:", i);
	return bad->code == GV_ERR_FORMAT && strstr(bad->msg, want);
}

static void
compare(const struct gv_render *how, const char *want, size_t n, size_t threads)
{
	const char *name = how->mode == GV_RENDER_JSON ? "JSON" : "text";
	char lines[MOST_PATH], *bytes;
	const char *file = lines;
	const struct gv_render_some *some;
	size_t bads = 0, recs = 0, m, i;
	struct gv_error e = {0};
	struct gv_render_files *f;
	struct gv_out *out;
	struct gv_writer *w = start(how, &out);
	bool named = true;
	int got;

	in_scratch(lines, "lines");
	must(gv_render_open(
		 &f, how, &file, 1, GV_DOCS_LINES, threads, w, NULL, &e),
	    &e);
	while ((got = gv_render_next(f, &some, &e)) > 0) {
		for (i = 0; i < some->bads; i++)
			named &= names_line(&some->bad[i], bads++);
		recs += some->recs;
		must(gv_writer_join(w, some->part, &e), &e);
	}
	is_int(got, 0, "%s, %zu threads: the end", name, threads);
	gv_render_close(&f);
	bytes = take_stream(&w, &out, bads, &m);
	ok(recs && (how->mode == GV_RENDER_TEXT || bads > LINES / BAD / 2),
	    "... %zu records, %zu bad lines", recs, bads);
	ok(named, "... which are named in order");
	ok(m == n && !memcmp(bytes, want, n), "... the same bytes");
	gv_free(bytes);
}

/* Without a stream the records themselves come, those of a batch together. */
static void
without_stream(struct gv_render *how)
{
	char lines[MOST_PATH];
	const char *file = lines;
	const struct gv_render_some *some;
	size_t recs = 0, wrong = 0, tokens, i;
	struct gv_error e = {0};
	struct gv_render_files *f;
	int last = 0, key;

	in_scratch(lines, "lines");
	must(
	    gv_render_open(&f, how, &file, 1, GV_DOCS_LINES, 3, NULL, NULL, &e),
	    &e);
	while (gv_render_next(f, &some, &e) > 0) {
		for (i = tokens = 0; i < some->recs; i++, last = key) {
			key = atoi(some->rec[i].key);
			wrong += key <= last;
			tokens += some->rec[i].seq.n;
		}
		wrong += some->part != NULL || tokens != some->tokens;
		recs += some->recs;
	}
	gv_render_close(&f);
	ok(!e.code && recs > LINES / 2 && !wrong,
	    "without a stream: %zu records in order", recs);
}

int
main(int argc, char **argv)
{
	static const enum gv_render_mode modes[] = {
	    GV_RENDER_TEXT, GV_RENDER_JSON};
	struct gv_render how = {0};
	struct gv_tokenizer *t;
	size_t n, i;
	char *want;

	(void)argc;
	make_scratch();
	how.tokenizer = t = learn_corpus(argv[0], 300, "nano");
	for (i = 0; i < 2; i++) {
		how.mode = modes[i];
		write_lines(how.mode == GV_RENDER_JSON);
		want = line_by_line(&how, &n);
		compare(&how, want, n, 1);
		compare(&how, want, n, 2);
		compare(&how, want, n, 7);
		gv_free(want);
		if (how.mode == GV_RENDER_TEXT)
			without_stream(&how);
	}
	gv_tokenizer_close(&t);
	unlink(in_scratch(path, "lines"));
	cleanup();
	return done();
}
