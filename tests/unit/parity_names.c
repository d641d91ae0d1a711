/* The names that other versions of transformers give the tensors of the same
 * model: whatever they are, the same bits end up in the same places.
 */
#include "parity.h"

/* Prefixes of a fixture's file, and what another version spells. */
static const struct spelling {
	const char *fixture, *who;
	const char *rule[4][2];
} spellings[] = {
    {"llava", "transformers 4.30 to 4.51",
	{{"vision_tower.", "vision_tower.vision_model."}}},
    {"llava", "transformers 5 in memory",
	{{"language_model.lm_head.", "lm_head."},
	    {"language_model.model.", "model.language_model."},
	    {"vision_tower.", "model.vision_tower."},
	    {"multi_modal_projector.", "model.multi_modal_projector."}}},
    {"siglip", "transformers 4", {{"", "vision_model."}}},
    {"clip", "transformers 4", {{"", "vision_model."}}},
    {"smollm2", "a decoder saved without its head", {{"model.", ""}}},
};

static void
rename_tensor(char *to, size_t cap, const struct spelling *s, const char *name)
{
	size_t i, n;

	for (i = 0; i < 4 && s->rule[i][0]; i++) {
		n = strlen(s->rule[i][0]);
		if (strncmp(name, s->rule[i][0], n) != 0)
			continue;
		snprintf(to, cap, "%s%s", s->rule[i][1], name + n);
		return;
	}
	snprintf(to, cap, "%s", name);
}

/* Writes the fixture's tensors to `path` under their other names; how many
 * have one. */
static int
respell(const struct spelling *s, const char *dir, const char *path)
{
	struct gv_error e = {0};
	struct gv_st_entry *entry;
	struct gv_st_writer *w;
	struct gv_st *st;
	int renamed = 0;
	size_t n, i;

	must(gv_st_open_dir(&st, dir, &e), &e);
	n = gv_st_count(st);
	entry = calloc(n + 1, sizeof *entry);
	if (!entry)
		bail("memory", "there is none");
	for (i = 0; i < n; i++) {
		const struct gv_tensor *t = gv_st_tensor(st, i);
		char *name = calloc(1, GV_NAME_MAX);

		if (!name)
			bail("memory", "there is none");
		rename_tensor(name, GV_NAME_MAX, s, gv_st_name(st, i));
		renamed += strcmp(name, gv_st_name(st, i)) != 0;
		entry[i] = (struct gv_st_entry){
		    .name = name, .dtype = t->dtype, .rank = t->rank};
		memcpy(entry[i].shape, t->shape, sizeof t->shape);
	}
	must(gv_st_writer_open(&w, path, entry, n, NULL, 0, &e), &e);
	for (i = 0; i < n; i++) {
		const struct gv_tensor *t = gv_st_tensor(st, i);

		must(gv_st_writer_data(w, t->data, t->bytes, &e), &e);
		free((void *)(uintptr_t)entry[i].name);
	}
	must(gv_st_writer_close(&w, &e), &e);
	gv_st_close(&st);
	free(entry);
	return renamed;
}

static bool
same(const struct gv_model *a, const struct gv_model *b)
{
	int i;

	for (i = 0; i < GV_PARTS; i++)
		if (a->part[i].n != b->part[i].n ||
		    (a->part[i].n && memcmp(a->part[i].w, b->part[i].w,
					 a->part[i].n * sizeof(float)) != 0))
			return false;
	return true;
}

static void
test_spelling(const struct spelling *s, struct gvk *k, const char *argv0)
{
	char from[MOST_DIR], to[] = "/tmp/gv-names-XXXXXX",
			     path[sizeof to + 32];
	struct gv_error e = {0};
	struct gv_model *a, *b;

	golden_find(from, argv0, "GV_FAMILY", "family", s->fixture);
	if (!mkdtemp(to))
		bail(to, "cannot be made");
	link_files(from, to, "model", false);
	snprintf(path, sizeof path, "%s/model.safetensors", to);
	ok(respell(s, from, path) > 0, "%s by %s is spelled otherwise",
	    s->fixture, s->who);
	must(gv_model_open(&a, k, from, ~0u, &e), &e);
	must(gv_model_open(&b, k, to, ~0u, &e), &e);
	ok(same(a, b), "... and is the same model");
	gv_model_close(&a);
	gv_model_close(&b);
	unlink(path);
	link_files(from, to, "model", true);
	if (rmdir(to))
		bail(to, "cannot be removed");
}

int
main(int argc, char **argv)
{
	struct gv_error e = {0};
	struct gvk *k;
	size_t i;

	must(gv_backend_open(&k, "cpu", 1, &e), &e);
	for (i = 0; i < sizeof spellings / sizeof *spellings; i++)
		test_spelling(&spellings[i], k, argc ? argv[0] : "");
	gvk_close(&k);
	return done();
}
