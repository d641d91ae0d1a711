/* Learning a vocabulary from files, and writing it where a model is. */
#include "token_learn.h"

#include "dir.h"
#include "io.h"
#include "mem.h"
#include "render_impl.h"
#include "banned.h"

#include <inttypes.h>
#include <unistd.h>

#define MAX_LINE ((size_t)64 << 20)
#define BLOCK    ((size_t)1 << 20) /* text learned from at a time */

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
learn_line(struct gv_bpe_train *b, const char *s, size_t n, struct gv_error *e)
{
	const json_t *many;
	json_t *o;
	bool any;
	size_t i;

	if (gv_render_parse(&o, s, n, e))
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

static int
learn_json(struct gv_bpe_train *b, struct gv_lines *l, struct gv_error *e)
{
	const char *s;
	size_t n;

	while (gv_lines_next(l, &s, &n, e) > 0) {
		if (gv_render_blank(s, n) || !learn_line(b, s, n, e))
			continue;
		gv_fail_in(e, "line %" PRIu64, gv_lines_number(l));
		return gv_fail_in(e, "'%s'", gv_lines_name(l));
	}
	return e->code;
}

/* May a block end before this line?  No piece of the split pattern spans a
 * newline that a visible ASCII character follows. */
static bool
cuts(const char *s, size_t n)
{
	return n && *s > ' ' && *s < 0x7f;
}

static int
learn_text(struct gv_bpe_train *b, struct gv_lines *l, struct gv_error *e)
{
	size_t used = 0, cap = 0, n;
	char *block = NULL;
	const char *s;

	while (gv_lines_next(l, &s, &n, e) > 0) {
		void *p = block;

		if (used > BLOCK && (cuts(s, n) || used > MAX_LINE)) {
			if (gv_bpe_train_add(b, block, used, e))
				break;
			used = 0;
		}
		if (gv_grow(&p, &cap, used + n + 1, 1)) {
			gv_fail(e, GV_ERR_NOMEM, "out of memory");
			break;
		}
		block = p;
		memcpy(block + used, s, n);
		block[used + n] = '\n';
		used += n + 1;
	}
	if (used && !e->code)
		(void)!gv_bpe_train_add(b, block, used, e);
	gv_free(block);
	return e->code;
}

int
gv_learn_file(
    struct gv_bpe_train *b, const char *file, bool jsonl, struct gv_error *e)
{
	struct gv_lines *l;

	if (gv_lines_open(&l, file, MAX_LINE, e))
		return e->code;
	(void)!(jsonl ? learn_json(b, l, e) : learn_text(b, l, e));
	gv_lines_close(&l);
	return e->code;
}

/* ---- writing ------------------------------------------------------------- */

int
gv_learn_write(struct gv_bpe_train *b, const char *dir, struct gv_error *e)
{
	struct gv_dir *d;

	if (!access(dir, F_OK))
		return gv_bpe_train_write(b, dir, e);
	if (gv_dir_begin(&d, dir, e))
		return e->code;
	if (gv_bpe_train_write(b, gv_dir_tmp(d), e)) {
		gv_dir_abort(&d);
		return e->code;
	}
	return gv_dir_commit(&d, e);
}
