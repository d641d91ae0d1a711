/* Records of tokens, printed for eyes. */
#include "token_show.h"

#include "utf8.h"
#include "banned.h"

#define PLAIN "\33[0m"

/* The colours of tokens: trained on or not, in two shades. */
static const char *const colour[2][2] = {
    {"\33[38;5;245;48;5;234m", "\33[38;5;250;48;5;237m"},
    {"\33[38;5;120;48;5;22m", "\33[38;5;157;48;5;28m"}};

static int
put(const struct gv_tokens_view *v, const char *s, struct gv_error *e)
{
	return gv_out_write(v->out, s, strlen(s), e);
}

/* What a terminal may take for a command: C0, C1 and DEL. */
static bool
is_control(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0);
}

static int
put_escaped(
    const struct gv_tokens_view *v, const char *s, size_t n, struct gv_error *e)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (gv_out_printf(v->out, e, "\\x%02x", (unsigned char)s[i]))
			return e->code;
	return 0;
}

/* A token's text.  *breaks says whether a line should end behind it. */
static int
put_text(const struct gv_tokens_view *v, const char *s, size_t n, bool *breaks,
    struct gv_error *e)
{
	size_t i, len;
	uint32_t c;

	*breaks = false;
	for (i = 0; i < n; i += len) {
		len = gv_utf8_next(s + i, n - i, &c);
		if (c == '\n') {
			*breaks = true;
			if (put(v, "\\n", e))
				return e->code;
		} else if (c == GV_UTF8_BAD || is_control(c)) {
			if (put_escaped(v, s + i, len, e))
				return e->code;
		} else if (gv_out_write(v->out, s + i, len, e)) {
			return e->code;
		}
	}
	return 0;
}

/* One token, or `run` placeholders of an image.  *breaks says whether the line
 * ended. */
static int
put_token(const struct gv_tokens_view *v, int32_t id, bool trained, size_t run,
    size_t number, bool *breaks, struct gv_error *e)
{
	size_t n;
	const char *s = gv_token_bytes(v->tokenizer, id, &n);

	if (put(v,
		v->colour ? colour[trained][number % 2]
		: trained ? "{"
			  : "[",
		e) ||
	    put_text(v, s, n, breaks, e) ||
	    (run > 1 && gv_out_printf(v->out, e, " x%zu", run)) ||
	    put(v,
		v->colour ? PLAIN
		: trained ? "}"
			  : "]",
		e))
		return e->code;
	return *breaks ? put(v, "\n", e) : 0;
}

static bool
is_trained(const struct gv_rendered *r, size_t i, size_t start)
{
	return i > start && r->target[i - 1] >= 0;
}

/* The tokens from `start` to `end`; *image is the next image. */
static int
put_sequence(const struct gv_tokens_view *v, const struct gv_rendered *r,
    size_t start, size_t end, size_t *image, struct gv_error *e)
{
	size_t i = start, run, number = 0;
	bool broken = false;

	for (; i < end; i += run, number++) {
		run = 1;
		if (*image < r->images && (size_t)r->image_at[*image] == i) {
			size_t stop = ++*image < r->images
					  ? (size_t)r->image_at[*image]
					  : end;

			while (i + run < end && i + run < stop &&
			       r->token[i + run] == r->token[i])
				run++;
		}
		if (put_token(v, r->token[i], is_trained(r, i, start), run,
			number, &broken, e))
			return e->code;
	}
	return broken ? 0 : put(v, "\n", e);
}

int
gv_tokens_show(const struct gv_tokens_view *v, const struct gv_record *r,
    struct gv_error *e)
{
	const struct gv_rendered *s = &r->seq;
	size_t trained = 0, image = 0, i;
	char q[160];

	for (i = 0; i < s->n; i++)
		trained += s->target[i] >= 0;
	if (gv_out_printf(v->out, e,
		"%s%s: %zu tokens, %zu trained on, %zu images%s\n",
		v->colour ? "\33[1m" : "",
		gv_quote(q, sizeof q, r->key, strlen(r->key)), s->n, trained,
		s->images, v->colour ? PLAIN : ""))
		return e->code;
	for (i = 0; i < r->starts; i++)
		if (put_sequence(v, s, (size_t)r->start[i],
			i + 1 < r->starts ? (size_t)r->start[i + 1] : s->n,
			&image, e))
			return e->code;
	return 0;
}
