/* Vocabularies as tiktoken keeps them: a line a token, its bytes in base64 and
 * its rank, which is its id.
 *
 * There are no merges: any two neighbours whose bytes together are a token may
 * become it, and its rank is theirs.  Pattern and special tokens stand in
 * tiktoken's code, by the encoding's name.
 */
#include "token_impl.h"

#include "base64.h"
#include "mem.h"
#include "banned.h"

/* ---- encodings ----------------------------------------------------------- */

/* Special tokens of one encoding; "%d" in a text stands for numbers from
 * `first`, one for each id up to `last`. */
struct special {
	const char *text;
	int32_t id, last, first;
};

static const struct encoding {
	const char *name, *pattern;
	struct special special[16];
} encodings[] = {
    {"gpt2", gv_split_gpt2, {{"<|endoftext|>", 50256, 0, 0}}},
    {"r50k_base", gv_split_gpt2, {{"<|endoftext|>", 50256, 0, 0}}},
    {"p50k_base", gv_split_gpt2, {{"<|endoftext|>", 50256, 0, 0}}},
    {"p50k_edit", gv_split_gpt2,
	{{"<|endoftext|>", 50256, 0, 0}, {"<|fim_prefix|>", 50281, 0, 0},
	    {"<|fim_middle|>", 50282, 0, 0}, {"<|fim_suffix|>", 50283, 0, 0}}},
    {"cl100k_base", gv_split_cl100k,
	{{"<|endoftext|>", 100257, 0, 0}, {"<|fim_prefix|>", 100258, 0, 0},
	    {"<|fim_middle|>", 100259, 0, 0}, {"<|fim_suffix|>", 100260, 0, 0},
	    {"<|endofprompt|>", 100276, 0, 0}}},
    {"o200k_base", gv_split_o200k,
	{{"<|endoftext|>", 199999, 0, 0}, {"<|endofprompt|>", 200018, 0, 0}}},
    {"o200k_harmony", gv_split_o200k,
	{{"<|startoftext|>", 199998, 0, 0}, {"<|endoftext|>", 199999, 0, 0},
	    {"<|reserved_%d|>", 200000, 200001, 200000},
	    {"<|return|>", 200002, 0, 0}, {"<|constrain|>", 200003, 0, 0},
	    {"<|reserved_%d|>", 200004, 200004, 200004},
	    {"<|channel|>", 200005, 0, 0}, {"<|start|>", 200006, 0, 0},
	    {"<|end|>", 200007, 0, 0}, {"<|message|>", 200008, 0, 0},
	    {"<|reserved_%d|>", 200009, 200011, 200009},
	    {"<|call|>", 200012, 0, 0},
	    {"<|reserved_%d|>", 200013, 201087, 200013}}},
    {"llama3", gv_split_llama3,
	{{"<|begin_of_text|>", 128000, 0, 0}, {"<|end_of_text|>", 128001, 0, 0},
	    {"<|reserved_special_token_%d|>", 128002, 128003, 0},
	    {"<|finetune_right_pad_id|>", 128004, 0, 0},
	    {"<|step_id|>", 128005, 0, 0},
	    {"<|start_header_id|>", 128006, 0, 0},
	    {"<|end_header_id|>", 128007, 0, 0}, {"<|eom_id|>", 128008, 0, 0},
	    {"<|eot_id|>", 128009, 0, 0}, {"<|python_tag|>", 128010, 0, 0},
	    {"<|image|>", 128011, 0, 0},
	    {"<|reserved_special_token_%d|>", 128012, 128255, 2}}},
};

static const struct encoding *
find_encoding(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof encodings / sizeof *encodings; i++)
		if (!strcmp(encodings[i].name, name))
			return &encodings[i];
	return NULL;
}

static int
add_special(
    struct gv_tokenizer *t, const char *s, int64_t id, struct gv_error *e)
{
	size_t n = strlen(s);

	if (gv_token_add(t, id, s, n, GV_TOK_ADDED | GV_TOK_SPECIAL, e))
		return e->code;
	return gv_token_enter(&t->raw, (int32_t)id, s, n, e);
}

static int
take_encoding(
    struct gv_tokenizer *t, const struct encoding *x, struct gv_error *e)
{
	const struct special *s = x->special;
	size_t i;

	for (i = 0; i < sizeof x->special / sizeof *s && s->text; i++, s++) {
		const char *gap = strstr(s->text, "%d");
		int32_t id = s->id;
		char text[64];

		if (!gap && add_special(t, s->text, id, e))
			return e->code;
		for (; gap && id <= s->last; id++) {
			snprintf(text, sizeof text, "%.*s%d%s",
			    (int)(gap - s->text), s->text,
			    (int)(s->first + id - s->id), gap + 2);
			if (add_special(t, text, id, e))
				return e->code;
		}
	}
	return gv_split_open(&t->split, x->pattern, e);
}

/* {"pat_str": ..., "special_tokens": {"<|endoftext|>": 50256}}, which are the
 * arguments of tiktoken.Encoding(). */
