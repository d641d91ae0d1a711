/* Learning a vocabulary from files, and writing it where a model is. */
#include "token_learn.h"

#include "dir.h"
#include "mem.h"
#include "ordered.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "banned.h"

struct gv_learn {
	struct gv_bpe_train *b;
	struct gv_docs *docs;
	struct gv_ordered *q;
};

struct batch {
	struct gv_docs_batch docs;
	struct gv_error err; /* of the first bad document */
};

/* ---- text in JSON -------------------------------------------------------- */

/* Learns from a text; whether there was one. */
static bool
learn_string(struct gv_bpe_train *b, const json_t *s, struct gv_error *e)
{
	if (!json_is_string(s))
		return false;
	(void)!gv_bpe_train_add(
	    b, json_string_value(s), json_string_length(s), e);
	return true;
}

static bool
learn_messages(struct gv_bpe_train *b, const json_t *list, struct gv_error *e)
{
	bool any = false;
	size_t i, k;

	for (i = 0; i < json_array_size(list); i++) {
		const json_t *c =
		    json_object_get(json_array_get(list, i), "content");

		any |= learn_string(b, c, e);
		for (k = 0; k < json_array_size(c); k++)
			any |= learn_string(b,
			    json_object_get(json_array_get(c, k), "text"), e);
	}
	return any;
}

static int
learn_json(struct gv_bpe_train *b, const char *s, size_t n, struct gv_error *e)
{
	const json_t *many;
	json_t *o;
	bool any;
	size_t i;

	if (gv_docs_parse(&o, s, n, e))
		return e->code;
	any = learn_string(b, json_object_get(o, "text"), e);
	any |= learn_messages(b, json_object_get(o, "messages"), e);
	many = json_object_get(o, "conversations");
	for (i = 0; i < json_array_size(many); i++)
		any |= learn_messages(b, json_array_get(many, i), e);
	json_decref(o);
	if (!any)
		return gv_fail(e, GV_ERR_FORMAT,
		    "no text in 'text', 'messages' or 'conversations'");
	return e->code;
}

/* ---- batches ------------------------------------------------------------- */

static int
next_batch(void *ctx, void *item, struct gv_error *e)
{
	struct gv_learn *l = ctx;
	struct batch *b = item;

	return gv_docs_next(l->docs, &b->docs, e);
}

static int
learn(void *ctx, const char *s, size_t n, bool json, struct gv_error *e)
{
	struct gv_learn *l = ctx;

	return json ? learn_json(l->b, s, n, e)
		    : gv_bpe_train_add(l->b, s, n, e);
}

static void
learn_batch(void *ctx, void *item)
{
	struct batch *b = item;

	gv_error_clear(&b->err);
	(void)!gv_docs_each(&b->docs, learn, ctx, &b->err);
}

static void
drop_batch(void *item)
{
	struct batch *b = item;

	gv_docs_free(&b->docs);
}

int
gv_learn_open(struct gv_learn **out, struct gv_bpe_train *b,
    const char *const *file, size_t files, enum gv_docs_form form,
    size_t threads, struct gv_error *e)
{
	struct gv_learn *l = gv_alloc(1, sizeof *l);

	if (!l)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	l->b = b;
	if (gv_docs_open(&l->docs, file, files, form, e) ||
	    gv_ordered_open(&l->q, threads, sizeof(struct batch), next_batch,
		learn_batch, drop_batch, l, e)) {
		gv_docs_close(&l->docs);
		gv_free(l);
		return e->code;
	}
	*out = l;
	return 0;
}

int
gv_learn_next(struct gv_learn *l, uint64_t *bytes, struct gv_error *e)
{
	struct batch *b;
	void *p;
	int got = gv_ordered_take(l->q, &p, e);

	if (got <= 0)
		return got;
	b = p;
	if (b->err.code) {
		*e = b->err;
		return e->code;
	}
	*bytes += b->docs.n;
	return 1;
}

void
gv_learn_close(struct gv_learn **l)
{
	if (!*l)
		return;
	gv_ordered_close(&(*l)->q);
	gv_docs_close(&(*l)->docs);
	gv_free(*l);
	*l = NULL;
}

/* ---- writing ------------------------------------------------------------- */

#define VOCABULARY "tokenizer.json"
#define CONFIG     "tokenizer_config.json"

/* Room for a name in a directory. */
#define PATH_CAP (GV_PATH_MAX + 32)

static const char *
in_dir(const char *dir, const char *name, char path[PATH_CAP])
{
	snprintf(path, PATH_CAP, "%s/%s", dir, name);
	return path;
}

