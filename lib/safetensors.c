/* Weights as mapped files: no byte is believed before it is checked. */
#include "safetensors.h"

#include "gguf.h"
#include "io.h"
#include "json.h"
#include "mem.h"
#include "banned.h"

#include <errno.h>
#include <sys/stat.h>

#define INDEX      "model.safetensors.index.json"
#define PREFIX_LEN 8 /* the length field in front of the header */

struct entry {
	char *name;
	struct gv_tensor t;
	size_t begin, end; /* in the data of its file */
	size_t file;
	int64_t paired; /* see gv_st_paired() */
};

struct file {
	struct gv_st_file facts;
	struct gv_map map;
	char *path;
};

struct gv_st {
	struct file *file;
	size_t nfiles, file_cap;
	struct entry *entry; /* sorted by name once opening is done */
	size_t n, entry_cap;
	json_t *meta; /* __metadata__ of the first file that has one */
	struct gv_gguf *gguf; /* or where all of it comes from */
};

static int
no_memory(struct gv_error *e, const char *path)
{
	return gv_fail(e, GV_ERR_NOMEM, "out of memory for '%s'", path);
}

/* ---- JSON within bounds -------------------------------------------------- */

/* The parser's memory grows with values, not bytes ("[[],[],..." is a hundred
 * to one), so they are counted first: every value but an object's or array's
 * first follows a comma.  An entry has three members, a shape MAX_RANK. */
static int
within_budget(const char *s, size_t n, const char *path, const char *what,
    struct gv_error *e)
{
	const size_t max = GV_ST_MAX_TENSORS + 16;
	const size_t limit[] = {max, max, 3 * max, 9 * max};
	size_t i, depth = 0, comma[4] = {0}, opened = 0;

	for (i = 0; i < n; i++) {
		if (s[i] == '"') {
			for (i++; i < n && s[i] != '"'; i++)
				i += s[i] == '\\';
		} else if (s[i] == '{' || s[i] == '[') {
			opened++;
			if (++depth > 3)
				return gv_fail(e, GV_ERR_FORMAT,
				    "'%s': %s is nested too deep", path, what);
		} else if (s[i] == '}' || s[i] == ']') {
			depth -= depth > 0;
		} else if (s[i] == ',' && ++comma[depth] > limit[depth]) {
			break;
		}
	}
	if (i < n || opened > 3 * max)
		return gv_fail(e, GV_ERR_LIMIT,
		    "'%s': %s describes more than %d tensors", path, what,
		    GV_ST_MAX_TENSORS);
	return 0;
}

/* Parses an object of at most GV_ST_MAX_TENSORS entries; `what` names it. */
static json_t *
parse_object(const char *s, size_t n, const char *path, const char *what,
    struct gv_error *e)
{
	json_t *o;

	if (within_budget(s, n, path, what, e))
		return NULL;
	if (gv_json_parse(&o, s, n, e)) {
		gv_fail_in(e, "'%s': %s", path, what);
		return NULL;
	}
	if (!json_is_object(o)) {
		json_decref(o);
		gv_fail(e, GV_ERR_FORMAT, "'%s': %s is not a JSON object", path,
		    what);
		return NULL;
	}
	return o;
}

/* ---- one tensor ---------------------------------------------------------- */

/* Faults of an entry are reported by these two words in front. */
struct place {
	const char *path;
	char name[80]; /* quoted */
};

static int
read_shape(struct gv_tensor *t, const json_t *shape, const struct place *at,
    struct gv_error *e)
{
	size_t i, rank = json_array_size(shape);

