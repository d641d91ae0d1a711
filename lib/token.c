/* Opening tokenizers, looking ids up, and decoding. */
#include "token_impl.h"

#include "dir.h"
#include "gguf.h"
#include "io.h"
#include "mem.h"
#include "banned.h"

#include <errno.h>
#include <unistd.h>

#define MAX_FILE ((size_t)256 << 20)

/* ---- opening ------------------------------------------------------------- */

/* DIR/name, read whole; its path for messages in q. */
static int
read_text(char **text, size_t *n, const char *dir, const char *name,
    char q[256], struct gv_error *e)
{
	size_t cap = strlen(dir) + strlen(name) + 2;
	char *path = gv_alloc(cap, 1);

	if (!path)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	snprintf(path, cap, "%s/%s", dir, name);
	gv_quote(q, 256, path, strlen(path));
	(void)!gv_slurp(path, MAX_FILE, text, n, e);
	gv_free(path);
	return e->code;
}

/* The object that the text `q` is. */
static int
parse(json_t **o, const char *text, size_t n, size_t flags, const char *q,
    struct gv_error *e)
{
	json_error_t je;

	*o = json_loadb(text, n, JSON_REJECT_DUPLICATES | flags, &je);
	if (*o && json_is_object(*o))
		return 0;
	if (*o)
		gv_fail(e, GV_ERR_FORMAT, "'%s' is not a JSON object", q);
	else
		gv_fail(e, GV_ERR_FORMAT, "'%s' is not JSON: line %d: %s", q,
		    je.line,
		    gv_quote(
			je.source, sizeof je.source, je.text, strlen(je.text)));
	json_decref(*o);
	*o = NULL;
	return e->code;
}

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

/* ChatML's families differ in the system message that a conversation without
 * one gets; the template spells it. */
static const char *
default_system(const json_t *config)
{
	static const char *const known[] = {
	    "You are Qwen, created by Alibaba Cloud. You are a helpful "
	    "assistant.",
	    "You are a helpful AI assistant named SmolLM, trained by Hugging "
	    "Face",
	    "You are a helpful assistant."};
	const json_t *tmpl = json_object_get(config, "chat_template");
	const char *s;
	size_t i;

	if (json_is_array(tmpl)) /* named templates: the first is "default" */
		tmpl = json_object_get(json_array_get(tmpl, 0), "template");
	s = json_string_value(tmpl);
	for (i = 0; s && i < sizeof known / sizeof *known; i++)
		if (strstr(s, known[i]))
			return known[i];
	return NULL;
}

/* Whether DIR/name is there, or can't be looked for. */
static bool
is_there(const char *dir, const char *name)
{
	char path[4096 + 64];

	snprintf(path, sizeof path, "%s/%s", dir, name);
	return !access(path, F_OK) || errno != ENOENT;
}

/* The directory of a file's path. */
static void
parent_of(const char *path, char dir[4096])
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		snprintf(dir, 4096, ".");
	else
		snprintf(dir, 4096, "%.*s", (int)(slash - path + 1), path);
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
static int
digest(struct gv_tokenizer *t, struct gv_error *e)
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
		   (uint32_t)t->fuse_unk << 4 | (uint32_t)t->prefix << 5);
	if (t->chars)
		add_number(h, (uint32_t)t->unk);
	add_number(h, (uint32_t)cut_bytes);
	add_bytes(h, cut, cut_bytes);
	add_number(h, (uint32_t)t->size);
	for (i = 0; i < (size_t)t->size; i++) {
		add_number(h, t->tok[i].flags & ~(unsigned)GV_TOK_WHOLE);
		add_number(h, t->tok[i].len);
		add_bytes(h, t->blob + t->tok[i].off, t->tok[i].len);
	}
	add_number(h, t->merges);
	for (i = 0; i < t->merges; i++) {
		add_number(h, (uint32_t)(t->order[i] >> 20));
		add_number(h, (uint32_t)t->order[i] & 0xfffff);
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
	return 0;
}

static int
open_gguf(struct gv_tokenizer *t, json_t **config, const char *path,
    struct gv_error *e)
{
	struct gv_gguf *g;
	json_t *o = NULL;
	char q[256];

	if (gv_gguf_open(&g, path, e))
		return e->code;
	if (!gv_gguf_tokenizer(g, &o, config, e) &&
	    gv_token_load(t, o, NULL, e))
		gv_fail_in(
		    e, "'%s'", gv_quote(q, sizeof q, path, strlen(path)));
	json_decref(o);
	gv_gguf_close(&g);
	return e->code;
}