static int
take_object(struct gv_tokenizer *t, json_t *o, struct gv_error *e)
{
	const char *pattern = json_string_value(json_object_get(o, "pat_str"));
	json_t *specials = json_object_get(o, "special_tokens"), *id;
	const char *key;
	char q[64];

	if (!pattern)
		return gv_fail(e, GV_ERR_FORMAT,
		    "'tiktoken' has neither 'name' nor 'pat_str'");
	json_object_foreach(specials, key, id)
	{
		double v = json_number_value(id);

		if (!json_is_number(id) || !(v >= 0 && v < GV_MAX_IDS) || !*key)
			return gv_fail(e, GV_ERR_FORMAT,
			    "'tiktoken': '%s' has no id",
			    gv_quote(q, sizeof q, key, strlen(key)));
		if (add_special(t, key, (int64_t)v, e))
			return e->code;
	}
	return gv_split_open(&t->split, pattern, e);
}

/* By the file's name, if that is an encoding's; else by tokenizer_config.json;
 * and a tokenizer.model of 128,000 tokens is Llama 3's. */
static int
take_rules(struct gv_tokenizer *t, const char *name, const json_t *config,
    struct gv_error *e)
{
	json_t *o = json_object_get(config, "tiktoken");
	const char *said = json_string_value(json_object_get(o, "name"));
	const struct encoding *x;
	char q[64];

	if (o && !said)
		return take_object(t, o, e);
	if (!said)
		said = !strcmp(name, "tokenizer") && t->size == 128000
			   ? "llama3"
			   : name;
	x = find_encoding(said);
	if (x)
		return take_encoding(t, x, e);
	return gv_fail(e, GV_ERR_NOSUP,
	    "'%s' is no encoding that is known (cl100k_base, o200k_base, "
	    "llama3 ... are): tokenizer_config.json can say \"tiktoken\": "
	    "{\"pat_str\": ..., \"special_tokens\": ...}",
	    gv_quote(q, sizeof q, said, strlen(said)));
}

/* ---- tokens -------------------------------------------------------------- */

static int
take_line(struct gv_tokenizer *t, const char *s, size_t n, uint8_t *buf,
    uint64_t line, struct gv_error *e)
{
	const char *gap = memchr(s, ' ', n), *p = gap, *end = s + n;
	size_t bytes;
	int64_t id;

	if (gap && (size_t)(gap - s) > GV_MAX_TOKEN)
		return gv_fail(e, GV_ERR_LIMIT,
		    "line %llu: a token of more than %zu bytes",
		    (unsigned long long)line, GV_MAX_TOKEN);
	if (!gap || !gv_base64_decode(buf, &bytes, s, (size_t)(gap - s)) ||
	    !bytes || !gv_scan_number(&p, end, &id) || p != end)
		return gv_fail(e, GV_ERR_FORMAT,
		    "line %llu is no token in base64 and its rank",
		    (unsigned long long)line);
	if (gv_token_add(t, id, (const char *)buf, bytes, 0, e))
		return gv_fail_in(e, "line %llu", (unsigned long long)line);
	return 0;
}

static int
take_lines(struct gv_tokenizer *t, const char *s, size_t n, struct gv_error *e)
{
	uint8_t *buf = gv_alloc(GV_BASE64_ROOM(GV_MAX_TOKEN), 1);
	const char *p = s, *end = s + n, *stop;
	uint64_t line;

	if (!buf)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	for (line = 1; p < end && !e->code; p = stop + 1, line++) {
		stop = memchr(p, '\n', (size_t)(end - p));
		stop = stop ? stop : end;
		n = (size_t)(stop - p);
		n -= n && p[n - 1] == '\r';
		if (n)
			(void)!take_line(t, p, n, buf, line, e);
	}
	gv_free(buf);
	return e->code;
}

#define MAX_WORK ((uint64_t)1 << 31) /* bytes looked at; o200k_base: 2^24 */

/* Every way to put a token together of two others is a merge of its rank. */
static int
take_pairs(struct gv_tokenizer *t, struct gv_error *e)
{
	int32_t id, a, b;
	uint64_t work = 0;
	uint32_t k;

	for (id = 0; id < t->size && !e->code; id++) {
		const struct gv_tok *tok = &t->tok[id];
		const char *s = t->blob + tok->off;

		work += (uint64_t)tok->len * tok->len;
		if (work > MAX_WORK)
			gv_fail(
			    e, GV_ERR_LIMIT, "there are too many long tokens");

		for (k = 1; k < tok->len && !e->code; k++) {
			a = gv_token_find(t, s, k);
			b = a < 0 ? -1 : gv_token_find(t, s + k, tok->len - k);
			if (b >= 0)
				(void)!gv_token_pair(t, a, b, (uint32_t)id, e);
		}
	}
	return e->code ? e->code : gv_token_index_pairs(t, e);
}

int
gv_token_tiktoken(struct gv_tokenizer *t, const char *s, size_t n,
    const char *name, const json_t *config, struct gv_error *e)
{
	int32_t id;

	t->unk = -1;
	t->ignore_merges = t->by_rank = true;
	if (n && (*s == '\n' || memchr(s, 0, n)))
		return gv_fail(e, GV_ERR_NOSUP,
		    "SentencePiece's own files are not supported: a "
		    "tokenizer.json is");
	if (take_lines(t, s, n, e) || gv_token_index(t, e) || take_pairs(t, e))
		return e->code;
	t->merges = (uint32_t)t->size;
	t->merged = gv_alloc(t->merges, sizeof *t->merged);
	if (!t->merged)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	for (id = 0; id < t->size; id++)
		t->merged[id] = id;
	return take_rules(t, name, config, e) ? e->code : gv_bpe_index(t, e);
}
