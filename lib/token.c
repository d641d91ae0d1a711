/* Opening tokenizers, looking ids up, and decoding. */
#include "token_impl.h"

#include "mem.h"
#include "banned.h"

/* ---- opening ------------------------------------------------------------- */

/* The text of bos_token or eos_token: a string, or {"content": ...}. */
static int32_t
named(const struct gv_tokenizer *t, const json_t *config, const char *key)
{
	const json_t *v = json_object_get(config, key);

	if (json_is_object(v))
		v = json_object_get(v, "content");
	return json_is_string(v) ? gv_tokenizer_special(t, json_string_value(v))
				 : -1;
}

/* What is hashed, gathered so that few calls do it. */
struct gather {
	struct gv_sha *h;
	size_t n;
	uint8_t b[8192];
};

static void
add_bytes(struct gather *g, const void *p, size_t n)
{
	if (n > sizeof g->b - g->n) {
		gv_sha_add(g->h, g->b, g->n);
		g->n = 0;
	}
	if (n > sizeof g->b) {
		gv_sha_add(g->h, p, n);
	} else if (n) {
		memcpy(g->b + g->n, p, n);
		g->n += n;
	}
}

/* A number in four bytes, little-endian, wherever the digest is made. */
static void
add_number(struct gather *g, uint32_t v)
{
	uint8_t b[4] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16),
	    (uint8_t)(v >> 24)};

	add_bytes(g, b, sizeof b);
}

/* The digest covers what decides which ids a text gets: the tokens by id, the
 * merges by rank, the cut, the normaliser and the flags. */
int
gv_token_digest(struct gv_tokenizer *t, struct gv_error *e)
{
	struct gather *h = gv_alloc(1, sizeof *h);
	const struct gv_added *set[2] = {&t->raw, &t->normal};
	size_t cut_bytes = 0, i, k;
	const char *cut =
	    t->split ? gv_split_patterns(t->split, &cut_bytes) : "";

	if (h)
		h->h = gv_sha_open();
	if (!h || !h->h) {
		gv_free(h);
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	}
	add_bytes(h, "gv-tokenizer 1", 14);
	add_number(
	    h, (uint32_t)t->nfc | (uint32_t)t->ignore_merges << 1 |
		   (uint32_t)t->chars << 2 | (uint32_t)t->byte_fallback << 3 |
		   (uint32_t)t->fuse_unk << 4 | (uint32_t)t->prefix << 5 |
		   (uint32_t)t->by_rank << 8 | (uint32_t)t->clip << 9);
	if (t->chars)
		add_number(h, (uint32_t)t->unk);
	add_number(h, (uint32_t)cut_bytes);
	add_bytes(h, cut, cut_bytes);
	add_number(h, (uint32_t)t->size);
	for (i = 0; i < (size_t)t->size; i++) {
		add_number(h, t->tok[i].flags);
		add_number(h, t->tok[i].len);
		add_bytes(h, t->blob + t->tok[i].off, t->tok[i].len);
	}
	add_number(h, t->by_rank ? 0 : t->merges);
	for (i = 0; i < t->merges && !t->by_rank; i++) {
		add_number(h, (uint32_t)(t->order[i] >> 44));
		add_number(h, (uint32_t)(t->order[i] >> 24) & 0xfffff);
	}
	for (k = 0; k < 2; k++) {
		add_number(h, (uint32_t)set[k]->n);
		for (i = 0; i < set[k]->n; i++)
			add_number(h, (uint32_t)set[k]->item[i].id);
	}
	gv_sha_add(h->h, h->b, h->n);
	gv_sha_close(&h->h, t->digest);
	gv_free(h);
	gv_free(t->order);
	t->order = NULL;
	t->orders = t->order_cap = 0;
	return 0;
}

static void
take_config(struct gv_tokenizer *t, const json_t *o)
{
	t->bos = named(t, o, "bos_token");
	t->eos = named(t, o, "eos_token");
	t->image = named(t, o, "image_token");
	t->add_bos =
	    t->bos >= 0 && json_is_true(json_object_get(o, "add_bos_token"));
}

int
gv_tokenizer_open(
    struct gv_tokenizer **out, const char *dir, struct gv_error *e)
{
	struct gv_tokenizer *t = gv_alloc(1, sizeof *t);
	json_t *config;

	if (!t)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	if (!gv_token_open_files(t, &config, dir, e))
		take_config(t, config);
	if (!e->code)
		(void)!gv_chat_find(t, dir, config, e);
	json_decref(config);
	if (e->code || gv_token_sort_added(&t->raw, e) ||
	    gv_token_sort_added(&t->normal, e) ||
	    gv_piece_cache_open(&t->cache, e)) {
		gv_tokenizer_close(&t);
		return e->code;
	}
	*out = t;
	return 0;
}