	if (!json_is_array(shape))
		return gv_fail(e, GV_ERR_FORMAT,
		    "'%s': tensor '%s' has no shape", at->path, at->name);
	if (rank > GV_MAX_RANK)
		return gv_fail(e, GV_ERR_LIMIT,
		    "'%s': tensor '%s' has rank %zu, the limit is %d", at->path,
		    at->name, rank, GV_MAX_RANK);
	t->rank = (int)rank;
	for (i = 0; i < rank; i++) {
		const json_t *v = json_array_get(shape, i);

		t->shape[i] = json_integer_value(v);
		if (!json_is_integer(v) || t->shape[i] < 0)
			return gv_fail(e, GV_ERR_FORMAT,
			    "'%s': tensor '%s': dimension %zu of its shape "
			    "is not a size",
			    at->path, at->name, i);
	}
	if (!gv_shape_bytes(t->dtype, t->shape, t->rank, &t->bytes))
		return gv_fail(e, GV_ERR_FORMAT,
		    "'%s': tensor '%s': its shape overflows", at->path,
		    at->name);
	return 0;
}

static int
read_offsets(struct entry *en, const json_t *range, const struct place *at,
    struct gv_error *e)
{
	const json_t *a = json_array_get(range, 0);
	const json_t *b = json_array_get(range, 1);
	json_int_t begin = json_integer_value(a), end = json_integer_value(b);
	char shape[128];

	if (json_array_size(range) != 2 || !json_is_integer(a) ||
	    !json_is_integer(b) || begin < 0 || end < begin)
		return gv_fail(e, GV_ERR_FORMAT,
		    "'%s': tensor '%s': data_offsets are not [begin, end]",
		    at->path, at->name);
	en->begin = (size_t)begin;
	en->end = (size_t)end;
	if (en->end - en->begin != en->t.bytes)
		return gv_fail(e, GV_ERR_FORMAT,
		    "'%s': tensor '%s': %s %s takes %zu bytes, its "
		    "data_offsets span %zu",
		    at->path, at->name, gv_dtype_name(en->t.dtype),
		    gv_shape_text(shape, sizeof shape, en->t.shape, en->t.rank),
		    en->t.bytes, en->end - en->begin);
	return 0;
}

static int
read_entry(struct entry *en, const char *name, const json_t *o,
    const char *path, struct gv_error *e)
{
	const json_t *dtype = json_object_get(o, "dtype");
	const char *s = json_string_value(dtype);
	struct place at = {path, ""};
	char q[40];

	gv_quote(at.name, sizeof at.name, name, strlen(name));
	if (!s)
		return gv_fail(e, GV_ERR_FORMAT,
		    "'%s': tensor '%s' has no dtype", path, at.name);
	en->t.dtype = gv_dtype_parse(s, strlen(s));
	if (en->t.dtype == GV_NONE)
		return gv_fail(e, GV_ERR_NOSUP,
		    "'%s': tensor '%s': dtype '%s' is not supported", path,
		    at.name, gv_quote(q, sizeof q, s, strlen(s)));
	if (json_object_size(o) != 3)
		return gv_fail(e, GV_ERR_FORMAT,
		    "'%s': tensor '%s' needs dtype, shape and data_offsets, "
		    "and nothing else",
		    path, at.name);
	if (read_shape(&en->t, json_object_get(o, "shape"), &at, e))
		return e->code;
	return read_offsets(en, json_object_get(o, "data_offsets"), &at, e);
}

/* ---- one file ------------------------------------------------------------ */

