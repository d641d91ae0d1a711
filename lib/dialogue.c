/* Turns, answers and scores. */
#include "dialogue.h"

#include "chat.h"
#include "decode.h"
#include "mem.h"
#include "score.h"
#include "visual.h"
#include "banned.h"

#include <math.h>

struct gv_dialogue {
	struct gv_model *m;
	const struct gv_tokenizer *t;
	bool raw;
	struct gv_chat_how chat;
	struct gv_tensor images; /* U8 (squares,H,W,3); rank 0: none */
	uint8_t *px;
	size_t px_cap, squares, pictures;
	int32_t *tiles; /* (pictures,2), rows and columns; 0, 0: not cut */
	size_t tiles_cap;
	json_t *messages; /* the turns so far */
	struct gv_gen *g; /* NULL: no law */
	uint64_t asked;
};

/* ---- opening ------------------------------------------------------------- */

int
gv_dialogue_open(struct gv_dialogue **out, struct gv_model *m,
    const struct gv_tokenizer *t, const struct gv_chat_how *chat,
    struct gv_error *e)
{
	struct gv_dialogue *d;

	if (chat && gv_chat_check(t, chat, e))
		return e->code;
	d = gv_alloc(1, sizeof *d);
	if (d)
		d->messages = json_array();
	if (!d || !d->messages) {
		gv_free(d);
		return gv_fail(e, GV_ERR_NOMEM, "no memory for a dialogue");
	}
	d->m = m;
	d->t = t;
	d->raw = !chat;
	if (chat)
		d->chat = *chat;
	d->chat.image_rows = (int)m->cfg.R;
	*out = d;
	return 0;
}

void
gv_dialogue_close(struct gv_dialogue **dp)
{
	struct gv_dialogue *d = *dp;

	*dp = NULL;
	if (!d)
		return;
	gv_gen_close(&d->g);
	json_decref(d->messages);
	gv_free(d->px);
	gv_free(d->tiles);
	gv_free(d);
}

/* Adds a picture: one square, or the tiles that it is cut into. */
static int
add_picture(struct gv_dialogue *d, struct gv_decoder *c, char *path,
    struct gv_decoded *x, struct gv_error *e)
{
	const struct gv_source_rec r = {
	    .kind = GV_SOURCE_PATH, .buf = (uint8_t *)path};
	const struct gv_image_rule *rule = &d->m->cfg.rule;
	size_t each = (size_t)rule->height * (size_t)rule->width * 3;
	size_t have = d->squares * each, more;

	gv_decoder_rec(c, x, &r);
	if (x->error.code)
		return gv_fail(e, x->error.code, "%s", x->error.msg);
	more = (size_t)x->n * each;
	if (gv_room(&d->px, &d->px_cap, have + more, 1, e) ||
	    gv_room(&d->tiles, &d->tiles_cap, 2 * d->pictures + 2,
		sizeof *d->tiles, e))
		return e->code;
	memcpy(d->px + have, x->px, more);
	memcpy(d->tiles + 2 * d->pictures, x->tiles, 2 * sizeof *d->tiles);
	d->squares += (size_t)x->n;
	d->pictures++;
	return 0;
}

/* A processor that splits is what the model was trained with. */
static struct gv_decode_law
pixels_of(const struct gv_config *c)
{
	struct gv_decode_law law = {
	    .rule = c->rule, .root = ".", .field = "image"};

	gv_image_limits_default(&law.limits);
	if (c->tiles.way == GV_TILE_SPLIT)
		law.tiles = c->tiles;
	return law;
}

int
gv_dialogue_show(
    struct gv_dialogue *d, char *const *path, int n, struct gv_error *e)
{
	const struct gv_decode_law law = pixels_of(&d->m->cfg);
	int64_t shape[4] = {0, law.rule.height, law.rule.width, 3};
	struct gv_decoder *c = NULL;
	struct gv_decoded x = {0};
	int i;

	if (!gv_decoder_open(&c, &law, e))
		for (i = 0; i < n && !e->code; i++)
			(void)!add_picture(d, c, path[i], &x, e);
	gv_decoded_free(&x);
	gv_decoder_close(&c);
	if (e->code)
		return e->code;
	shape[0] = (int64_t)d->squares;
	d->chat.tiles = law.tiles.way ? d->tiles : NULL;
	d->chat.pictures = d->pictures;
	return gv_tensor_set(&d->images, GV_U8, 4, shape, d->px, e);
}

