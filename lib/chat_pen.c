/* What chat templates write with: stretches of text, tokens between them. */
#include "chat_impl.h"

#include "mem.h"
#include "banned.h"

/* ---- tokens -------------------------------------------------------------- */

static int
room(struct gv_rendered *r, size_t more, struct gv_error *e)
{
	int32_t **list[] = {&r->target, &r->bytes, &r->token};
	size_t cap = r->cap, i;

	for (i = 0; i < 3 && r->n + more > r->cap; i++) {
		cap = r->cap;
		if (gv_room(list[i], &cap, r->n + more, sizeof(int32_t), e))
			return e->code;
	}
	r->cap = cap;
	return 0;
}

void
gv_rendered_aim(
    const struct gv_tokenizer *t, struct gv_rendered *r, size_t at, int32_t id)
{
	size_t n;

	gv_token_bytes(t, id, &n);
	r->target[at] = id;
	r->bytes[at] = gv_tokenizer_is_special(t, id) ? 0 : (int32_t)n;
}

int
gv_rendered_put(const struct gv_tokenizer *t, struct gv_rendered *r,
    size_t start, int32_t id, bool trained, struct gv_error *e)
{
	if (room(r, 1, e))
		return e->code;
	r->token[r->n] = id;
	r->target[r->n] = -1;
	r->bytes[r->n] = 0;
	if (trained && r->n > start)
		gv_rendered_aim(t, r, r->n - 1, id);
	r->n++;
	return 0;
}

int
gv_rendered_text(const struct gv_tokenizer *t, struct gv_rendered *r,
    size_t start, const int32_t *id, size_t n, struct gv_error *e)
{
	int32_t *target, *bytes;
	size_t i;

	if (!n)
		return 0;
	if (room(r, n, e))
		return e->code;
	if (r->n > start)
		gv_rendered_aim(t, r, r->n - 1, id[0]);
	memcpy(r->token + r->n, id, n * sizeof *id);
	target = r->target + r->n;
	bytes = r->bytes + r->n;
	for (i = 0; i + 1 < n; i++) {
		const struct gv_tok *next = &t->tok[id[i + 1]];

		target[i] = id[i + 1];
		bytes[i] =
		    next->flags & GV_TOK_SPECIAL ? 0 : (int32_t)next->len;
	}
	target[i] = -1;
	bytes[i] = 0;
	r->n += n;
	return 0;
}

/* ---- stretches ----------------------------------------------------------- */

int
gv_pen_text(struct gv_pen *p, const char *s, size_t n)
{
	if (gv_room(&p->text, &p->cap, p->n + n + 1, 1, p->e))
		return p->e->code;
	if (n)
		memcpy(p->text + p->n, s, n);
	p->n += n;
	return 0;
}

int
gv_pen_str(struct gv_pen *p, const char *s)
{
	return gv_pen_text(p, s, strlen(s));
}

int
gv_pen_train(struct gv_pen *p, bool trained)
{
	trained = trained && !p->how->prompt;
	if (trained == p->trained)
		return 0;
	p->trained = trained;
	if (!p->n) {
		p->first = trained;
		return 0;
	}
	if (gv_room(
		&p->turn, &p->turn_cap, p->turns + 1, sizeof *p->turn, p->e))
		return p->e->code;
	p->turn[p->turns++] = (struct gv_pen_turn){p->n, trained};
	return 0;
}

/* Encodes the first n bytes of the stretch. */
static int
encode(struct gv_pen *p, size_t n)
{
	p->ids.n = 0;
	return p->begun ? gv_encode_on(p->t, p->text, n, false, &p->ids, p->e)
			: gv_encode(p->t, p->text, n, false, &p->ids, p->e);
}

static size_t
bytes_of(const struct gv_pen *p)
{
	size_t sum = 0, i, n;

	for (i = 0; i < p->ids.n; i++) {
		gv_token_bytes(p->t, p->ids.id[i], &n);
		sum += n;
	}
	return sum;
}

