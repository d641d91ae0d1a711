/* Digests of model parts, computed once and remembered beside the weights. */
#include "digest.h"

#include "dir.h"
#include "io.h"
#include "json.h"
#include "mem.h"
#include "names.h"
#include "banned.h"

#define CACHE     ".gv-digests.json"
#define MAX_CACHE ((size_t)1 << 20)
#define YOUNG_NS  2000000000LL /* the coarsest clock of a file system */

static const char *const part_name[GV_PARTS] = {
    [GV_VISION] = "vision",
    [GV_RESAMPLER] = "resampler",
    [GV_PROJECTOR] = "projector",
    [GV_LANGUAGE] = "language",
};
/* ---- computing ----------------------------------------------------------- */

/* A tensor that counts, by its name within the part. */
struct item {
	char name[GV_NAME_MAX];
	const struct gv_tensor *t;
};

static int
by_name(const void *a, const void *b)
{
	return strcmp(
	    ((const struct item *)a)->name, ((const struct item *)b)->name);
}

/* The tensors of a part, in order of name; NULL without memory. */
static struct item *
list_items(const struct gv_st *s, enum gv_part part, size_t *n)
{
	struct item *list = gv_alloc(gv_st_count(s), sizeof *list);
	struct gv_name at;
	size_t i;

	*n = 0;
	for (i = 0; list && i < gv_st_count(s); i++) {
		gv_name_read(&at, gv_st_name(s, i));
		if (at.part == GV_PARTS) /* a family of its own: a text's */
			at.part = GV_LANGUAGE;
		if (at.part != part || at.idle)
			continue;
		memcpy(list[*n].name, at.name, sizeof at.name);
		list[(*n)++].t = gv_st_tensor(s, i);
	}
	if (*n)
		qsort(list, *n, sizeof *list, by_name);
	return list;
}

static int
compute(const struct gv_st *s, enum gv_part part, char out[GV_DIGEST],
    struct gv_error *e)
{
	struct gv_sha *sha = gv_sha_open();
	size_t n, i;
	struct item *list = list_items(s, part, &n);

	if (!sha || !list) {
		gv_free(list);
		gv_sha_close(&sha, out);
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	}
	for (i = 0; i < n; i++) {
		const struct gv_tensor *t = list[i].t;
		const char *dtype = gv_dtype_name(t->dtype);
		char shape[256];

		gv_shape_text(shape, sizeof shape, t->shape, t->rank);
		gv_sha_add(sha, list[i].name, strlen(list[i].name) + 1);
		gv_sha_add(sha, dtype, strlen(dtype) + 1);
		gv_sha_add(sha, shape, strlen(shape) + 1);
		gv_sha_add(sha, t->data, t->bytes);
	}
	gv_free(list);
	gv_sha_close(&sha, out);
	if (!n)
		out[0] = '\0';
	return 0;
}

/* ---- remembering --------------------------------------------------------- */

/* What identifies the weights: a list of facts a file. */
static json_t *
facts_of(const struct gv_st *s)
{
	json_t *list = json_array();
	size_t i;

	for (i = 0; i < gv_st_files(s); i++) {
		const struct gv_st_file *f = gv_st_file(s, i);
		const char *base = strrchr(f->path, '/');

		json_array_append_new(list,
		    json_pack("{s:s, s:I, s:I, s:I, s:I}", "name",
			base ? base + 1 : f->path, "bytes",
			(json_int_t)f->bytes, "inode", (json_int_t)f->inode,
			"mtime_ns", (json_int_t)f->mtime_ns, "ctime_ns",
			(json_int_t)f->ctime_ns));
	}
	return list;
}

static bool
too_young(const struct gv_st *s)
{
	struct timespec now;
	size_t i;

	clock_gettime(CLOCK_REALTIME, &now);
	for (i = 0; i < gv_st_files(s); i++) {
		const struct gv_st_file *f = gv_st_file(s, i);
		int64_t t = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;

		if (t - f->ctime_ns < YOUNG_NS || t - f->mtime_ns < YOUNG_NS)
			return true;
	}
	return false;
}

/* The cache's object if it is about these very files, else a fresh one; NULL
 * without memory.  A damaged cache is as good as none. */
static json_t *
load(const char *path, const json_t *facts)
{
	struct gv_error quiet = {0};
	struct gv_map m;
	json_t *o = NULL;

	if (!gv_map_open(&m, path, &quiet)) {
		if (m.size <= MAX_CACHE)
			(void)!gv_json_parse(
			    &o, (const char *)m.data, m.size, &quiet);
		gv_map_close(&m);
	}
	if (json_equal(json_object_get(o, "files"), facts) &&
	    json_is_object(json_object_get(o, "parts")))
		return o;
	json_decref(o);
	return json_pack("{s:O, s:{}}", "files", facts, "parts");
}

/* A write that fails is no loss. */
static void
save(const char *path, const json_t *cache)
{
	struct gv_error quiet = {0};
	char *text = gv_json_text(cache, JSON_INDENT(1));
	struct gv_out *o;

	if (text && !gv_out_open(&o, path, false, false, &quiet)) {
		if (gv_out_printf(o, &quiet, "%s\n", text))
			gv_out_abort(&o);
		else if (gv_out_commit(&o, &quiet))
			gv_error_clear(&quiet);
	}
	gv_free(text);
}

static bool
remembered(const json_t *cache, enum gv_part part, char out[GV_DIGEST])
{
	const char *hex = json_string_value(
	    json_object_get(json_object_get(cache, "parts"), part_name[part]));

	if (!hex || strspn(hex, "0123456789abcdef") != strlen(hex) ||
	    (*hex && strlen(hex) != GV_DIGEST - 1))
		return false;
	snprintf(out, GV_DIGEST, "%s", hex);
	return true;
}

int
gv_digest_weights(const struct gv_st *s, const char *dir, enum gv_part part,
    char out[GV_DIGEST], struct gv_error *e)
{
	char path[GV_PATH_MAX], hex[GV_DIGEST];
	json_t *facts, *cache;
	bool whole; /* there was memory for all facts */

	if (!dir)
		return compute(s, part, out, e);
	snprintf(path, sizeof path, "%s/" CACHE, dir);
	facts = facts_of(s);
	cache = load(path, facts);
	whole = json_array_size(facts) == gv_st_files(s);
	json_decref(facts);
	if ((!whole || !remembered(cache, part, out)) &&
	    !compute(s, part, hex, e)) {
		snprintf(out, GV_DIGEST, "%s", hex);
		json_object_set_new(json_object_get(cache, "parts"),
		    part_name[part], json_string(out));
		if (!too_young(s) && whole)
			save(path, cache);
	}
	json_decref(cache);
	return e->code;
}

int
gv_digest_part(
    const char *dir, enum gv_part part, char out[GV_DIGEST], struct gv_error *e)
{
	struct gv_st *s;
	int r;

	if (gv_st_open_dir(&s, dir, e))
		return e->code;
	r = gv_digest_weights(s, dir, part, out, e);
	gv_st_close(&s);
	return r;
}