int
gv_dialogue_law(
    struct gv_dialogue *d, const struct gv_gen_law *law, struct gv_error *e)
{
	return gv_gen_open(&d->g, d->m, d->t, law, e);
}

/* ---- turns --------------------------------------------------------------- */

void
gv_dialogue_reset(struct gv_dialogue *d)
{
	json_array_clear(d->messages);
}

/* Takes turns back until there are n. */
static void
take_back(struct gv_dialogue *d, size_t n)
{
	while (json_array_size(d->messages) > n)
		json_array_remove(
		    d->messages, json_array_size(d->messages) - 1);
}

/* Adds a turn; the first one shows the images. */
static int
add_turn(struct gv_dialogue *d, const char *role, const char *text, size_t n,
    struct gv_error *e)
{
	json_t *part = json_stringn(text, n), *content;
	size_t i;

	if (!part)
		return gv_fail(e, GV_ERR_FORMAT, "the text is not UTF-8");
	if (!d->pictures || json_array_size(d->messages)) {
		content = part;
	} else {
		content = json_array();
		for (i = 0; i < d->pictures; i++)
			json_array_append_new(
			    content, json_pack("{ss}", "type", "image"));
		json_array_append_new(
		    content, json_pack("{ssso}", "type", "text", "text", part));
	}
	if (json_array_append_new(d->messages,
		json_pack("{ssso}", "role", role, "content", content)))
		return gv_fail(e, GV_ERR_NOMEM, "no memory for a message");
	return 0;
}

/* A document that goes on: what begins one, and the text, without the token
 * that would end it. */
static int
render_raw(const struct gv_dialogue *d, const char *s, size_t n,
    struct gv_rendered *out, struct gv_error *e)
{
	if (gv_document(d->t, s, n, 1, out, e))
		return e->code;
	if (!n)
		out->n = out->n > 1 ? 1 : out->n;
	else if (gv_tokenizer_is_special(d->t, out->token[out->n - 1]))
		out->n--;
	return 0;
}

/* Renders the turns, or `s` as it is. */
static int
render(const struct gv_dialogue *d, const char *s, size_t n, bool open,
    struct gv_rendered *out, struct gv_error *e)
{
	struct gv_chat_how how = d->chat;

	if (d->raw)
		return render_raw(d, s, n, out, e);
	how.prompt = open;
	return gv_chat(d->t, &how, d->messages, NULL, out, e);
}

/* ---- answers ------------------------------------------------------------- */

static int
submit(struct gv_dialogue *d, const char *s, size_t n, struct gv_error *e)
{
	struct gv_gen_prompt p = {.number = d->asked};
	struct gv_rendered x = {0};

	if (!render(d, s, n, true, &x, e)) {
		p.token = x.token;
		p.n = x.n;
		p.image_at = x.image_at;
		p.images = x.images;
		p.input = d->px ? GV_IN_IMAGE : GV_IN_NONE;
		p.visual = d->px ? &d->images : NULL;
		if (!gv_gen_submit(d->g, &p, e))
			d->asked++;
	}
	gv_rendered_free(&x);
	return e->code;
}

int
gv_dialogue_ask(struct gv_dialogue *d, const char *text, size_t n,
    const struct gv_gen_sample **answer, struct gv_error *e)
{
	size_t before = json_array_size(d->messages);
	struct gv_gen_result got;

	if ((!d->raw && add_turn(d, "user", text, n, e)) ||
	    submit(d, text, n, e)) {
		take_back(d, before);
		return e->code;
	}
	do
		if (gv_gen_step(d->g, e))
			return e->code;
	while (!gv_gen_take(d->g, &got));
	*answer = got.sample;
	return d->raw ? 0
		      : add_turn(d, "assistant", got.sample->text,
			    got.sample->bytes, e);
}

bool
gv_dialogue_stuck(const struct gv_dialogue *d)
{
	return gv_gen_pending(d->g) > 0;
}

/* ---- scores -------------------------------------------------------------- */

/* A sequence, and what of it is scored. */
struct sequence {
	struct gv_rendered x; /* what was rendered */
	struct gv_ids all; /* raw: that and the answer's tokens */
	int32_t *target, *bytes; /* raw: (all.n) */
	struct gv_score_item item;
};

