/* Whole characters of text that comes in pieces. */
#include "trickle.h"

#include "utf8.h"
#include "banned.h"

static void
put_char(const struct gv_trickle *t, uint32_t c, const char *s, size_t n)
{
	if (c == GV_UTF8_BAD)
		fputs("\xef\xbf\xbd", t->f);
	else if (t->terminal && c != '\n' && c != '\t' &&
		 (c < 32 || (c >= 0x7f && c < 0xa0)))
		fprintf(t->f, "\\x%02x", (unsigned)c);
	else
		fwrite(s, 1, n, t->f);
}

static void
put_whole(const struct gv_trickle *t, const char *s, size_t n)
{
	uint32_t c;
	size_t k;

	for (; n; s += k, n -= k) {
		k = gv_utf8_next(s, n, &c);
		if (c == GV_UTF8_BAD)
			k = gv_utf8_broken(s, n);
		put_char(t, c, s, k);
	}
}

void
gv_trickle_put(struct gv_trickle *t, const char *s, size_t n)
{
	char buf[256];

	while (n) {
		size_t some = n < sizeof buf - t->n ? n : sizeof buf - t->n;
		size_t all = t->n + some, whole;

		memcpy(buf, t->held, t->n);
		memcpy(buf + t->n, s, some);
		s += some;
		n -= some;
		whole = gv_utf8_whole(buf, all);
		put_whole(t, buf, whole);
		t->n = all - whole;
		memcpy(t->held, buf + whole, t->n);
	}
	fflush(t->f);
}

void
gv_trickle_end(struct gv_trickle *t)
{
	put_whole(t, t->held, t->n);
	t->n = 0;
	fflush(t->f);
}