/* A template in a file of its own would be taken for the new vocabulary's. */
static int
check_inside(const char *dir, struct gv_error *e)
{
	static const char *const template[] = {
	    "chat_template.jinja", "chat_template.json"};
	static const char *const ours[] = {VOCABULARY, CONFIG};
	char path[PATH_CAP];
	struct stat st;
	size_t i;

	if (access(dir, W_OK | X_OK))
		return gv_fail(e, GV_ERR_SYS, "cannot write to '%s':", dir);
	for (i = 0; i < sizeof template / sizeof *template; i++)
		if (!access(in_dir(dir, template[i], path), F_OK))
			return gv_fail(e, GV_ERR_MATCH,
			    "'%s' is another vocabulary's", path);
	for (i = 0; i < sizeof ours / sizeof *ours; i++)
		if (!stat(in_dir(dir, ours[i], path), &st) &&
		    !S_ISREG(st.st_mode))
			return gv_fail(
			    e, GV_ERR_FORMAT, "'%s' is not a file", path);
	return 0;
}

int
gv_learn_check(const char *dir, struct gv_error *e)
{
	size_t n = strlen(dir);
	struct stat st;
	char *parent;
	int rc;

	if (!stat(dir, &st)) {
		if (!S_ISDIR(st.st_mode))
			return gv_fail(
			    e, GV_ERR_FORMAT, "'%s' is not a directory", dir);
		return check_inside(dir, e);
	}
	while (n && dir[n - 1] == '/')
		n--;
	while (n && dir[n - 1] != '/')
		n--;
	parent = n ? gv_strndup(dir, n) : gv_strdup(".");
	if (!parent)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	rc = access(parent, W_OK | X_OK);
	gv_free(parent);
	return rc ? gv_fail(e, GV_ERR_SYS, "cannot make '%s':", dir) : 0;
}

/* Moves a file to another directory; none to move is no error if `may_lack`. */
static int
move(const char *from, const char *name, const char *to, bool may_lack,
    struct gv_error *e)
{
	char a[PATH_CAP], b[PATH_CAP];

	if (!rename(in_dir(from, name, a), in_dir(to, name, b)) ||
	    (may_lack && errno == ENOENT))
		return 0;
	return gv_fail(e, GV_ERR_SYS, "cannot rename '%s' to '%s':", a, b);
}

/* Both files are complete in `tmp`, a new directory inside `dir`.  The old
 * vocabulary steps aside first and the new one comes last: a crash in between
 * leaves none, which is noticed, and never one with another's template.  *kept:
 * the old files could not be put back, and are in tmp/old. */
static int
put_in_place(const char *tmp, const char *dir, bool *kept, struct gv_error *e)
{
	struct gv_error quiet = {0};
	char aside[PATH_CAP];

	if (mkdir(in_dir(tmp, "old", aside), 0777))
		return gv_fail(e, GV_ERR_SYS, "cannot make '%s':", aside);
	if (move(dir, VOCABULARY, aside, true, e))
		return e->code;
	if (!move(dir, CONFIG, aside, true, e)) {
		if (!move(tmp, CONFIG, dir, false, e) &&
		    !move(tmp, VOCABULARY, dir, false, e))
			return gv_dir_sync(dir, e);
		(void)!move(dir, CONFIG, tmp, true, &quiet);
		(void)!move(aside, CONFIG, dir, true, &quiet);
	}
	(void)!move(aside, VOCABULARY, dir, true, &quiet);
	*kept = quiet.code != 0;
	return e->code;
}

/* Replaces the two files in a directory that holds others, too. */
static int
replace(struct gv_bpe_train *b, const char *dir, struct gv_error *e)
{
	char path[PATH_CAP];
	struct gv_dir *d;
	bool kept = false;

	if (check_inside(dir, e) ||
	    gv_dir_begin(&d, in_dir(dir, ".tokenizer", path), e))
		return e->code;
	if (!gv_bpe_train_write(b, gv_dir_tmp(d), e)) {
		gv_dir_hold(d);
		(void)!put_in_place(gv_dir_tmp(d), dir, &kept, e);
	}
	if (kept)
		gv_dir_leave(&d);
	else
		gv_dir_abort(&d);
	return e->code;
}

int
gv_learn_write(struct gv_bpe_train *b, const char *dir, struct gv_error *e)
{
	struct gv_dir *d;

	if (!access(dir, F_OK))
		return replace(b, dir, e);
	if (gv_dir_begin(&d, dir, e))
		return e->code;
	if (gv_bpe_train_write(b, gv_dir_tmp(d), e)) {
		gv_dir_abort(&d);
		return e->code;
	}
	return gv_dir_commit(&d, e);
}