static void
free_sequence(struct sequence *q)
{
	gv_visual_drop(&q->item.visual);
	gv_free(q->item.logp);
	gv_free(q->target);
	gv_free(q->bytes);
	gv_ids_free(&q->all);
	gv_rendered_free(&q->x);
}

/* Appends the answer's own tokens to a plain text, each one a target. */
static int
append_answer(const struct gv_dialogue *d, const char *s, struct sequence *q,
    struct gv_error *e)
{
	struct gv_ids *all = &q->all;
	size_t i, n, first;

	for (i = 0; i < q->x.n; i++)
		if (gv_ids_push(all, q->x.token[i], e))
			return e->code;
	first = all->n ? all->n : 1; /* nothing precedes the first token */
	if (gv_encode(d->t, s, strlen(s), false, all, e))
		return e->code;
	q->target = gv_alloc(all->n + 1, sizeof *q->target);
	q->bytes = gv_alloc(all->n + 1, sizeof *q->bytes);
	if (!q->target || !q->bytes)
		return gv_fail(e, GV_ERR_NOMEM, "no memory for a text");
	for (i = 0; i < all->n; i++)
		q->target[i] = -1;
	for (i = first; i < all->n; i++) {
		q->target[i - 1] = all->id[i];
		gv_token_bytes(d->t, all->id[i], &n);
		q->bytes[i - 1] = (int32_t)n;
	}
	return 0;
}

static int
score(struct gv_dialogue *d, struct sequence *q, struct gv_error *e)
{
	struct gv_score_item *s = &q->item;

	if (d->px &&
	    gv_visual_take(&s->visual, d->m, GV_IN_IMAGE, &d->images, NULL, e))
		return e->code;
	s->token = d->raw ? q->all.id : q->x.token;
	s->target = d->raw ? q->target : q->x.target;
	s->n = d->raw ? q->all.n : q->x.n;
	s->image_at = q->x.image_at;
	s->images = q->x.images;
	s->logp = gv_alloc(s->n, sizeof *s->logp);
	if (!s->logp)
		return gv_fail(e, GV_ERR_NOMEM, "no memory for a text");
	if (gv_score_check(d->m, s, e))
		return e->code;
	return gv_score(d->m, s, 1, e);
}

static int
add_up(struct gv_likely *to, const struct gv_score_item *s,
    const int32_t *bytes, struct gv_error *e)
{
	double text = 0; /* of the tokens that spell bytes */
	size_t i;

	to->id = gv_alloc(s->n, sizeof *to->id);
	to->logp = gv_alloc(s->n, sizeof *to->logp);
	if (!to->id || !to->logp)
		return gv_fail(e, GV_ERR_NOMEM, "no memory for a score");
	for (i = 0; i < s->n; i++) {
		if (s->target[i] < 0)
			continue;
		to->id[to->n] = s->target[i];
		to->logp[to->n++] = s->logp[i];
		to->sum += (double)s->logp[i];
		text += bytes[i] ? (double)s->logp[i] : 0;
		to->bytes += bytes[i];
	}
	if (!to->n)
		return gv_fail(
		    e, GV_ERR_FORMAT, "the text has no token to score");
	to->perplexity = exp(-to->sum / (double)to->n);
	if (to->bytes)
		to->bits_per_byte = -text / log(2) / (double)to->bytes;
	return 0;
}

int
gv_dialogue_score(struct gv_dialogue *d, const char *text, size_t n,
    const char *answer, struct gv_likely *s, struct gv_error *e)
{
	struct gv_likely sum = {0};
	struct sequence q = {0};

	if (!d->raw && (add_turn(d, "user", text, n, e) ||
			   add_turn(d, "assistant", answer, strlen(answer), e)))
		return e->code;
	if (!render(d, text, n, false, &q.x, e) &&
	    (!d->raw || !append_answer(d, answer, &q, e)) && !score(d, &q, e))
		add_up(&sum, &q.item, d->raw ? q.bytes : q.x.bytes, e);
	free_sequence(&q);
	if (e->code)
		gv_likely_free(&sum);
	else
		*s = sum;
	return e->code;
}

void
gv_likely_free(struct gv_likely *s)
{
	gv_free(s->id);
	gv_free(s->logp);
	*s = (struct gv_likely){0};
}
