/* One long text in several threads: cut where pieces end whatever is around,
 * and put together in order. */
#include "token_impl.h"

#include "mem.h"
#include "ordered.h"
#include "banned.h"

#define CHUNK ((size_t)256 << 10) /* bytes that a thread takes at a time */

static bool
is_letter(char c)
{
	return (unsigned)((c | 0x20) - 'a') < 26;
}

static bool
is_digit(char c)
{
	return (unsigned)(c - '0') < 10;
}

/* A comma or full stop of Chinese at p, behind an ideograph. */
static bool
behind_ideograph(const char *p)
{
	static const char *const stop[] = {
	    "\xe3\x80\x81", "\xe3\x80\x82", "\xef\xbc\x8c"};
	unsigned char lead = (unsigned char)p[-3];
	size_t i;

	if (lead < 0xe5 || lead > 0xe8 || (p[-2] & 0xc0) != 0x80 ||
	    (p[-1] & 0xc0) != 0x80)
		return false;
	for (i = 0; i < 3 && memcmp(p, stop[i], 3); i++)
		;
	return i < 3;
}

bool
gv_token_cut(const char *s, size_t i)
{
	const char *p = s + i;

	if (is_letter(p[-1]))
		return is_digit(*p) || (*p == ' ' && is_letter(p[1]));
	return (unsigned char)*p >= 0xe3 && behind_ideograph(p);
}

/* Can no added token span a cut? */
static bool
tokens_stay_whole(const struct gv_added *set)
{
	size_t i, k;

	for (i = 0; i < set->n; i++) {
		const struct gv_added_item *it = &set->item[i];

		for (k = 0; k < it->len; k++) {
			char next = k + 1 < it->len ? it->text[k + 1] : 0;

			if ((unsigned char)it->text[k] >= 0x80 ||
			    (is_letter(it->text[k]) &&
				(next == ' ' || is_digit(next))))
				return false;
		}
	}
	return true;
}

static bool
can_cut(const struct gv_tokenizer *t)
{
	return t->split && gv_split_by_words(t->split) && !t->chars &&
	       !t->clip && t->prefix == GV_PREFIX_NONE &&
	       tokens_stay_whole(&t->raw) && tokens_stay_whole(&t->normal);
}

struct text {
	const struct gv_tokenizer *t;
	const char *s;
	size_t n, at;
	bool specials;
};

struct chunk {
	const char *s;
	size_t n;
	struct gv_ids ids;
	struct gv_error error;
};

static int
next_chunk(void *ctx, void *item, struct gv_error *e)
{
	struct text *x = ctx;
	struct chunk *c = item;
	size_t from = x->at, end = x->n;

	(void)e;
	if (from == x->n)
		return 0;
	if (x->n - from > CHUNK + 3)
		for (end = from + CHUNK; end < x->n - 3; end++)
			if (gv_token_cut(x->s, end))
				break;
	end = end < x->n - 3 ? end : x->n;
	c->s = x->s + from;
	c->n = end - from;
	x->at = end;
	return 1;
}

static void
encode_chunk(void *ctx, void *item)
{
	struct text *x = ctx;
	struct chunk *c = item;

	c->ids.n = 0;
	gv_error_clear(&c->error);
	(void)!gv_encode(x->t, c->s, c->n, x->specials, &c->ids, &c->error);
}

static void
drop_chunk(void *item)
{
	struct chunk *c = item;

	gv_ids_free(&c->ids);
}

static int
take_chunk(struct gv_ids *out, const struct chunk *c, struct gv_error *e)
{
	if (c->error.code) {
		*e = c->error;
		return e->code;
	}
	if (gv_ids_room(out, c->ids.n, e))
		return e->code;
	if (c->ids.n)
		memcpy(out->id + out->n, c->ids.id, c->ids.n * sizeof *out->id);
	out->n += c->ids.n;
	return 0;
}

int
gv_encode_threads(const struct gv_tokenizer *t, const char *s, size_t n,
    bool specials, size_t threads, struct gv_ids *out, struct gv_error *e)
{
	struct text x = {t, s, n, 0, specials};
	struct gv_ordered *o;
	size_t had = out->n;
	void *p;
	int r;

	if (threads == 1 || n < 4 * CHUNK || n > GV_MAX_TEXT || !can_cut(t))
		return gv_encode(t, s, n, specials, out, e);
	if (gv_ids_room(out, n / 4, e) ||
	    gv_ordered_open(&o, threads, sizeof(struct chunk), next_chunk,
		encode_chunk, drop_chunk, &x, e))
		return e->code;
	while ((r = gv_ordered_take(o, &p, e)) > 0)
		if (take_chunk(out, p, e))
			break;
	gv_ordered_close(&o);
	if (e->code)
		out->n = had;
	return e->code;
}
