/* Prompts and scored sequences in the records of a stream. */
#include "prompts.h"

#include "visual.h"
#include "banned.h"

/* The index of an optional field that must fit `spec` if it is there. */
static int
optional(int *at, const struct gv_reader *r, const char *name, const char *spec,
    struct gv_error *e)
{
	size_t i;

	*at = gv_reader_has(r, name);
	if (*at < 0)
		return 0;
	return gv_reader_need(r, name, spec, &i, e);
}

int
gv_prompt_fields(
    struct gv_prompt_fields *f, const struct gv_reader *r, struct gv_error *e)
{
	static const struct {
		enum gv_input input;
		const char *spec;
	} visual[] = {
	    {GV_IN_EMBEDS, "BF16|F32 (N,R,D)"},
	    {GV_IN_FEATURES, "BF16|F32 (N,P,D)"},
	    {GV_IN_IMAGE, "U8 (N,H,W,3)"},
	};
	size_t at, i;

	*f = (struct gv_prompt_fields){.input = GV_IN_NONE, .visual = -1};
	if (gv_reader_need(r, "tokens", "I32 (T)", &at, e) ||
	    optional(&f->image_at, r, "image_at", "I32 (N)", e) ||
	    optional(&f->loss_mask, r, "loss_mask", "U8 (T)", e) ||
	    optional(&f->targets, r, "targets", "I32 (T)", e) ||
	    optional(&f->starts, r, "starts", "I32 (D)", e))
		return e->code;
	f->tokens = (int)at;
	for (i = 0; i < sizeof visual / sizeof *visual; i++) {
		if (optional(&f->visual, r, gv_visual_field(visual[i].input),
			visual[i].spec, e))
			return e->code;
		if (f->visual >= 0) {
			f->input = visual[i].input;
			break;
		}
	}
	return 0;
}

int
gv_prompt_of(struct gv_gen_prompt *p, const struct gv_prompt_fields *f,
    const struct gv_rec *rec, struct gv_error *e)
{
	const struct gv_tensor *t = &rec->v[f->tokens].t;

	if (f->starts >= 0 && rec->v[f->starts].t.shape[0] > 1)
		return gv_fail(e, GV_ERR_NOSUP,
		    "field 'starts': %lld sequences in one record, where a "
		    "prompt has one",
		    (long long)rec->v[f->starts].t.shape[0]);
	p->token = t->data;
	p->n = (size_t)t->shape[0];
	p->image_at = NULL;
	p->images = 0;
	if (f->image_at >= 0) {
		t = &rec->v[f->image_at].t;
		p->image_at = t->data;
		p->images = (size_t)t->shape[0];
	}
	p->input = f->input;
	p->visual = f->visual >= 0 ? &rec->v[f->visual].t : NULL;
	return 0;
}

int
gv_prompt_targets(int32_t *target, const struct gv_prompt_fields *f,
    const struct gv_rec *rec, struct gv_error *e)
{
	const struct gv_tensor *t = &rec->v[f->tokens].t;
	const int32_t *token = t->data, *given;
	size_t n = (size_t)t->shape[0], i;
	const uint8_t *mask;

	for (i = 0; i < n; i++)
		target[i] = -1;
	if (f->loss_mask >= 0) {
		mask = rec->v[f->loss_mask].t.data;
		if (n && mask[0])
			return gv_fail(e, GV_ERR_FORMAT,
			    "field 'loss_mask': nothing precedes token 0");
		for (i = 1; i < n; i++)
			if (mask[i])
				target[i - 1] = token[i];
		return 0;
	}
	given = rec->v[f->targets].t.data;
	for (i = 0; i < n; i++) {
		if (given[i] < 0 || i + 1 == n)
			continue;
		if (given[i] != token[i + 1])
			return gv_fail(e, GV_ERR_FORMAT,
			    "field 'targets': not the tokens shifted by one "
			    "at token %zu",
			    i);
		target[i] = given[i];
	}
	return 0;
}

bool
gv_prompt_spent(const struct gv_field *f)
{
	int i;

	for (i = 0; i < f->rank && f->dtype != GV_NONE; i++)
		if (f->shape[i] == GV_ANY && !strcmp(f->dim[i], "T"))
			return true;
	return gv_visual_is(f->name);
}
