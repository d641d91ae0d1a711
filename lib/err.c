/* One line of what went wrong, kept from the first failure. */
#include "err.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static void
append(char *dst, size_t cap, const char *s)
{
	size_t n = strlen(dst);

	if (n + 1 < cap)
		snprintf(dst + n, cap - n, "%s", s);
}

/* A message is one line whatever the input that it quotes. */
static void
one_line(char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			*s = '?';
}

int
gv_fail(struct gv_error *e, int code, const char *fmt, ...)
{
	int saved = errno;
	size_t n = strlen(fmt);
	bool told = n && fmt[n - 1] == ':'; /* errno says why */
	va_list ap;

	if (told && code == GV_ERR_SYS && saved == EPIPE)
		code = GV_ERR_PIPE;
	if (told && code == GV_ERR_SYS && saved == ENOMEM)
		code = GV_ERR_NOMEM;
	if (e->code)
		return code;
	e->code = code;
	e->sys_errno = told && code == GV_ERR_SYS ? saved : 0;
	va_start(ap, fmt);
	vsnprintf(e->msg, sizeof e->msg, fmt, ap);
	va_end(ap);
	if (told) {
		append(e->msg, sizeof e->msg, " ");
		append(e->msg, sizeof e->msg, strerror(saved));
	}
	one_line(e->msg);
	errno = saved;
	return code;
}

int
gv_fail_in(struct gv_error *e, const char *fmt, ...)
{
	char was[sizeof e->msg];
	va_list ap;

	memcpy(was, e->msg, sizeof was);
	va_start(ap, fmt);
	vsnprintf(e->msg, sizeof e->msg, fmt, ap);
	va_end(ap);
	append(e->msg, sizeof e->msg, ": ");
	append(e->msg, sizeof e->msg, was);
	one_line(e->msg);
	return e->code;
}

void
gv_error_clear(struct gv_error *e)
{
	memset(e, 0, sizeof *e);
}

/* Length of the valid UTF-8 character at s, 0 if it is none or a control. */
static size_t
printable(const unsigned char *s, size_t n)
{
	size_t len, i;

	if (s[0] >= 0x20 && s[0] < 0x7f)
		return 1;
	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 0;
	len = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	if (len > n)
		return 0;
	for (i = 1; i < len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xc2 && s[1] < 0xa0) || (s[0] == 0xe0 && s[1] < 0xa0) ||
	    (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) ||
	    (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return len;
}

char *
gv_quote(char *dst, size_t cap, const char *s, size_t n)
{
	const unsigned char *p = (const unsigned char *)s;
	size_t i = 0, o = 0, len;

	while (i < n) {
		len = printable(p + i, n - i);
		if (o + (len ? len : 4) + 4 > cap) {
			if (o + 4 <= cap) {
				memcpy(dst + o, "...", 3);
				o += 3;
			}
			break;
		}
		if (len) {
			memcpy(dst + o, p + i, len);
			o += len;
			i += len;
		} else {
			snprintf(dst + o, 5, "\\x%02x", p[i++]);
			o += 4;
		}
	}
	if (cap)
		dst[o] = '\0';
	return dst;
}
