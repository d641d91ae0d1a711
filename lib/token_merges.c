/* Reading tokenizer.json: the list of merges, and their table. */
#include "token_impl.h"

#include "mem.h"
#include "banned.h"

#define MAX_PAIRS ((size_t)1 << 26)

/* The two sides of an entry: ["a", "b"], or "a b". */
static bool
sides(const json_t *v, const char *side[2], size_t len[2])
{
	const char *gap;
	int i;

	if (json_is_string(v)) {
		side[0] = json_string_value(v);
		gap = strchr(side[0], ' ');
		if (!gap || strchr(gap + 1, ' '))
			return false;
		side[1] = gap + 1;
		len[0] = (size_t)(gap - side[0]);
		len[1] = strlen(side[1]);
		return true;
	}
	if (json_array_size(v) != 2)
		return false;
	for (i = 0; i < 2; i++) {
		const json_t *s = json_array_get(v, (size_t)i);

		if (!json_is_string(s))
			return false;
		side[i] = json_string_value(s);
		len[i] = json_string_length(s);
	}
	return true;
}

/* A list under construction. */
struct merges {
	size_t n, cap;
	char *buf; /* room for two tokens */
};

/* The pair id[0], id[1] becomes id[2]. */
static int
put_merge(struct gv_tokenizer *t, struct merges *m, const int32_t id[3],
    struct gv_error *e)
{
	if (m->n >= (size_t)GV_MAX_IDS)
		return gv_fail(
		    e, GV_ERR_LIMIT, "%zu merges are not supported", m->n + 1);
	if (gv_room(&t->merged, &m->cap, m->n + 1, sizeof *t->merged, e))
		return e->code;
	t->merged[m->n] = id[2];
	return gv_token_pair(t, id[0], id[1], (uint32_t)m->n++, e);
}

static int
take_merge(struct gv_tokenizer *t, struct merges *m, const char *const side[2],
    const size_t len[2], struct gv_error *e)
{
	size_t n[2];
	int32_t id[3];
	uint8_t flags;

	if (len[0] > GV_MAX_TOKEN || len[1] > GV_MAX_TOKEN)
		return gv_fail(e, GV_ERR_LIMIT,
		    "merge %zu is longer than %zu bytes", m->n, GV_MAX_TOKEN);
	n[0] = gv_token_spell(t, m->buf, side[0], len[0], &flags);
	n[1] = gv_token_spell(t, m->buf + n[0], side[1], len[1], &flags);
	id[0] = gv_token_find(t, m->buf, n[0]);
	id[1] = gv_token_find(t, m->buf + n[0], n[1]);
	id[2] = gv_token_find(t, m->buf, n[0] + n[1]);
	if (id[0] < 0 || id[1] < 0 || id[2] < 0)
		return gv_fail(e, GV_ERR_FORMAT,
		    "merge %zu uses a token that is not in the vocabulary",
		    m->n);
	return put_merge(t, m, id, e);
}

/* CLIP's first: a byte and the blank behind a word. */
static int
merge_ends(struct gv_tokenizer *t, struct merges *m, struct gv_error *e)
{
	char s[2] = {0, ' '};
	int32_t id[3];
	int b;

	id[1] = t->byte_id[' '];
	for (b = 0; b < 256; b++) {
		s[0] = (char)b;
		id[0] = t->byte_id[b];
		id[2] = gv_token_find(t, s, 2);
		if (id[0] < 0 || id[2] < 0)
			return gv_fail(e, GV_ERR_NOSUP,
			    "a vocabulary with " GV_WORD_END
			    " that lacks bytes "
			    "is not supported");
		if (b != ' ' && put_merge(t, m, id, e))
			return e->code;
	}
	return 0;
}

static int
merges_from_json(struct gv_tokenizer *t, const json_t *list, struct merges *m,
    struct gv_error *e)
{
	const char *side[2];
	const json_t *v;
	size_t len[2], i;