/* Where the stretch's byte *at is among the bytes of its tokens: normalisation
 * may have changed how many there are, and put a blank in front. */
static int
place_of(struct gv_pen *p, size_t *at)
{
	size_t i;

	for (i = 0; i < *at && !p->t->chars && !(p->text[i] & 0x80); i++)
		;
	if (i == *at)
		return 0;
	if (encode(p, *at))
		return p->e->code;
	*at = bytes_of(p);
	return 0;
}

/* A token is trained on if its first byte is: one that starts in an untrained
 * head and reaches beyond isn't, since the prompt already holds its start. */
int
gv_pen_flush(struct gv_pen *p)
{
	bool trained = p->first;
	size_t i, at = 0, k, n;

	if (!p->n)
		return 0;
	for (k = 0; k < p->turns; k++)
		if (place_of(p, &p->turn[k].at))
			return p->e->code;
	if (encode(p, p->n))
		return p->e->code;
	for (i = k = 0; i < p->ids.n; i++) {
		for (; k < p->turns && at >= p->turn[k].at; k++)
			trained = p->turn[k].trained;
		if (gv_rendered_put(
			p->t, p->r, p->start, p->ids.id[i], trained, p->e))
			return p->e->code;
		gv_token_bytes(p->t, p->ids.id[i], &n);
		at += n;
	}
	p->begun = true;
	p->n = p->turns = 0;
	p->first = p->trained;
	return 0;
}

int
gv_pen_id(struct gv_pen *p, int32_t id, bool trained)
{
	if (gv_pen_flush(p))
		return p->e->code;
	p->begun = true;
	return gv_rendered_put(
	    p->t, p->r, p->start, id, trained && !p->how->prompt, p->e);
}

int
gv_pen_special(struct gv_pen *p, const char *name, bool trained)
{
	int32_t id = gv_tokenizer_special(p->t, name);

	if (id < 0)
		return gv_fail(
		    p->e, GV_ERR_NOSUP, "the vocabulary has no '%s'", name);
	return gv_pen_id(p, id, trained);
}

int
gv_pen_tiles(struct gv_pen *p, int32_t *rows, int32_t *columns)
{
	const int32_t *tiles = p->how->tiles;

	*rows = *columns = 0;
	if (!tiles)
		return 0;
	if (p->picture == p->how->pictures)
		return gv_fail(p->e, GV_ERR_MATCH,
		    "more images in the messages than the %zu that were cut "
		    "into tiles",
		    p->how->pictures);
	*rows = tiles[2 * p->picture];
	*columns = tiles[2 * p->picture + 1];
	p->picture++;
	return 0;
}

int
gv_pen_image(struct gv_pen *p)
{
	int32_t rows, columns, i;

	if (gv_pen_tiles(p, &rows, &columns))
		return p->e->code;
	for (i = 0; i <= rows * columns; i++)
		if (gv_pen_run(p))
			return p->e->code;
	return 0;
}

int
gv_pen_run(struct gv_pen *p)
{
	int32_t id = gv_tokenizer_image(p->t);
	struct gv_rendered *r = p->r;
	int i;

	if (id < 0)
		return gv_fail(p->e, GV_ERR_NOSUP,
		    "the vocabulary has no token for images");
	if (p->how->image_rows < 1)
		return gv_fail(p->e, GV_ERR_MATCH,
		    "an image in the messages, but no rows for images");
	if (gv_pen_flush(p))
		return p->e->code;
	if (r->n > INT32_MAX)
		return gv_fail(p->e, GV_ERR_LIMIT, "more than 2^31 tokens");
	if (gv_room(&r->image_at, &r->image_cap, r->images + 1,
		sizeof *r->image_at, p->e))
		return p->e->code;
	r->image_at[r->images++] = (int32_t)r->n;
	for (i = 0; i < p->how->image_rows; i++)
		if (gv_pen_id(p, id, false))
			return p->e->code;
	return 0;
}
