/* Checkpoints: saved whole, verified before use. */
#include "checkpoint.h"

#include "dir.h"
#include "files.h"
#include "io.h"
#include "json.h"
#include "mem.h"
#include "sha.h"
#include "banned.h"

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const hashed[] = {
    "config.json", "model.safetensors", "optimizer.safetensors", "state.json"};
#define MAX_JSON ((size_t)16 << 20)
#define HASHED   (sizeof hashed / sizeof *hashed)

static int
write_json(const char *path, const json_t *o, struct gv_error *e)
{
	struct gv_out *out;
	char *s = gv_json_text(o, JSON_INDENT(2) | JSON_SORT_KEYS);
	int r;

	if (!s)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	r = gv_out_open(&out, path, false, false, e);
	if (!r) {
		r = gv_out_printf(out, e, "%s\n", s);
		if (!r)
			r = gv_out_commit(&out, e);
		gv_out_abort(&out);
	}
	gv_free(s);
	return r;
}

static int
hash_file(
    const char *path, char hex[GV_DIGEST], size_t *size, struct gv_error *e)
{
	struct gv_map m;

	if (gv_map_open(&m, path, e))
		return e->code;
	*size = m.size;
	if (!gv_sha_of(m.data, m.size, hex))
		gv_fail(e, GV_ERR_NOMEM, "out of memory");
	gv_map_close(&m);
	return e->code;
}

static int
write_manifest(const struct gv_dir *d, struct gv_error *e)
{
	json_t *files = json_object();
	char path[GV_PATH_MAX], hex[GV_DIGEST];
	size_t i, size;
	int r = 0;

	for (i = 0; i < HASHED && !r; i++) {
		r = hash_file(gv_dir_path(d, hashed[i], path), hex, &size, e);
		if (!r && json_object_set_new(files, hashed[i],
			      json_pack("{s:I,s:s}", "bytes", (json_int_t)size,
				  "sha256", hex)))
			r = gv_fail(e, GV_ERR_NOMEM, "out of memory");
	}
	if (!r)
		r = write_json(gv_dir_path(d, "manifest.json", path), files, e);
	json_decref(files);
	return r;
}

static int
write_state(
    const struct gv_dir *d, const struct gv_run_state *s, struct gv_error *e)
{
	char path[GV_PATH_MAX];
	json_t *o = json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:O,s:s}", "groups",
	    (json_int_t)s->groups, "next", (json_int_t)s->next, "step",
	    (json_int_t)s->step, "updates", (json_int_t)s->updates, "records",
	    (json_int_t)s->records, "tokens", (json_int_t)s->tokens, "args",
	    s->args, "input", s->input);
	int r;

	if (!o)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	r = write_json(gv_dir_path(d, "state.json", path), o, e);
	json_decref(o);
	return r;
}

/* ---- which checkpoints there are ----------------------------------------- */

struct steps {
	int64_t *v;
	size_t n, cap;
};

static int
newest_first(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x < y) - (x > y);
}

/* The numbers of all step-N in a run's directory, newest first. */
static int
list_steps(const char *run, struct steps *s, struct gv_error *e)
{
	DIR *d = opendir(run);
	struct dirent *x;
	int r = 0;

	memset(s, 0, sizeof *s);
	if (!d && errno == ENOENT)
		return 0;
	if (!d)
		return gv_fail(e, GV_ERR_SYS, "cannot read '%s':", run);
	while (!r && (x = readdir(d))) {
		char *end;
		int64_t n;
		void *p = s->v;

		if (strncmp(x->d_name, "step-", 5))
			continue;
		n = strtoll(x->d_name + 5, &end, 10);
		if (*end || end == x->d_name + 5 || n < 0)
			continue;
		if (gv_grow(&p, &s->cap, s->n + 1, sizeof *s->v)) {
			r = gv_fail(e, GV_ERR_NOMEM, "out of memory");
			continue;
		}
		s->v = p;
		s->v[s->n++] = n;
	}
	closedir(d);
	if (s->n)
		qsort(s->v, s->n, sizeof *s->v, newest_first);
	return r;
}

static void
step_path(char path[GV_PATH_MAX], const char *run, int64_t step)
{
	snprintf(path, GV_PATH_MAX, "%s/step-%08lld", run, (long long)step);
}

static int
prune(const char *run, int keep, struct gv_error *e)
{
	char path[GV_PATH_MAX];
	struct steps s;
	size_t i;
	int r = list_steps(run, &s, e);

	for (i = (size_t)keep; i < s.n && !r; i++) {
		step_path(path, run, s.v[i]);
		r = gv_dir_remove(path, e);
	}
	gv_free(s.v);
	return r;
}

/* ---- saving -------------------------------------------------------------- */

static int
fill(const struct gv_dir *d, struct gv_model *m, struct gv_optim *o,
    const struct gv_run_state *s, const char *model_dir, struct gv_error *e)
{
	char path[GV_PATH_MAX];

	if (gv_model_save(m, gv_dir_tmp(d), GV_F32, e) ||
	    gv_copy_tokenizer(model_dir, gv_dir_tmp(d), e) ||
	    gv_optim_save(
		o, gv_dir_path(d, "optimizer.safetensors", path), e) ||
	    write_state(d, s, e) || write_manifest(d, e))
		return e->code;
	return 0;
}