/* The tables from the text where that can be, else from the parsed tree. */
static int
load_text(struct gv_tokenizer *t, const char *text, size_t n, const char *q,
    struct gv_error *e)
{
	struct gv_error quiet = {0};
	struct gv_token_text x;
	json_t *o = gv_token_scan(text, n, &x);
	bool done = o && !gv_token_load(t, o, &x, &quiet);

	json_decref(o);
	gv_error_clear(&quiet);
	if (done)
		return 0;
	gv_token_clear(t);
	if (parse(&o, text, n, 0, q, e))
		return e->code;
	if (gv_token_load(t, o, NULL, e))
		gv_fail_in(e, "'%s'", q);
	json_decref(o);
	return e->code;
}

/* DIR/tokenizer.json, or its compiled form, which is made where it is worth
 * it. */
static int
open_vocabulary(struct gv_tokenizer *t, const char *dir, struct gv_error *e)
{
	char path[GV_PATH_MAX + 16], q[256], *text;
	struct stat made_of;
	size_t n;
	bool known;

	if (gv_token_image_open(t, dir))
		return 0;
	snprintf(path, sizeof path, "%s/tokenizer.json", dir);
	known = !stat(path, &made_of);
	if (read_text(&text, &n, dir, "tokenizer.json", q, e))
		return e->code;
	if (!load_text(t, text, n, q, e) && !digest(t, e) && known)
		gv_token_image_save(t, dir, &made_of);
	gv_free(text);
	return e->code;
}

/* The vocabulary and, NULL if there is none, tokenizer_config.json: of a
 * directory, or for a GGUF file those beside it or else in it. */
static int
open_files(struct gv_tokenizer *t, json_t **config, const char *dir,
    struct gv_error *e)
{
	static const char name[] = "tokenizer_config.json";
	char beside[4096], q[256], *text;
	size_t n;

	*config = NULL;
	if (gv_gguf_named(dir)) {
		parent_of(dir, beside);
		if (!is_there(beside, "tokenizer.json"))
			return open_gguf(t, config, dir, e) ? e->code
							    : digest(t, e);
		dir = beside;
	}
	if (open_vocabulary(t, dir, e) || !is_there(dir, name))
		return e->code;
	if (read_text(&text, &n, dir, name, q, e))
		return e->code;
	/* no limit is 10^30 to transformers, which is no int64_t */
	(void)!parse(config, text, n, JSON_DECODE_INT_AS_REAL, q, e);
	gv_free(text);
	return e->code;
}

static void
take_config(struct gv_tokenizer *t, const json_t *o)
{
	t->bos = named(t, o, "bos_token");
	t->eos = named(t, o, "eos_token");
	t->image = named(t, o, "image_token");
	t->add_bos =
	    t->bos >= 0 && json_is_true(json_object_get(o, "add_bos_token"));
	t->system = default_system(o);
}

int
gv_tokenizer_open(
    struct gv_tokenizer **out, const char *dir, struct gv_error *e)
{
	struct gv_tokenizer *t = gv_alloc(1, sizeof *t);
	json_t *config;

	if (!t)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	if (!open_files(t, &config, dir, e))
		take_config(t, config);
	json_decref(config);
	if (e->code || gv_piece_cache_open(&t->cache, e)) {
		gv_tokenizer_close(&t);
		return e->code;
	}
	*out = t;
	return 0;
}

static void
free_added(struct gv_added *set)
{
	size_t i;

	for (i = 0; i < set->n; i++)
		gv_free(set->item[i].text);
	gv_free(set->item);
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
	}
	gv_free(t->order);
	gv_split_close(&t->split);
	free_added(&t->raw);
	free_added(&t->normal);
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
	static const char *const known[] = {"<|image_pad|>", "<|image|>"};
	int32_t id = t->image;
	size_t i;

	for (i = 0; id < 0 && i < sizeof known / sizeof *known; i++)
		id = gv_tokenizer_special(t, known[i]);
	return id;
}

size_t
gv_tokenizer_stops(const struct gv_tokenizer *t, int32_t *id, size_t cap)
{
	static const char *const chatml[] = {"<|im_end|>", "<|endoftext|>"};
	static const char *const nano[] = {"<|assistant_end|>", "<|bos|>"};
	bool is_chatml = gv_tokenizer_special(t, "<|im_start|>") >= 0;
	int32_t stop[3];
	size_t n = 0, i, k;

	stop[0] = t->eos;
	for (i = 0; i < 2; i++)
		stop[i + 1] =
		    gv_tokenizer_special(t, is_chatml ? chatml[i] : nano[i]);
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
	if (t->strip && at && s[0] == ' ')
		memmove(s, s + 1, at--);
	*out = s;
	*len = at;
	return 0;
}
