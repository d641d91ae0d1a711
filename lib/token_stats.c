/* Statistics of vocabularies on text. */
#include "token_stats.h"

#include "mem.h"
#include "ordered.h"
#include "token.h"
#include "utf8.h"

#include "banned.h"

#define LONGEST 10 /* tokens that are named */

/* One vocabulary and what it made of the text. */
struct column {
	const char *model;
	struct gv_tokenizer *t;
	uint64_t *count; /* of each id */
	uint64_t tokens;
	uint64_t *document; /* tokens of each document */
	size_t documents, cap;
};

struct gv_token_stats {
	struct column *column;
	size_t columns;
	struct gv_docs *docs;
	struct gv_ordered *q;
	uint64_t bytes;
};

/* A batch of documents and the ids of each, vocabulary by vocabulary. */
struct batch {
	struct gv_token_stats *all;
	struct gv_docs_batch docs;
	struct gv_ids ids; /* end[i] is where those of document i end */
	size_t *end;
	size_t ends, cap;
	uint64_t bytes;
	struct gv_error err; /* of the first bad document */
};

/* ---- documents ----------------------------------------------------------- */

static int
next_batch(void *ctx, void *item, struct gv_error *e)
{
	struct gv_token_stats *s = ctx;
	struct batch *b = item;

	b->all = s;
	return gv_docs_next(s->docs, &b->docs, e);
}

static int
encode_text(struct batch *b, const char *s, size_t n, struct gv_error *e)
{
	size_t i;

	b->bytes += n;
	for (i = 0; i < b->all->columns; i++) {
		if (gv_encode(b->all->column[i].t, s, n, false, &b->ids, e) ||
		    gv_room(&b->end, &b->cap, b->ends + 1, sizeof *b->end, e))
			return e->code;
		b->end[b->ends++] = b->ids.n;
	}
	return 0;
}

static int
encode(void *ctx, const char *s, size_t n, bool json, struct gv_error *e)
{
	struct batch *b = ctx;
	const json_t *text;
	json_t *o;

	if (!json)
		return encode_text(b, s, n, e);
	if (gv_docs_parse(&o, s, n, e))
		return e->code;
	text = json_object_get(o, "text");
	if (json_is_string(text))
		(void)!encode_text(
		    b, json_string_value(text), json_string_length(text), e);
	else
		gv_fail(e, GV_ERR_FORMAT, "no 'text'");
	json_decref(o);
	return e->code;
}

static void
encode_batch(void *ctx, void *item)
{
	struct batch *b = item;

	(void)ctx;
	gv_error_clear(&b->err);
	b->ids.n = b->ends = 0;
	b->bytes = 0;
	(void)!gv_docs_each(&b->docs, encode, b, &b->err);
}

static void
drop_batch(void *item)
{
	struct batch *b = item;

	gv_docs_free(&b->docs);
	gv_ids_free(&b->ids);
	gv_free(b->end);
}

static int
count_batch(struct gv_token_stats *s, const struct batch *b, struct gv_error *e)
{
	size_t i, at = 0;

	for (i = 0; i < b->ends; i++) {
		struct column *c = &s->column[i % s->columns];

		if (gv_room(&c->document, &c->cap, c->documents + 1,
			sizeof *c->document, e))
			return e->code;
		c->document[c->documents++] = b->end[i] - at;
		c->tokens += b->end[i] - at;
		for (; at < b->end[i]; at++)
			c->count[b->ids.id[at]]++;
	}
	s->bytes += b->bytes;
	return 0;
}

int
gv_token_stats_next(
    struct gv_token_stats *s, uint64_t *bytes, struct gv_error *e)
{
	const struct batch *b;
	void *p;
	int got = gv_ordered_take(s->q, &p, e);

	if (got <= 0)
		return got;
	b = p;
	if (b->err.code) {
		*e = b->err;
		return e->code;
	}
	if (count_batch(s, b, e))
		return e->code;
	*bytes += b->bytes;
	return 1;
}

/* ---- opening ------------------------------------------------------------- */