void
gv_token_clear(struct gv_tokenizer *t)
{
	if (t->map.data) {
		gv_map_close(&t->map);
	} else {
		gv_free(t->tok);
		gv_free(t->blob);
		gv_free(t->by_bytes);
		gv_free(t->pair);
		gv_free(t->merged);
		gv_free(t->sieve);
		gv_free(t->made);
		gv_free(t->trie);
	}
	gv_free(t->order);
	gv_split_close(&t->split);
	gv_free(t->system);
	gv_token_free_added(&t->raw);
	gv_token_free_added(&t->normal);
	memset(t, 0, sizeof *t);
}

void
gv_tokenizer_close(struct gv_tokenizer **t)
{
	if (!*t)
		return;
	gv_piece_cache_close(&(*t)->cache);
	gv_token_clear(*t);
	gv_free(*t);
	*t = NULL;
}

/* ---- looking up ---------------------------------------------------------- */

int32_t
gv_tokenizer_size(const struct gv_tokenizer *t)
{
	return t->size;
}

const char *
gv_tokenizer_digest(const struct gv_tokenizer *t)
{
	return t->digest;
}

int32_t
gv_tokenizer_special(const struct gv_tokenizer *t, const char *text)
{
	const struct gv_added *set[2] = {&t->raw, &t->normal};
	size_t n = strlen(text), i, k;

	for (k = 0; k < 2; k++)
		for (i = 0; i < set[k]->n; i++) {
			int32_t id = set[k]->item[i].id;
			const struct gv_tok *tok = &t->tok[id];

			if (tok->len == n &&
			    !memcmp(t->blob + tok->off, text, n))
				return id;
		}
	return -1;
}

bool
gv_tokenizer_is_special(const struct gv_tokenizer *t, int32_t id)
{
	return id >= 0 && id < t->size && t->tok[id].flags & GV_TOK_SPECIAL;
}

int32_t
gv_tokenizer_image(const struct gv_tokenizer *t)
{
	static const char *const known[] = {
	    "<|image_pad|>", "<|image|>", "<image>"};
	int32_t id = t->image;
	size_t i;

	for (i = 0; id < 0 && i < sizeof known / sizeof *known; i++)
		id = gv_tokenizer_special(t, known[i]);
	return id;
}

size_t
gv_tokenizer_stops(const struct gv_tokenizer *t, int32_t *id, size_t cap)
{
	const char *name[2];
	size_t names = gv_chat_stops(t, name), n = 0, i, k;
	int32_t stop[3] = {t->eos, -1, -1};

	for (i = 0; i < names; i++)
		stop[i + 1] = gv_tokenizer_special(t, name[i]);
	for (i = 0; i < 3; i++) {
		for (k = 0; k < i && stop[k] != stop[i]; k++)
			;
		if (stop[i] < 0 || k < i)
			continue;
		if (n < cap)
			id[n] = stop[i];
		n++;
	}
	return n;
}

/* ---- ids and bytes ------------------------------------------------------- */

void
gv_ids_free(struct gv_ids *ids)
{
	gv_free(ids->id);
	memset(ids, 0, sizeof *ids);
}

int
gv_ids_push(struct gv_ids *ids, int32_t id, struct gv_error *e)
{
	void *p = ids->id;

	if (ids->n == ids->cap) {
		if (gv_grow(&p, &ids->cap, ids->n + 1, sizeof *ids->id))
			return gv_fail(e, GV_ERR_NOMEM, "out of memory");
		ids->id = p;
	}
	ids->id[ids->n++] = id;
	return 0;
}

const char *
gv_token_bytes(const struct gv_tokenizer *t, int32_t id, size_t *n)
{
	*n = 0;
	if (id < 0 || id >= t->size || !t->tok[id].flags)
		return NULL;
	*n = t->tok[id].len;
	return t->blob + t->tok[id].off;
}

int
gv_decode(const struct gv_tokenizer *t, const int32_t *id, size_t n,
    bool specials, char **out, size_t *len, struct gv_error *e)
{
	size_t total = 0, i, k, at = 0;
	char *s;

	for (i = 0; i < n; i++) {
		if (!gv_token_bytes(t, id[i], &k))
			return gv_fail(e, GV_ERR_MATCH,
			    "id %d is not in the vocabulary", (int)id[i]);
		if (!gv_add(total, k, &total))
			return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	}
	if (total > SIZE_MAX - 1 || !(s = gv_alloc(total + 1, 1)))
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	for (i = 0; i < n; i++) {
		const char *b = gv_token_bytes(t, id[i], &k);

		if (!specials && gv_tokenizer_is_special(t, id[i]))
			continue;
		memcpy(s + at, b, k);
		at += k;
	}
	if (t->clip && at && s[at - 1] == ' ')
		s[--at] = '\0';
	if (t->strip && at && s[0] == ' ')
		memmove(s, s + 1, at--);
	*out = s;
	*len = at;
	return 0;
}