static int
by_offset(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	/* an empty tensor comes before the one that starts where it does */
	if (x->begin != y->begin)
		return x->begin < y->begin ? -1 : 1;
	return x->end < y->end ? -1 : x->end > y->end;
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(
	    ((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

/* The entries cover [0, bytes) without hole or overlap; sorts them. */
static int
check_cover(struct entry *en, size_t n, size_t bytes, const char *path,
    struct gv_error *e)
{
	size_t i, at = 0;
	char q[80];

	if (n)
		qsort(en, n, sizeof *en, by_offset);
	for (i = 0; i < n; i++) {
		if (en[i].begin != at)
			return gv_fail(e, GV_ERR_FORMAT,
			    "'%s': tensor '%s' starts at byte %zu of the "
			    "data, expected %zu",
			    path,
			    gv_quote(
				q, sizeof q, en[i].name, strlen(en[i].name)),
			    en[i].begin, at);
		at = en[i].end;
	}
	if (at > bytes)
		return gv_fail(e, GV_ERR_CUT,
		    "'%s': its tensors take %zu bytes, only %zu are there",
		    path, at, bytes);
	if (at < bytes)
		return gv_fail(e, GV_ERR_FORMAT,
		    "'%s': %zu bytes behind the last tensor", path, bytes - at);
	return 0;
}

static int
read_meta(struct gv_st *s, json_t *meta, const char *path, struct gv_error *e)
{
	const char *key;
	json_t *v;

	if (!json_is_object(meta))
		return gv_fail(e, GV_ERR_FORMAT,
		    "'%s': __metadata__ is not an object", path);
	json_object_foreach(meta, key,
	    v) if (!json_is_string(v)) return gv_fail(e, GV_ERR_FORMAT,
	    "'%s': __metadata__ holds a value that is not "
	    "text",
	    path);
	if (!s->meta)
		s->meta = json_incref(meta);
	return 0;
}

/* One more entry of the file that was begun last; NULL without memory. */
static struct entry *
new_entry(
    struct gv_st *s, const char *name, const char *path, struct gv_error *e)
{
	void *p = s->entry;
	struct entry *en;

	if (s->n == GV_ST_MAX_TENSORS) {
		gv_fail(e, GV_ERR_LIMIT, "'%s': more than %d tensors", path,
		    GV_ST_MAX_TENSORS);
		return NULL;
	}
	if (gv_grow(&p, &s->entry_cap, s->n + 1, sizeof *en)) {
		no_memory(e, path);
		return NULL;
	}
	s->entry = p;
	en = &s->entry[s->n];
	memset(en, 0, sizeof *en);
	en->name = gv_strdup(name);
	if (!en->name) {
		no_memory(e, path);
		return NULL;
	}
	en->file = s->nfiles - 1;
	s->n++;
	return en;
}

/* Adds the entries of a parsed header; what was added stays in s->entry and is
 * freed with it. */
static int
read_header(
    struct gv_st *s, json_t *header, const char *path, struct gv_error *e)
{
	const char *name;
	json_t *v;

	json_object_foreach(header, name, v)
	{
		struct entry *en;

		if (!strcmp(name, "__metadata__")) {
			if (read_meta(s, v, path, e))
				return e->code;
			continue;
		}
		en = new_entry(s, name, path, e);
		if (!en || read_entry(en, name, v, path, e))
			return e->code;
	}
	return 0;
}

/* Where the data starts, once the length in front of the header is sane. */
static int
find_header(
    const struct gv_map *m, size_t *data, const char *path, struct gv_error *e)
{
	uint64_t len = 0;
	int i;

	if (m->size < PREFIX_LEN)
		return gv_fail(e, GV_ERR_CUT,
		    "'%s' is no safetensors file: %zu bytes", path, m->size);
	for (i = PREFIX_LEN - 1; i >= 0; i--)
		len = len << 8 | m->data[i];
	if (len > GV_ST_MAX_HEADER)
		return gv_fail(e, GV_ERR_LIMIT,
		    "'%s': header of %llu bytes, the limit is %zu", path,
		    (unsigned long long)len, GV_ST_MAX_HEADER);
	if (len > m->size - PREFIX_LEN)
		return gv_fail(e, GV_ERR_CUT,
		    "'%s' ends in its header: %llu bytes expected, %zu there",
		    path, (unsigned long long)len, m->size - PREFIX_LEN);
	if (!len || m->data[PREFIX_LEN] != '{')
		return gv_fail(e, GV_ERR_FORMAT,
		    "'%s' is no safetensors file: its header does not start "
		    "with '{'",
		    path);
	*data = PREFIX_LEN + (size_t)len;
	return 0;
}

/* A place for a file, with the facts of before it is opened. */
static int
begin_file(struct gv_st *s, const char *path, struct gv_error *e)
{
	void *p = s->file;
	struct file *f;
	struct stat st;

	if (gv_grow(&p, &s->file_cap, s->nfiles + 1, sizeof *f))
		return no_memory(e, path);
	s->file = p;
	f = &s->file[s->nfiles];
	memset(f, 0, sizeof *f);
	s->nfiles++;
	if (stat(path, &st))
		return gv_fail(e, GV_ERR_SYS, "cannot open '%s':", path);
	f->path = gv_strdup(path);
	if (!f->path)
		return no_memory(e, path);
	f->facts.path = f->path;
	f->facts.bytes = (uint64_t)st.st_size;
	f->facts.inode = (uint64_t)st.st_ino;
	f->facts.mtime_ns =
	    (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
	f->facts.ctime_ns =
	    (int64_t)st.st_ctim.tv_sec * 1000000000 + st.st_ctim.tv_nsec;
	return 0;
}

static int
add_file(struct gv_st *s, const char *path, struct gv_error *e)
{
	size_t i, data = 0, first = s->n;
	struct file *f;
	json_t *header;

	if (begin_file(s, path, e))
		return e->code;
	f = &s->file[s->nfiles - 1];
	if (gv_map_open(&f->map, path, e) ||
	    find_header(&f->map, &data, path, e))
		return e->code;
	header = parse_object((const char *)f->map.data + PREFIX_LEN,
	    data - PREFIX_LEN, path, "header", e);
	if (!header)
		return e->code;
	if (!read_header(s, header, path, e))
		check_cover(s->entry + first, s->n - first, f->map.size - data,
		    path, e);
	json_decref(header);
	if (e->code)
		return e->code;
	for (i = first; i < s->n; i++)
		s->entry[i].t.data = f->map.data + data + s->entry[i].begin;
	return 0;
}

int
gv_st_open(struct gv_st **out, const char *path, struct gv_error *e)
{
	struct gv_st *s = gv_alloc(1, sizeof *s);

	if (!s)
		return no_memory(e, path);
	if (add_file(s, path, e)) {
		gv_st_close(&s);
		return e->code;
	}
	if (s->n)
		qsort(s->entry, s->n, sizeof *s->entry, by_name);
	*out = s;
	return 0;
}

/* ---- GGUF ---------------------------------------------------------------- */

static int
add_gguf(struct gv_st *s, const char *path, struct gv_error *e)
{
	struct entry *en;
	size_t i;

	if (begin_file(s, path, e) || gv_gguf_open(&s->gguf, path, e))
		return e->code;
	for (i = 0; i < gv_gguf_count(s->gguf); i++) {
		en = new_entry(s, gv_gguf_name(s->gguf, i), path, e);
		if (!en)
			return e->code;
		en->t = *gv_gguf_tensor(s->gguf, i);
		en->paired = gv_gguf_paired(s->gguf, i);
	}
	if (s->n)
		qsort(s->entry, s->n, sizeof *s->entry, by_name);
	return 0;
}

static int
open_gguf(struct gv_st **out, const char *path, struct gv_error *e)
{
	struct gv_st *s = gv_alloc(1, sizeof *s);

	if (!s)
		return no_memory(e, path);
	if (add_gguf(s, path, e)) {
		gv_st_close(&s);
		return e->code;
	}
	*out = s;
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
		return no_memory(e, path);
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
		const struct entry *en = &s->entry[i];
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
	json_object_foreach((json_t *)map, name,
	    v) if (!gv_st_find(s, name)) return gv_fail(e, GV_ERR_MATCH,
	    "'%s': tensor '%s' is missing in its shard '%s'", path,
	    gv_quote(q, sizeof q, name, strlen(name)), json_string_value(v));
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
		if (add_file(s, file, e))
			break;
	}
	gv_free(shard);
	if (e->code)
		return e->code;
	if (s->n)
		qsort(s->entry, s->n, sizeof *s->entry, by_name);
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
		return open_gguf(out, dir, e);
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
		index = parse_object(
		    (const char *)m.data, m.size, path, "index", e);
	gv_map_close(&m);
	if (!index)
		return e->code;
	s = gv_alloc(1, sizeof *s);
	if (!s)
		no_memory(e, path);
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

void
gv_st_close(struct gv_st **out)
{
	struct gv_st *s = *out;
	size_t i;

	if (!s)
		return;
	*out = NULL;
	for (i = 0; i < s->n; i++)
		gv_free(s->entry[i].name);
	for (i = 0; i < s->nfiles; i++) {
		gv_map_close(&s->file[i].map);
		gv_free(s->file[i].path);
	}
	json_decref(s->meta);
	gv_gguf_close(&s->gguf);
	gv_free(s->entry);
	gv_free(s->file);
	gv_free(s);
}

/* ---- looking ------------------------------------------------------------- */

size_t
gv_st_count(const struct gv_st *s)
{
	return s->n;
}

const char *
gv_st_name(const struct gv_st *s, size_t i)
{
	return s->entry[i].name;
}

const struct gv_tensor *
gv_st_tensor(const struct gv_st *s, size_t i)
{
	return &s->entry[i].t;
}

int64_t
gv_st_paired(const struct gv_st *s, size_t i)
{
	return s->entry[i].paired;
}

const struct gv_tensor *
gv_st_find(const struct gv_st *s, const char *name)
{
	size_t lo = 0, hi = s->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = strcmp(name, s->entry[mid].name);

		if (!c)
			return &s->entry[mid].t;
		if (c < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return NULL;
}

const char *
gv_st_meta(const struct gv_st *s, const char *key)
{
	return json_string_value(json_object_get(s->meta, key));
}

size_t
gv_st_files(const struct gv_st *s)
{
	return s->nfiles;
}

const struct gv_st_file *
gv_st_file(const struct gv_st *s, size_t i)
{
	return &s->file[i].facts;
}

/* ---- writing ------------------------------------------------------------- */

struct gv_st_writer {
	struct gv_out *out;
	size_t want, put; /* bytes of data declared, and given */
};

/* A string that jansson refuses is not UTF-8, unless memory is out; both end
 * here. */
static int
refused(struct gv_error *e, const char *what, const char *name)
{
	json_t *again = json_string(name);
	bool utf8 = again != NULL;

	json_decref(again);
	if (utf8)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	return gv_fail(e, GV_ERR_FORMAT, "%s '%s' is not UTF-8", what, name);
}

static json_t *
shape_json(const struct gv_st_entry *t)
{
	json_t *shape = json_array();
	int i, bad = shape == NULL;

	for (i = 0; i < t->rank && !bad; i++)
		bad = json_array_append_new(shape, json_integer(t->shape[i]));
	if (!bad)
		return shape;
	json_decref(shape);
	return NULL;
}

static int
add_entry(
    json_t *header, const struct gv_st_entry *t, size_t *at, struct gv_error *e)
{
	size_t bytes, end;
	json_t *shape, *o;

	if (t->rank < 0 || t->rank > GV_MAX_RANK ||
	    !gv_shape_bytes(t->dtype, t->shape, t->rank, &bytes) ||
	    !gv_add(*at, bytes, &end) || end > INT64_MAX)
		return gv_fail(
		    e, GV_ERR_LIMIT, "tensor '%s' is too large", t->name);
	if (!strcmp(t->name, "__metadata__") ||
	    json_object_get(header, t->name))
		return gv_fail(
		    e, GV_ERR_MATCH, "tensor '%s' is named twice", t->name);
	shape = shape_json(t);
	o = shape ? json_pack("{s:s, s:o, s:[I,I]}", "dtype",
			gv_dtype_name(t->dtype), "shape", shape, "data_offsets",
			(json_int_t)*at, (json_int_t)end)
		  : NULL;
	if (!o)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	if (json_object_set_new(header, t->name, o))
		return refused(e, "tensor name", t->name);
	*at = end;
	return 0;
}

static json_t *
make_header(const struct gv_st_entry *t, size_t n, const char *const (*meta)[2],
    size_t nmeta, size_t *bytes, struct gv_error *e)
{
	json_t *header = json_object(), *m;
	size_t i;

	if (!header) {
		gv_fail(e, GV_ERR_NOMEM, "out of memory");
		return NULL;
	}
	m = nmeta ? json_object() : NULL;
	if (nmeta && json_object_set_new(header, "__metadata__", m))
		gv_fail(e, GV_ERR_NOMEM, "out of memory");
	for (i = 0; i < nmeta && !e->code; i++)
		if (json_object_set_new(m, meta[i][0], json_string(meta[i][1])))
			refused(e, "metadata", meta[i][1]);
	*bytes = 0;
	for (i = 0; i < n && !e->code; i++)
		add_entry(header, &t[i], bytes, e);
	if (!e->code)
		return header;
	json_decref(header);
	return NULL;
}

static int
write_header(struct gv_out *o, const json_t *header, const char *path,
    struct gv_error *e)
{
	char *s = gv_json_text(header, JSON_COMPACT), pad[GV_ALIGN];
	uint8_t len[PREFIX_LEN];
	size_t n, all;
	int i, r;

	if (!s)
		return no_memory(e, path);
	n = strlen(s);
	all = gv_align(PREFIX_LEN + n);
	for (i = 0; i < PREFIX_LEN; i++)
		len[i] = (uint8_t)((uint64_t)(all - PREFIX_LEN) >> (8 * i));
	memset(pad, ' ', sizeof pad);
	if (all - PREFIX_LEN > GV_ST_MAX_HEADER)
		r = gv_fail(e, GV_ERR_LIMIT,
		    "'%s': header of %zu bytes, the limit is %zu", path,
		    all - PREFIX_LEN, GV_ST_MAX_HEADER);
	else
		r = gv_out_write(o, len, sizeof len, e);
	if (!r)
		r = gv_out_write(o, s, n, e);
	if (!r)
		r = gv_out_write(o, pad, all - PREFIX_LEN - n, e);
	gv_free(s);
	return r;
}

int
gv_st_writer_open(struct gv_st_writer **out, const char *path,
    const struct gv_st_entry *t, size_t n, const char *const (*meta)[2],
    size_t nmeta, struct gv_error *e)
{
	struct gv_st_writer *w;
	json_t *header;

	if (n > GV_ST_MAX_TENSORS)
		return gv_fail(e, GV_ERR_LIMIT, "'%s': more than %d tensors",
		    path, GV_ST_MAX_TENSORS);
	w = gv_alloc(1, sizeof *w);
	if (!w)
		return no_memory(e, path);
	header = make_header(t, n, meta, nmeta, &w->want, e);
	if (header && !gv_out_open(&w->out, path, true, false, e))
		write_header(w->out, header, path, e);
	json_decref(header);
	if (e->code) {
		gv_st_writer_abort(&w);
		return e->code;
	}
	*out = w;
	return 0;
}

int
gv_st_writer_data(
    struct gv_st_writer *w, const void *data, size_t bytes, struct gv_error *e)
{
	if (bytes > w->want - w->put)
		return gv_fail(e, GV_ERR_MATCH,
		    "'%s': more data than the %zu bytes declared",
		    gv_out_name(w->out), w->want);
	w->put += bytes;
	return gv_out_write(w->out, data, bytes, e);
}

int
gv_st_writer_close(struct gv_st_writer **out, struct gv_error *e)
{
	struct gv_st_writer *w = *out;
	int r;

	*out = NULL;
	if (w->put != w->want) {
		r = gv_fail(e, GV_ERR_CUT,
		    "'%s': %zu bytes of data given, %zu declared",
		    gv_out_name(w->out), w->put, w->want);
		gv_out_abort(&w->out);
	} else {
		r = gv_out_commit(&w->out, e);
	}
	gv_free(w);
	return r;
}

void
gv_st_writer_abort(struct gv_st_writer **out)
{
	struct gv_st_writer *w = *out;

	if (!w)
		return;
	*out = NULL;
	gv_out_abort(&w->out);
	gv_free(w);
}