static int
open_columns(struct gv_token_stats *s, const char *const *model, size_t models,
    struct gv_error *e)
{
	size_t i;

	s->column = gv_alloc(models, sizeof *s->column);
	if (!s->column)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	for (i = 0; i < models; i++, s->columns++) {
		struct column *c = &s->column[i];

		c->model = model[i];
		if (gv_tokenizer_open(&c->t, model[i], e))
			return e->code;
		c->count =
		    gv_alloc((size_t)gv_tokenizer_size(c->t), sizeof *c->count);
		if (!c->count) {
			gv_tokenizer_close(&c->t);
			return gv_fail(e, GV_ERR_NOMEM, "out of memory");
		}
	}
	return 0;
}

int
gv_token_stats_open(struct gv_token_stats **out, const char *const *model,
    size_t models, const char *const *file, size_t files,
    enum gv_docs_form form, size_t threads, struct gv_error *e)
{
	struct gv_token_stats *s = gv_alloc(1, sizeof *s);

	if (!s)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	if (open_columns(s, model, models, e) ||
	    gv_docs_open(&s->docs, file, files, form, e) ||
	    gv_ordered_open(&s->q, threads, sizeof(struct batch), next_batch,
		encode_batch, drop_batch, s, e)) {
		gv_token_stats_close(&s);
		return e->code;
	}
	*out = s;
	return 0;
}

void
gv_token_stats_close(struct gv_token_stats **sp)
{
	struct gv_token_stats *s = *sp;
	size_t i;

	if (!s)
		return;
	gv_ordered_close(&s->q);
	gv_docs_close(&s->docs);
	for (i = 0; i < s->columns; i++) {
		gv_tokenizer_close(&s->column[i].t);
		gv_free(s->column[i].count);
		gv_free(s->column[i].document);
	}
	gv_free(s->column);
	gv_free(s);
	*sp = NULL;
}

/* ---- tokens -------------------------------------------------------------- */

enum kind { LETTERS, NUMBERS, BLANKS, OTHER, MIXED, BROKEN, KINDS };

static enum kind
kind_of(const char *s, size_t n)
{
	static const enum kind of_class[] = {[GV_CLASS_OTHER] = OTHER,
	    [GV_CLASS_LETTER] = LETTERS,
	    [GV_CLASS_NUMBER] = NUMBERS,
	    [GV_CLASS_SPACE] = BLANKS};
	enum kind kind = KINDS;
	size_t i, len;
	uint32_t c;

	for (i = n > 1 && *s == ' '; i < n; i += len) {
		enum kind k;

		len = gv_utf8_next(s + i, n - i, &c);
		if (c == GV_UTF8_BAD)
			return BROKEN;
		k = of_class[gv_utf8_class(c)];
		kind = kind == KINDS || kind == k ? k : MIXED;
	}
	return kind == KINDS ? MIXED : kind;
}

static json_t *
kinds_of(const struct column *c)
{
	static const char *const name[KINDS] = {
	    "letters", "numbers", "blanks", "other", "mixed", "broken"};
	uint64_t tokens[KINDS] = {0}, bytes[KINDS] = {0}, used[KINDS] = {0};
	json_t *o = json_object();
	int32_t id;
	size_t n;
	int k;

	for (id = 0; id < gv_tokenizer_size(c->t); id++) {
		const char *s = gv_token_bytes(c->t, id, &n);

		if (!c->count[id])
			continue;
		k = (int)kind_of(s, n);
		tokens[k] += c->count[id];
		bytes[k] += c->count[id] * n;
		used[k]++;
	}
	for (k = 0; k < KINDS; k++)
		if (json_object_set_new(o, name[k],
			json_pack("{s:I, s:I, s:I}", "tokens",
			    (json_int_t)tokens[k], "bytes",
			    (json_int_t)bytes[k], "used",
			    (json_int_t)used[k]))) {
			json_decref(o);
			return NULL;
		}
	return o;
}

/* Puts id into the list of the longest, of which there are n, longer ones and
 * then lower ids first; returns the new n. */
