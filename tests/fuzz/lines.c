/* Fuzz: any lines as conversations, prompts and documents, by each of the chat
 * templates: what is rendered must hold together, and come out again.
 *
 * Input: mode and what else is asked for, template, images' rows, the longest
 * sequence; then lines.  They are rendered one by one, and as a file.
 */
#include "vocab.h"

#include "chat.h"
#include "render_files.h"

#include <inttypes.h>

#define MOST 65536

enum { /* with the mode's two bits */
	STRICT = 4,
	TILES = 8,
	MARKS = 16,
	DATE = 32,
	KEEP = 64,
	THREADS = 128
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct gv_tokenizer *tokenizer;

/* Bytes, a few merges, and the special tokens of all templates. */
static void
make_tokenizer(void)
{
	static const char *const special[] = {"<|endoftext|>", "<|im_start|>",
	    "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>",
	    "<tool_call>", "</tool_call>", "<tool_response>",
	    "</tool_response>", "<think>", "</think>", "<|begin_of_text|>",
	    "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>",
	    "<|eot_id|>", "<|eom_id|>", "<|python_tag|>", "<s>", "</s>",
	    "<image>", "<end_of_utterance>", "<fake_token_around_image>",
	    "<global-img>", "<|bos|>", "<|user_start|>", "<|user_end|>",
	    "<|assistant_start|>", "<|assistant_end|>", "<|python_start|>",
	    "<|python_end|>", "<|output_start|>", "<|output_end|>",
	    "<|image|>"};
	static const char *const merge[][2] = {
	    {"e", "r"}, {"u", "s"}, {"us", "er"}, {"t", "h"}, {"th", "e"}};
	static char s[65536];
	struct gv_error e = {0};
	char *p = s;
	int id = 0;
	size_t i;

	p += sprintf(p,
	    "{\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":"
	    "false},\"model\":{\"type\":\"BPE\",\"vocab\":{");
	for (; id < 256; id++) {
		*p++ = '"';
		p += spell_byte(p, (unsigned)id);
		p += sprintf(p, "\":%d,", id);
	}
	for (i = 0; i < 5; i++)
		p += sprintf(p, "%s\"%s%s\":%d", i ? "," : "", merge[i][0],
		    merge[i][1], id++);
	p += sprintf(p, "},\"merges\":[");
	for (i = 0; i < 5; i++)
		p += sprintf(
		    p, "%s\"%s %s\"", i ? "," : "", merge[i][0], merge[i][1]);
	p += sprintf(p, "]},\"added_tokens\":[");
	for (i = 0; i < sizeof special / sizeof *special; i++)
		p += sprintf(p,
		    "%s{\"id\":%d,\"content\":\"%s\",\"special\":%s}",
		    i ? "," : "", id++, special[i],
		    strchr(special[i], '_') && special[i][1] != '|' ? "false"
								    : "true");
	p += sprintf(p, "]}");
	must(p < s + sizeof s);
	put_file("tokenizer.json", s, (size_t)(p - s));
	must(!open_work(&tokenizer, "", &e));
}

/* One sequence: what is to come next does. */
static void
check_sequence(const struct gv_rendered *r, size_t from, size_t end)
{
	int32_t size = gv_tokenizer_size(tokenizer);
	size_t i;

	for (i = from; i < end; i++) {
		must(r->token[i] >= 0 && r->token[i] < size);
		must(r->target[i] >= -1 && r->target[i] < size);
		must(r->bytes[i] >= 0 && (r->target[i] >= 0 || !r->bytes[i]));
		if (i + 1 < end && r->target[i] >= 0)
			must(r->target[i] == r->token[i + 1]);
	}
}

static void
check(const struct gv_render *how, const struct gv_record *rec)
{
	const struct gv_rendered *r = &rec->seq;
	struct gv_error e = {0};
	size_t i, end, len;
	char *text;

	must(rec->starts > 0 && rec->start[0] == 0);
	for (i = 0; i < rec->starts; i++) {
		end = i + 1 < rec->starts ? (size_t)rec->start[i + 1] : r->n;
		must((size_t)rec->start[i] <= end && end <= r->n);
		must(how->max_length == 0 ||
		     end - (size_t)rec->start[i] <= (size_t)how->max_length);
		check_sequence(r, (size_t)rec->start[i], end);
	}
	for (i = 0; i < r->images; i++) {
		must(!i || r->image_at[i] > r->image_at[i - 1]);
		must(r->image_at[i] >= 0 &&
		     (size_t)(r->image_at[i] + how->chat.image_rows) <= r->n);
	}
	for (i = 0; how->mode == GV_RENDER_PROMPT && i < r->n; i++)
		must(r->target[i] == -1);
	must(!gv_decode(tokenizer, r->token, r->n, true, &text, &len, &e));
	gv_free(text);
}

/* The same line twice gives the same, and an error says what is wrong. */
static void
line(const struct gv_render *how, const char *s, size_t n)
{
	static struct gv_record a, b;
	struct gv_error e = {0}, again = {0};
	int got = gv_render(how, s, n, &a, &e);

	must((got != 0) == (e.code != 0) && (e.code != 0) == (*e.msg != '\0'));
	must(gv_render(how, s, n, &b, &again) == got);
	must(!strcmp(e.msg, again.msg));
	if (got)
		return;
	check(how, &a);
	must(a.seq.n == b.seq.n && a.starts == b.starts &&
	     !memcmp(a.seq.token, b.seq.token, a.seq.n * sizeof *a.seq.token));
}

static bool
is_blank(const char *s, size_t n)
{
	while (n && strchr(" \t\r", *s) && *s)
		s++, n--;
	return !n;
}

/* What comes from a file, in the order of its lines. */
struct queue {
	struct gv_render_files *f;
	const struct gv_render_some *some;
	size_t recs, bads; /* of it, that have been looked at */
};

static bool
is_used_up(const struct queue *q)
{
	return !q->some ||
	       (q->recs == q->some->recs && q->bads == q->some->bads);
}

static void
fill(struct queue *q)
{
	struct gv_error e = {0};

	if (!is_used_up(q))
		return;
	must(gv_render_next(q->f, &q->some, &e) == 1);
	q->recs = q->bads = 0;
}

/* The same lines from a file: the same records, with their numbers as keys
 * where they have none. */
static void
file(const struct gv_render *how, const char *s, size_t n, size_t threads)
{
	static struct gv_record want;
	const char *end = s + n, *stop, *name;
	const struct gv_record *got;
	struct gv_error e = {0};
	struct queue q = {0};
	char path[128], key[32];
	uint64_t number = 0;

	put_file("lines", s, n);
	name = in_work(path, "lines");
	must(!gv_render_open(
	    &q.f, how, &name, 1, GV_DOCS_LINES, threads, NULL, NULL, &e));
	for (; s < end; s = stop + 1) {
		stop = memchr(s, '\n', (size_t)(end - s));
		stop = stop ? stop : end;
		number++;
		if (is_blank(s, (size_t)(stop - s)))
			continue;
		fill(&q);
		if (gv_render(how, s, (size_t)(stop - s), &want, &e)) {
			must(q.bads < q.some->bads);
			must(q.some->bad[q.bads].code == e.code &&
			     strstr(q.some->bad[q.bads].msg, e.msg));
			q.bads++;
			gv_error_clear(&e);
			continue;
		}
		must(q.recs < q.some->recs);
		got = &q.some->rec[q.recs++];
		must(got->seq.n == want.seq.n);
		must(!want.seq.n || !memcmp(got->seq.token, want.seq.token,
					want.seq.n * sizeof *want.seq.token));
		snprintf(key, sizeof key, "%" PRIu64, number);
		must(!strcmp(got->key, *want.key ? want.key : key));
	}
	must(is_used_up(&q) && !gv_render_next(q.f, &q.some, &e));
	gv_render_close(&q.f);
}

/* What the first bytes ask for. */
static void
read_how(struct gv_render *how, const uint8_t *data)
{
	static const int32_t tiles[] = {2, 1, 0, 0};
	static const struct gv_tool_marks marks = {
	    "<tool_call>", "</tool_call>", "<tool_response>", ")"};
	static const char *const keep[] = {"image", "answer"};
	size_t forms = 0;

	while (gv_chat_form_name(forms))
		forms++;
	how->tokenizer = tokenizer;
	how->mode = (enum gv_render_mode)(data[0] % 4);
	how->strict = data[0] & STRICT;
	how->chat.prompt = how->mode == GV_RENDER_PROMPT;
	how->chat.form = gv_chat_form_name(data[1] % forms);
	how->chat.no_thinking = data[1] >= 128;
	how->chat.image_rows = data[2] % 8;
	how->max_length = data[3];
	if (data[0] & TILES) {
		how->chat.tiles = tiles;
		how->chat.pictures = 1 + data[2] / 8 % 2;
	}
	if (data[0] & MARKS)
		how->chat.marks = marks;
	if (data[0] & DATE)
		how->chat.date = "1 Jan 2025";
	if (data[0] & KEEP) {
		how->keep = keep;
		how->nkeep = 2;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct gv_render how = {0};
	const char *s, *end, *stop;

	if (n < 4 || n > MOST)
		return 0;
	if (!tokenizer)
		make_tokenizer();
	read_how(&how, data);
	s = (const char *)data + 4;
	for (end = s + (n - 4); s < end; s = stop + 1) {
		stop = memchr(s, '\n', (size_t)(end - s));
		stop = stop ? stop : end;
		line(&how, s, (size_t)(stop - s));
	}
	file(&how, (const char *)data + 4, n - 4, data[0] & THREADS ? 2 : 1);
	return 0;
}
