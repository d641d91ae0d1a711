/* Small files from one model directory to another. */
#include "files.h"

#include "dir.h"
#include "gguf.h"
#include "io.h"
#include "json.h"
#include "mem.h"
#include "banned.h"

#include <unistd.h>

#define MAX_JSON ((size_t)256 << 20) /* as gv_tokenizer_open() has it */

static const char vocabulary[] = "tokenizer.json";

int
gv_json_save(
    const json_t *o, const char *dir, const char *name, struct gv_error *e)
{
	char path[GV_PATH_MAX];
	char *text = gv_json_text(o, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
	struct gv_out *out;

	if (!text)
		return gv_fail(
		    e, GV_ERR_NOMEM, "out of memory for '%s/%s'", dir, name);
	snprintf(path, sizeof path, "%s/%s", dir, name);
	if (!gv_out_open(&out, path, false, false, e)) {
		if (gv_out_printf(out, e, "%s\n", text))
			gv_out_abort(&out);
		else
			(void)!gv_out_commit(&out, e);
	}
	gv_free(text);
	return e->code;
}

int
gv_model_copy_files(const char *from, const char *to, struct gv_error *e)
{
	char own[256];
	const char *const names[] = {own, "tokenizer_config.json",
	    "special_tokens_map.json", "added_tokens.json", "vocab.json",
	    "merges.txt", "chat_template.jinja", "chat_template.json"};
	char a[GV_PATH_MAX], b[GV_PATH_MAX];
	size_t i;

	if (gv_tokenizer_file(from, own, e))
		return e->code;
	for (i = 0; i < sizeof names / sizeof *names; i++) {
		snprintf(a, sizeof a, "%s/%s", from, names[i]);
		snprintf(b, sizeof b, "%s/%s", to, names[i]);
		if (!access(a, F_OK) && gv_copy_file(a, b, e))
			return e->code;
	}
	return 0;
}

/* The directory of a file's path. */
static void
parent_of(char dir[GV_PATH_MAX], const char *path)
{
	const char *slash = strrchr(path, '/');

	snprintf(dir, GV_PATH_MAX, "%.*s", slash ? (int)(slash - path + 1) : 1,
	    slash ? path : ".");
}

static int
unpack_gguf(const char *path, const char *to, struct gv_error *e)
{
	json_t *o = NULL, *config = NULL;
	struct gv_gguf *g;

	if (gv_gguf_open(&g, path, e))
		return e->code;
	if (!gv_gguf_tokenizer(g, &o, &config, e) &&
	    !gv_json_save(o, to, vocabulary, e))
		(void)!gv_json_save(config, to, "tokenizer_config.json", e);
	json_decref(o);
	json_decref(config);
	gv_gguf_close(&g);
	return e->code;
}

int
gv_copy_tokenizer(const char *from, const char *to, struct gv_error *e)
{
	char dir[GV_PATH_MAX], path[GV_PATH_MAX + 32];

	if (!gv_gguf_named(from))
		return gv_model_copy_files(from, to, e);
	parent_of(dir, from);
	snprintf(path, sizeof path, "%s/%s", dir, vocabulary);
	return access(path, F_OK) ? unpack_gguf(from, to, e)
				  : gv_model_copy_files(dir, to, e);
}

int
gv_open_vocabulary(struct gv_tokenizer **t, const char *dir, struct gv_error *e)
{
	char name[256], path[GV_PATH_MAX];

	*t = NULL;
	if (!gv_gguf_named(dir)) {
		if (gv_tokenizer_file(dir, name, e))
			return e->code;
		snprintf(path, sizeof path, "%s/%s", dir, name);
		if (access(path, F_OK))
			return 0;
	}
	return gv_tokenizer_open(t, dir, e);
}

/* ---- a new token --------------------------------------------------------- */

int
gv_check_extendable(const char *dir, struct gv_error *e)
{
	char name[256];

	if (gv_gguf_named(dir)) /* it is copied as tokenizer.json */
		return 0;
	if (gv_tokenizer_file(dir, name, e))
		return e->code;
	if (!strcmp(name, vocabulary))
		return 0;
	return gv_fail(e, GV_ERR_NOSUP,
	    "'%s/%s' has no room for a new token, as a tokenizer.json has", dir,
	    name);
}

/* Reads DIR/name if it is there, else *o = NULL. */
static int
load(json_t **o, const char *dir, const char *name, struct gv_error *e)
{
	char path[GV_PATH_MAX];

	*o = NULL;
	snprintf(path, sizeof path, "%s/%s", dir, name);
	return access(path, F_OK) ? 0 : gv_json_load(o, path, MAX_JSON, e);
}

/* What both files say about a token. */
static json_t *
properties(const char *text)
{
	return json_pack("{s:s, s:b, s:b, s:b, s:b, s:b}", "content", text,
	    "single_word", 0, "lstrip", 0, "rstrip", 0, "normalized", 0,
	    "special", 1);
}

static int
add_to_tokenizer(json_t *o, const char *text, int32_t id, struct gv_error *e)
{
	json_t *list = json_object_get(o, "added_tokens");
	json_t *t = properties(text), *with = json_pack("{s:i}", "id", id);
	int bad;

	if (!json_is_array(list)) { /* null */
		list = json_array();
		json_object_set_new(o, "added_tokens", list);
	}
	bad = json_object_update(with, t) || json_array_append(list, with);
	json_decref(t);
	json_decref(with);
	return bad ? gv_fail(e, GV_ERR_NOMEM, "out of memory") : 0;
}

static int
add_to_config(json_t *o, const char *text, int32_t id, struct gv_error *e)
{
	json_t *by_id = json_object_get(o, "added_tokens_decoder");
	json_t *list = json_object_get(o, "additional_special_tokens");
	char key[16];
	int bad = 0;

	snprintf(key, sizeof key, "%d", (int)id);
	if (json_is_object(by_id))
		bad |= json_object_set_new(by_id, key, properties(text));
	if (json_is_array(list))
		bad |= json_array_append_new(list, json_string(text));
	bad |= json_object_set_new(o, "image_token", json_string(text));
	return bad ? gv_fail(e, GV_ERR_NOMEM, "out of memory") : 0;
}

/* Older directories have the ids of added tokens in a file, too. */
static int
add_to_list(const char *dir, const char *text, int32_t id, struct gv_error *e)
{
	static const char name[] = "added_tokens.json";
	json_t *o;

	if (load(&o, dir, name, e) || !o)
		return e->code;
	if (!json_is_object(o))
		gv_fail(e, GV_ERR_FORMAT, "'%s/%s' is not a JSON object", dir,
		    name);
	else if (json_object_set_new(o, text, json_integer(id)))
		gv_fail(e, GV_ERR_NOMEM, "out of memory");
	else
		(void)!gv_json_save(o, dir, name, e);
	json_decref(o);
	return e->code;
}

int
gv_append_image_token(
    const char *dir, const char *text, int32_t id, struct gv_error *e)
{
	static const char config[] = "tokenizer_config.json";
	json_t *o = NULL, *c = NULL;

	if (!gv_check_extendable(dir, e) && !load(&o, dir, vocabulary, e) &&
	    !load(&c, dir, config, e)) {
		if (!c)
			c = json_object();
		if (!o || !c)
			gv_fail(e, o ? GV_ERR_NOMEM : GV_ERR_SYS,
			    "'%s/%s' cannot be extended", dir, vocabulary);
		else if (!add_to_tokenizer(o, text, id, e) &&
			 !add_to_config(c, text, id, e) &&
			 !gv_json_save(o, dir, vocabulary, e) &&
			 !gv_json_save(c, dir, config, e))
			(void)!add_to_list(dir, text, id, e);
	}
	json_decref(o);
	json_decref(c);
	return e->code;
}