int
gv_checkpoint_save(const char *run, struct gv_model *m, struct gv_optim *o,
    const struct gv_run_state *s, const char *model_dir, int keep,
    struct gv_error *e)
{
	char path[GV_PATH_MAX], link[GV_PATH_MAX + 8];
	struct gv_dir *d;

	if (mkdir(run, 0777) && errno != EEXIST)
		return gv_fail(e, GV_ERR_SYS, "cannot make '%s':", run);
	step_path(path, run, s->step);
	if (gv_dir_begin(&d, path, e))
		return e->code;
	if (fill(d, m, o, s, model_dir, e)) {
		gv_dir_abort(&d);
		return e->code;
	}
	if (gv_dir_commit(&d, e))
		return e->code;
	snprintf(link, sizeof link, "%s/latest", run);
	if (gv_link_replace(link, strrchr(path, '/') + 1, e))
		return e->code;
	return prune(run, keep, e);
}

/* ---- loading ------------------------------------------------------------- */

static int
verify(const char *dir, struct gv_error *e)
{
	char path[GV_PATH_MAX + 64], hex[GV_DIGEST];
	json_t *files = NULL;
	size_t i, size;
	int r;

	snprintf(path, sizeof path, "%s/manifest.json", dir);
	r = gv_json_load(&files, path, MAX_JSON, e);
	for (i = 0; i < HASHED && !r; i++) {
		json_t *f = json_object_get(files, hashed[i]);
		const char *want =
		    json_string_value(json_object_get(f, "sha256"));

		snprintf(path, sizeof path, "%s/%s", dir, hashed[i]);
		r = hash_file(path, hex, &size, e);
		if (!r && (!want || strcmp(want, hex)))
			r = gv_fail(e, GV_ERR_FORMAT,
			    "'%s' is not what the manifest says", path);
	}
	json_decref(files);
	return r;
}

static int
other_run(const char *dir, const char *key, struct gv_error *e)
{
	return gv_fail(
	    e, GV_ERR_MATCH, "'%s' was made with another --%s", dir, key);
}

/* A run goes on only as the same run. */
static int
same_run(const struct gv_run_state *s, const json_t *o, const char *dir,
    struct gv_error *e)
{
	json_t *args = json_object_get(o, "args");
	const char *input = json_string_value(json_object_get(o, "input"));
	const char *key;
	json_t *v;

	json_object_foreach(s->args, key, v)
	{
		if (!json_equal(v, json_object_get(args, key)))
			return other_run(dir, key, e);
	}
	json_object_foreach(args, key, v)
	{
		if (!json_object_get(s->args, key))
			return other_run(dir, key, e);
	}
	if (!input || strcmp(input, s->input))
		return gv_fail(
		    e, GV_ERR_MATCH, "'%s' was made from another input", dir);
	return 0;
}

static int
load_dir(const char *dir, struct gv_model *m, struct gv_optim *o,
    struct gv_run_state *s, struct gv_error *e)
{
	char path[GV_PATH_MAX + 64];
	json_t *state = NULL;
	struct gv_st *st = NULL;
	int64_t updates;
	int r;

	snprintf(path, sizeof path, "%s/state.json", dir);
	r = gv_json_load(&state, path, MAX_JSON, e);
	if (!r)
		r = same_run(s, state, dir, e);
	updates = json_integer_value(json_object_get(state, "updates"));
	if (!r)
		r = gv_st_open_dir(&st, dir, e);
	if (!r)
		r = gv_model_load(m, st, ~0u, e);
	gv_st_close(&st);
	snprintf(path, sizeof path, "%s/optimizer.safetensors", dir);
	if (!r)
		r = gv_optim_load(o, path, updates, e);
	if (!r) {
		s->step = json_integer_value(json_object_get(state, "step"));
		s->updates = updates;
		s->records = (uint64_t)json_integer_value(
		    json_object_get(state, "records"));
		s->tokens = (uint64_t)json_integer_value(
		    json_object_get(state, "tokens"));
		s->groups = (uint64_t)json_integer_value(
		    json_object_get(state, "groups"));
		s->next = (uint64_t)json_integer_value(
		    json_object_get(state, "next"));
	}
	json_decref(state);
	return r;
}

int
gv_checkpoint_load(const char *run, struct gv_model *m, struct gv_optim *o,
    struct gv_run_state *s, char *warning, size_t cap, struct gv_error *e)
{
	struct gv_error bad = {0};
	char path[GV_PATH_MAX];
	struct steps steps;
	size_t i;
	int r = list_steps(run, &steps, e);

	warning[0] = '\0';
	gv_dir_sweep(run); /* what killed saves have left */
	for (i = 0; i < steps.n && !r; i++) {
		step_path(path, run, steps.v[i]);
		gv_error_clear(&bad);
		if (!verify(path, &bad))
			break;
		if (!warning[0])
			snprintf(warning, cap, "passing over '%s': %s", path,
			    bad.msg);
	}
	if (!r && i < steps.n)
		r = load_dir(path, m, o, s, e) ? e->code : 1;
	else if (!r && steps.n)
		r = gv_fail(e, bad.code, "no usable checkpoint in '%s': %s",
		    run, bad.msg);
	gv_free(steps.v);
	return r;
}