static size_t
rank(const struct column *c, int32_t *list, size_t n, int32_t id)
{
	size_t len, other, i;

	(void)gv_token_bytes(c->t, id, &len);
	for (i = n; i; i--) {
		(void)gv_token_bytes(c->t, list[i - 1], &other);
		if (other >= len)
			break;
		if (i < LONGEST)
			list[i] = list[i - 1];
	}
	if (i < LONGEST)
		list[i] = id;
	return n < LONGEST ? n + 1 : n;
}

static json_t *
longest_of(const struct column *c)
{
	json_t *list = json_array();
	int32_t top[LONGEST], id;
	size_t n = 0, i, len, k;

	for (id = 0; id < gv_tokenizer_size(c->t); id++)
		if (c->count[id])
			n = rank(c, top, n, id);
	for (i = 0; i < n; i++) {
		const char *s = gv_token_bytes(c->t, top[i], &len);
		char *text = gv_utf8_clean(s, len, &k);
		json_t *o =
		    text ? json_pack("{s:i, s:I, s:s%, s:I}", "id", (int)top[i],
			       "bytes", (json_int_t)len, "text", text, k,
			       "count", (json_int_t)c->count[top[i]])
			 : NULL;

		gv_free(text);
		if (json_array_append_new(list, o)) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

/* ---- the report ---------------------------------------------------------- */

static int
by_number(const void *x, const void *y)
{
	uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;

	return a < b ? -1 : a > b;
}

/* a / b, or null. */
static json_t *
ratio(uint64_t a, uint64_t b)
{
	return b ? json_real((double)a / (double)b) : json_null();
}

static json_t *
documents_of(struct column *c)
{
	static const struct {
		const char *name;
		unsigned percent;
	} q[] = {{"min", 0}, {"p5", 5}, {"p25", 25}, {"p50", 50}, {"p75", 75},
	    {"p95", 95}, {"p99", 99}, {"max", 100}};
	json_t *o = json_pack("{s:o}", "mean", ratio(c->tokens, c->documents));
	size_t i;

	if (c->documents)
		qsort(
		    c->document, c->documents, sizeof *c->document, by_number);
	for (i = 0; i < sizeof q / sizeof *q; i++) {
		size_t rank = (c->documents / 100 * q[i].percent) +
			      (c->documents % 100 * q[i].percent + 99) / 100;
		json_t *v =
		    c->documents
			? json_integer(
			      (json_int_t)c->document[rank ? rank - 1 : 0])
			: json_null();

		if (json_object_set_new(o, q[i].name, v)) {
			json_decref(o);
			return NULL;
		}
	}
	return o;
}

static json_t *
report_column(const struct gv_token_stats *s, struct column *c)
{
	json_int_t size = 0, used = 0, single = 0;
	int32_t id;
	size_t n;

	for (id = 0; id < gv_tokenizer_size(c->t); id++) {
		if (!gv_token_bytes(c->t, id, &n) ||
		    gv_tokenizer_is_special(c->t, id))
			continue;
		size++;
		used += c->count[id] > 0;
		if (n == 1)
			single += (json_int_t)c->count[id];
	}
	return json_pack("{s:s, s:I, s:I, s:I, s:o, s:o, s:I, s:o, s:o}",
	    "model", c->model, "size", size, "used", used, "tokens",
	    (json_int_t)c->tokens, "bytes_per_token",
	    ratio(s->bytes, c->tokens), "document", documents_of(c), "single",
	    single, "kinds", kinds_of(c), "longest", longest_of(c));
}

json_t *
gv_token_stats_report(struct gv_token_stats *s, struct gv_error *e)
{
	json_t *list = json_array(), *o;
	size_t i;

	for (i = 0; i < s->columns; i++)
		if (json_array_append_new(
			list, report_column(s, &s->column[i]))) {
			json_decref(list);
			list = NULL;
		}
	o = json_pack("{s:I, s:I, s:o}", "documents",
	    (json_int_t)s->column->documents, "bytes", (json_int_t)s->bytes,
	    "vocabularies", list);
	if (!o)
		gv_fail(e, GV_ERR_NOMEM, "out of memory");
	return o;
}
