/* Opening tokenizers, looking ids up, and decoding. */
#include "token_impl.h"

#include "gguf.h"
#include "io.h"
#include "mem.h"
#include "banned.h"

#include <errno.h>
#include <unistd.h>

#define MAX_FILE ((size_t)256 << 20)

/* ---- opening ------------------------------------------------------------- */

static int
read_json(json_t **o, const char *dir, const char *name, size_t flags,
    struct gv_error *e)
{
	size_t cap = strlen(dir) + strlen(name) + 2, n;
	char *path = gv_alloc(cap, 1), *text;
	json_error_t je;
	char q[256];

	if (!path)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	snprintf(path, cap, "%s/%s", dir, name);
	if (gv_slurp(path, MAX_FILE, &text, &n, e)) {
		gv_free(path);
		return e->code;
	}
	*o = json_loadb(text, n, JSON_REJECT_DUPLICATES | flags, &je);
	gv_free(text);
	gv_quote(q, sizeof q, path, strlen(path));
	gv_free(path);
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

static int
open_gguf(json_t **o, json_t **config, const char *path, struct gv_error *e)
{
	struct gv_gguf *g;

	if (gv_gguf_open(&g, path, e))
		return e->code;
	(void)!gv_gguf_tokenizer(g, o, config, e);
	gv_gguf_close(&g);
	return e->code;
}

/* tokenizer.json and, NULL if there is none, tokenizer_config.json: of a
 * directory, or for a GGUF file those beside it or else in it. */
static int
open_files(json_t **o, json_t **config, const char *dir, struct gv_error *e)
{
	static const char name[] = "tokenizer_config.json";
	char beside[4096];

	*o = *config = NULL;
	if (gv_gguf_named(dir)) {
		parent_of(dir, beside);
		if (!is_there(beside, "tokenizer.json"))
			return open_gguf(o, config, dir, e);
		dir = beside;
	}
	if (read_json(o, dir, "tokenizer.json", 0, e))
		return e->code;
	/* no limit is 10^30 to transformers, which is no int64_t */
	return is_there(dir, name)
		   ? read_json(config, dir, name, JSON_DECODE_INT_AS_REAL, e)
		   : 0;
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

/* A number in four bytes, little-endian, wherever the digest is made. */
static void
add_number(struct gv_sha *h, uint32_t v)
{
	uint8_t b[4] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16),
	    (uint8_t)(v >> 24)};

	gv_sha_add(h, b, sizeof b);
}

/* The digest covers what decides which ids a text gets: the tokens by id, the
 * merges by rank, the cut, the normaliser and the flags. */
static int
digest(struct gv_tokenizer *t, struct gv_error *e)
{
	struct gv_sha *h = gv_sha_open();
	const char *cut = t->split ? gv_split_pattern(t->split) : "";
	const struct gv_added *set[2] = {&t->raw, &t->normal};
	size_t i, k;

	if (!h)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	gv_sha_add(h, "gv-tokenizer 1", 14);
	add_number(h, (uint32_t)t->nfc | (uint32_t)t->ignore_merges << 1);
	add_number(h, (uint32_t)strlen(cut));
	gv_sha_add(h, cut, strlen(cut));
	add_number(h, (uint32_t)t->size);
	for (i = 0; i < (size_t)t->size; i++) {
		add_number(h, t->tok[i].flags);
		add_number(h, t->tok[i].len);
		gv_sha_add(h, t->blob + t->tok[i].off, t->tok[i].len);
	}
	add_number(h, t->merges);
	for (i = 0; i < t->merges; i++) {
		const struct gv_merge *m = &t->merge[t->order[i]];

		add_number(h, (uint32_t)m->a);
		add_number(h, (uint32_t)m->b);
	}
	for (k = 0; k < 2; k++) {
		add_number(h, (uint32_t)set[k]->n);
		for (i = 0; i < set[k]->n; i++)
			add_number(h, (uint32_t)set[k]->item[i].id);
	}
	gv_sha_close(&h, t->digest);
	return 0;
}

int
gv_tokenizer_open(
    struct gv_tokenizer **out, const char *dir, struct gv_error *e)
{
	struct gv_tokenizer *t = gv_alloc(1, sizeof *t);
	json_t *o, *config;
	char q[256];

	if (!t)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	if (!open_files(&o, &config, dir, e)) {
		if (gv_token_load(t, o, e))
			gv_fail_in(e, "'%s%s'",
			    gv_quote(q, sizeof q, dir, strlen(dir)),
			    gv_gguf_named(dir) ? "" : "/tokenizer.json");
		else
			take_config(t, config);
	}
	json_decref(o);
	json_decref(config);
	if (e->code || digest(t, e) || gv_piece_cache_open(&t->cache, e))
		goto fail;
	gv_free(t->order);
	t->order = NULL;
	*out = t;
	return 0;
fail:
	gv_tokenizer_close(&t);
	return e->code;
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
gv_tokenizer_close(struct gv_tokenizer **tp)
{
	struct gv_tokenizer *t = *tp;

	if (!t)
		return;
	gv_free(t->tok);
	gv_free(t->blob);
	gv_free(t->by_bytes);
	gv_free(t->merge);
	gv_free(t->order);
	gv_split_close(&t->split);
	free_added(&t->raw);
	free_added(&t->normal);
	gv_piece_cache_close(&t->cache);
	gv_free(t);
	*tp = NULL;
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
	*out = s;
	*len = at;
	return 0;
}
