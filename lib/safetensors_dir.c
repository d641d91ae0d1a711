/* The weights of a directory: one file, shards with an index, or GGUF. */
#include "safetensors_priv.h"

#include "gguf.h"
#include "mem.h"
#include "banned.h"

#include <errno.h>
#include <sys/stat.h>

#define INDEX "model.safetensors.index.json"

/* ---- GGUF ---------------------------------------------------------------- */

static int
add_gguf(struct gv_st *s, const char *path, struct gv_error *e)
{
	struct gv_st_named *en;
	size_t i;

	if (gv_st_begin(s, path, e) || gv_gguf_open(&s->gguf, path, e))
		return e->code;
	for (i = 0; i < gv_gguf_count(s->gguf); i++) {
		en = gv_st_new(s, gv_gguf_name(s->gguf, i), path, e);
		if (!en)
			return e->code;
		en->t = *gv_gguf_tensor(s->gguf, i);
		en->paired = gv_gguf_paired(s->gguf, i);
	}
	return 0;
}

/* ---- shards -------------------------------------------------------------- */

static int
by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int
plain_name(const char *shard, const char *path, struct gv_error *e)
{
	char q[80];

	if (shard && *shard && *shard != '.' && !strchr(shard, '/'))
		return 0;
	if (!shard)
		return gv_fail(e, GV_ERR_FORMAT,
		    "'%s': weight_map holds a value that is not text", path);
	return gv_fail(e, GV_ERR_FORMAT,
	    "'%s': shard '%s' is not a plain file name", path,
	    gv_quote(q, sizeof q, shard, strlen(shard)));
}

/* The shards of a weight_map, each once, in order of name. */
static int
list_shards(json_t *map, const char ***out, size_t *n, const char *path,
    struct gv_error *e)
{
	size_t i = 0, k = 0;
	const char **list = gv_alloc(json_object_size(map) + 1, sizeof *list);
	const char *name;
	json_t *v;

	if (!list)
		return gv_st_no_memory(e, path);
	json_object_foreach(map, name, v)
	{
		list[i++] = json_string_value(v);
		if (plain_name(list[i - 1], path, e)) {
			gv_free(list);
			return e->code;
		}
	}
	qsort(list, i, sizeof *list, by_text);
	*n = i;
	for (i = 0; i < *n; i++)
		if (!k || strcmp(list[k - 1], list[i]))
			list[k++] = list[i];
	*n = k;
	*out = list;
	if (!k || k > GV_ST_MAX_SHARDS) {
		gv_free(list);
		return gv_fail(e, GV_ERR_LIMIT,
		    "'%s' names %zu shards, expected 1 to %d", path, k,
		    GV_ST_MAX_SHARDS);
	}
	return 0;
}

/* Index and shards agree: as many entries on both sides, none twice, and each
 * tensor stands in the shard that the index gives. */
static int
check_index(const struct gv_st *s, const json_t *map, const char *path,
    struct gv_error *e)
{
	const char *name;
	json_t *v;
	size_t i;
	char q[80];

	for (i = 0; i < s->n; i++) {
		const struct gv_st_named *en = &s->entry[i];
		const char *file = s->file[en->file].path;
		const char *base = strrchr(file, '/') + 1;
		const char *want =
		    json_string_value(json_object_get(map, en->name));

		gv_quote(q, sizeof q, en->name, strlen(en->name));
		if (!want)
			return gv_fail(e, GV_ERR_MATCH,
			    "'%s': tensor '%s' is not in '%s'", file, q, path);
		if (strcmp(want, base))
			return gv_fail(e, GV_ERR_MATCH,
			    "'%s': tensor '%s' belongs to '%s' by the index",
			    file, q, want);
	}
	json_object_foreach((json_t *)map, name, v)
	{
		if (!gv_st_find(s, name))
			return gv_fail(e, GV_ERR_MATCH,
			    "'%s': tensor '%s' is missing in its shard '%s'",
			    path, gv_quote(q, sizeof q, name, strlen(name)),
			    json_string_value(v));
	}
	return 0;
}

static int
open_shards(struct gv_st *s, const char *dir, const json_t *index,
    const char *path, struct gv_error *e)
{
	json_t *map = json_object_get(index, "weight_map");
	const char **shard = NULL;
	size_t i, n = 0;

	if (!json_is_object(map))
		return gv_fail(
		    e, GV_ERR_FORMAT, "'%s' has no weight_map", path);
	if (list_shards(map, &shard, &n, path, e))
		return e->code;
	for (i = 0; i < n && !e->code; i++) {
		char file[4096];

		snprintf(file, sizeof file, "%s/%s", dir, shard[i]);
		if (gv_st_add(s, file, e))
			break;
	}
	gv_free(shard);
	if (e->code)
		return e->code;
	gv_st_sort(s);
	return check_index(s, map, path, e);
}

/* A directory without safetensors; PyTorch's own files are a program in
 * pickle's language, which nobody should run for its data. */
static int
no_weights(const char *dir, struct gv_error *e)
{
	static const char *const pickled[] = {
	    "pytorch_model.bin", "pytorch_model.bin.index.json"};
	char path[4096];
	struct stat st;
	size_t i;

	for (i = 0; i < sizeof pickled / sizeof *pickled; i++) {
		snprintf(path, sizeof path, "%s/%s", dir, pickled[i]);
		if (!stat(path, &st))
			return gv_fail(e, GV_ERR_NOSUP,
			    "'%s' is not read; in its directory run: python3 "
			    "-c 'import glob, torch, safetensors.torch as s; "
			    "s.save_file({k: v.contiguous().clone() for f in "
			    "glob.glob(\"pytorch_model*.bin\") for k, v in "
			    "torch.load(f, \"cpu\", weights_only=True)"
			    ".items()}, \"model.safetensors\")'",
			    path);
	}
	return gv_fail(e, GV_ERR_FORMAT,
	    "'%s' holds neither model.safetensors nor " INDEX, dir);
}

int
gv_st_open_dir(struct gv_st **out, const char *dir, struct gv_error *e)
{
	char path[4096];
	struct gv_map m;
	struct gv_st *s;
	struct stat st;
	json_t *index = NULL;

	if (gv_gguf_named(dir))
		return gv_st_open_by(out, dir, add_gguf, e);
	snprintf(path, sizeof path, "%s/model.safetensors", dir);
	if (!stat(path, &st) || errno != ENOENT)
		return gv_st_open(out, path, e);
	snprintf(path, sizeof path, "%s/" INDEX, dir);
	if (stat(path, &st) && errno == ENOENT)
		return no_weights(dir, e);
	if (gv_map_open(&m, path, e))
		return e->code;
	if (m.size > GV_ST_MAX_HEADER)
		gv_fail(e, GV_ERR_LIMIT, "'%s' is larger than %zu bytes", path,
		    GV_ST_MAX_HEADER);
	else
		index = gv_st_object(
		    (const char *)m.data, m.size, path, "index", e);
	gv_map_close(&m);
	if (!index)
		return e->code;
	s = gv_alloc(1, sizeof *s);
	if (!s)
		gv_st_no_memory(e, path);
	else
		open_shards(s, dir, index, path, e);
	json_decref(index);
	if (e->code) {
		gv_st_close(&s);
		return e->code;
	}
	*out = s;
	return 0;
}
