/* Conversations and documents to ids and targets. */
#include "chat_impl.h"

#include "mem.h"
#include "banned.h"

void
gv_rendered_free(struct gv_rendered *r)
{
	gv_free(r->token);
	gv_free(r->target);
	gv_free(r->bytes);
	gv_free(r->image_at);
	gv_ids_free(&r->ids);
	memset(r, 0, sizeof *r);
}

/* ---- conversations ------------------------------------------------------- */

int
gv_chat_check(const struct gv_tokenizer *t, const struct gv_chat_how *how,
    struct gv_error *e)
{
	const struct gv_chat_form *f = gv_chat_form(t, how->form, e);
	const char *no = NULL;

	if (!f)
		return e->code;
	if (how->no_thinking && f->write != gv_chat_qwen3)
		no = "thoughts";
	if (how->date && f->write != gv_chat_llama31)
		no = "a date";
	return no ? gv_fail(
			e, GV_ERR_NOSUP, "%s has no place for %s", f->name, no)
		  : 0;
}

int
gv_chat(const struct gv_tokenizer *t, const struct gv_chat_how *how,
    const json_t *messages, const json_t *tools, struct gv_rendered *r,
    struct gv_error *e)
{
	struct gv_pen p = {.t = t, .how = how, .r = r, .e = e, .start = r->n};
	size_t images = r->images;
	int rc;

	p.form = gv_chat_form(t, how->form, e);
	if (!p.form)
		return e->code;
	if (!json_array_size(messages))
		return gv_fail(
		    e, GV_ERR_FORMAT, "'messages' is not a list of turns");
	if (json_is_null(tools))
		tools = NULL;
	if (tools && !json_is_array(tools))
		return gv_fail(e, GV_ERR_FORMAT, "'tools' is not a list");
	rc = p.form->write(&p, messages, tools);
	if (!rc)
		rc = gv_pen_flush(&p);
	gv_free(p.text);
	gv_free(p.turn);
	gv_ids_free(&p.ids);
	if (rc) {
		r->n = p.start;
		r->images = images;
	}
	return rc;
}

/* ---- documents ----------------------------------------------------------- */

int
gv_document(const struct gv_tokenizer *t, const char *s, size_t n,
    size_t threads, struct gv_rendered *r, struct gv_error *e)
{
	int32_t nano = gv_tokenizer_special(t, "<|bos|>");
	int32_t bos = nano >= 0 ? nano : t->add_bos ? t->bos : -1;
	int32_t end = gv_tokenizer_special(t, "<|endoftext|>");
	size_t start = r->n;
	int rc;

	if (end < 0 && nano < 0)
		end = t->eos;
	r->ids.n = 0;
	rc = gv_encode_threads(t, s, n, false, threads, &r->ids, e);
	if (!rc && bos >= 0)
		rc = gv_rendered_put(t, r, start, bos, false, e);
	if (!rc)
		rc = gv_rendered_text(t, r, start, r->ids.id, r->ids.n, e);
	if (!rc && end >= 0)
		rc = gv_rendered_put(t, r, start, end, true, e);
	if (rc)
		r->n = start;
	else if (end < 0 && nano >= 0)
		gv_rendered_aim(t, r, r->n - 1, nano);
	return rc;
}
