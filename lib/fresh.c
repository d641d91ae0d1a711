/* Fresh models. */
#include "fresh.h"

#include "config.h"
#include "config_edit.h"
#include "dir.h"
#include "files.h"
#include "model.h"
#include "token.h"
#include "banned.h"

/* The object becomes a configuration: fitted to the vocabulary, then changed
 * as the user says. */
static int
finish(struct gv_config *c, json_t *o, const struct gv_fresh_law *law,
    const struct gv_tokenizer *t, struct gv_error *e)
{
	if (!t && gv_config_wants_tokenizer(o))
		return gv_fail(e, GV_ERR_USAGE, "it needs --tokenizer");
	if ((law->tower && gv_config_take_tower(o, law->tower, e)) ||
	    (t && gv_config_fit(o, t, e)) ||
	    gv_config_set(o, law->set, law->nset, e))
		return e->code;
	return gv_config_parse(c, o, e);
}

static int
make_config(struct gv_config *c, const struct gv_fresh_law *law,
    const struct gv_tokenizer *t, struct gv_error *e)
{
	int32_t stop[8];
	size_t n, i;
	json_t *o;
	int r;

	if (gv_config_read(&o, law->config, e))
		return e->code;
	r = finish(c, o, law, t, e);
	json_decref(o);
	if (r)
		return gv_fail_in(e, "'%s'", law->config);
	if (!t || c->neos)
		return 0;
	n = gv_tokenizer_stops(t, stop, 8);
	for (i = 0; i < n && i < 8; i++)
		c->eos[c->neos++] = stop[i];
	return 0;
}

static int
fill(struct gv_model *m, const char *dir, const struct gv_fresh_law *law,
    struct gv_error *e)
{
	if (gv_model_init(m, law->seed, e) ||
	    gv_model_save(m, dir, law->dtype, e))
		return e->code;
	return law->tokenizer ? gv_copy_tokenizer(law->tokenizer, dir, e) : 0;
}

static int
write_model(struct gv_config *c, const char *to, const struct gv_fresh_law *law,
    struct gv_error *e)
{
	struct gv_model *m = NULL;
	struct gvk *k = NULL;
	struct gv_dir *d;

	if (!gv_backend_open(&k, "cpu", 0, e) &&
	    !gv_model_new(&m, k, c, ~0u, e) && !gv_dir_begin(&d, to, e)) {
		if (fill(m, gv_dir_tmp(d), law, e))
			gv_dir_abort(&d);
		else
			(void)!gv_dir_commit(&d, e);
	}
	gv_model_close(&m);
	gvk_close(&k);
	return e->code;
}

int
gv_fresh(const char *to, const struct gv_fresh_law *law, struct gv_error *e)
{
	struct gv_tokenizer *t = NULL;
	struct gv_config c = {0};

	if ((!law->tokenizer || !gv_tokenizer_open(&t, law->tokenizer, e)) &&
	    !make_config(&c, law, t, e)) {
		if (c.has_text && !t)
			gv_fail(e, GV_ERR_USAGE,
			    "a model with text needs --tokenizer");
		else
			(void)!write_model(&c, to, law, e);
	}
	gv_config_free(&c);
	gv_tokenizer_close(&t);
	return e->code;
}