	if (!json_is_array(list))
		return gv_fail(e, GV_ERR_FORMAT, "'merges' is not a list");
	json_array_foreach(list, i, v)
	{
		if (!sides(v, side, len))
			return gv_fail(e, GV_ERR_FORMAT,
			    "merge %zu is not a pair of tokens", i);
		if (take_merge(t, m, side, len, e))
			return e->code;
	}
	return 0;
}

/* "a b": where one blank, and only one, divides it. */
static bool
halves(const char *s, size_t n, const char *side[2], size_t len[2])
{
	const char *gap = memchr(s, ' ', n);

	if (!gap)
		return false;
	side[0] = s;
	len[0] = (size_t)(gap - s);
	side[1] = gap + 1;
	len[1] = n - len[0] - 1;
	return !memchr(side[1], ' ', len[1]);
}

static int
merges_from_text(struct gv_tokenizer *t, const struct gv_token_text *x,
    struct merges *m, struct gv_error *e)
{
	const char *p = x->merges, *end = p + x->merges_bytes, *s, *side[2];
	char *buf = gv_alloc(2, GV_MAX_TOKEN);
	size_t n, len[2];
	bool fine, first = true;

	if (!buf)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	for (; !e->code && gv_scan_char(&p, end, first ? '[' : ',');
	     first = false) {
		if (gv_scan_char(&p, end, '['))
			fine =
			    gv_scan_string(&p, end, buf, &side[0], &len[0]) &&
			    gv_scan_char(&p, end, ',') &&
			    gv_scan_string(&p, end, buf + GV_MAX_TOKEN,
				&side[1], &len[1]) &&
			    gv_scan_char(&p, end, ']');
		else
			fine = gv_scan_string(&p, end, buf, &s, &n) &&
			       halves(s, n, side, len);
		if (fine)
			(void)!take_merge(t, m, side, len, e);
		else
			gv_scan_refuse(e);
	}
	gv_free(buf);
	if (!e->code && (!gv_scan_char(&p, end, ']') || p != end))
		gv_scan_refuse(e);
	return e->code;
}

int
gv_token_pair(struct gv_tokenizer *t, int32_t a, int32_t b, uint32_t rank,
    struct gv_error *e)
{
	if (gv_room(
		&t->order, &t->order_cap, t->orders + 1, sizeof *t->order, e))
		return e->code;
	t->order[t->orders++] = gv_pair_key(a, b) << 24 | rank;
	return 0;
}

/* Of two merges of one pair the later counts, as elsewhere. */
int
gv_token_index_pairs(struct gv_tokenizer *t, struct gv_error *e)
{
	size_t bytes, k;

	if (t->orders > MAX_PAIRS)
		return gv_fail(
		    e, GV_ERR_LIMIT, "%zu pairs are not supported", t->orders);
	t->pair_mask = gv_table_size(t->orders) - 1;
	bytes = ((size_t)t->pair_mask + 1) * sizeof *t->pair;
	t->pair = gv_alloc(bytes, 1);
	if (!t->pair)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	memset(t->pair, 0xff, bytes);
	for (k = 0; k < t->orders; k++) {
		uint64_t key = t->order[k] >> 24;
		uint32_t i = gv_pair_hash(key) & t->pair_mask;

		while (t->pair[i] != UINT64_MAX && t->pair[i] >> 24 != key)
			i = (i + 1) & t->pair_mask;
		t->pair[i] = t->order[k];
	}
	return 0;
}

int
gv_token_merges(struct gv_tokenizer *t, const json_t *list,
    const struct gv_token_text *x, struct gv_error *e)
{
	struct merges m = {.buf = gv_alloc(2, GV_MAX_TOKEN)};

	if (!m.buf)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	if (t->clip)
		(void)!merge_ends(t, &m, e);
	if (!e->code && !(x ? merges_from_text(t, x, &m, e)
			    : merges_from_json(t, list, &m, e))) {
		t->merges = (uint32_t)m.n;
		(void)!gv_token_index_pairs(t, e);
	}
	gv_free(m.buf);
	return e->code;
}
