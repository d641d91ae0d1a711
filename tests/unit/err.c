/* One line, kept from the first failure. */
#include "err.h"

#include "tap.h"

#include <errno.h>

static struct gv_error e;

static const char *
quote(const char *s, size_t n, size_t cap)
{
	static char dst[256];

	memset(dst, '#', sizeof dst);
	gv_quote(dst, cap, s, n);
	if (cap < sizeof dst && dst[cap] != '#')
		return "(past the end)";
	return dst;
}

static void
test_fail(void)
{
	char longer[2000];

	errno = ENOENT;
	is_int(gv_fail(&e, GV_ERR_SYS, "cannot open '%s':", "a"), GV_ERR_SYS,
	    "the code");
	is_str(e.msg, "cannot open 'a': No such file or directory", "the line");
	is_int(e.sys_errno, ENOENT, "errno");
	is_int(
	    gv_fail(&e, GV_ERR_LIMIT, "later"), GV_ERR_LIMIT, "later's code");
	is_int(e.code, GV_ERR_SYS, "the first stays");
	is_int(gv_fail_in(&e, "x %d", 3), GV_ERR_SYS, "a prefix");
	is_str(e.msg, "x 3: cannot open 'a': No such file or directory",
	    "in front");
	gv_error_clear(&e);
	is_int(e.code + e.msg[0], 0, "cleared");
	errno = EPIPE;
	is_int(gv_fail(&e, GV_ERR_SYS, "w:"), GV_ERR_PIPE, "EPIPE");
	gv_error_clear(&e);
	errno = ENOMEM;
	is_int(gv_fail(&e, GV_ERR_SYS, "m:"), GV_ERR_NOMEM, "ENOMEM");
	gv_error_clear(&e);
	errno = EPIPE;
	is_int(gv_fail(&e, GV_ERR_SYS, "the program died"), GV_ERR_SYS,
	    "a line without errno isn't silenced by an old EPIPE");
	is_int(e.sys_errno, 0, "nor has it one");
	is_str(e.msg, "the program died", "nor tells it");
	gv_error_clear(&e);
	memset(longer, 'y', sizeof longer);
	longer[sizeof longer - 1] = '\0';
	gv_fail(&e, GV_ERR_FORMAT, "%s", longer);
	is_int((long long)strlen(e.msg), sizeof e.msg - 1, "a long one is cut");
	gv_fail_in(&e, "pre");
	ok(!strncmp(e.msg, "pre: yyy", 8), "and takes a prefix");
	gv_error_clear(&e);
	gv_fail(&e, GV_ERR_FORMAT, "a\nb\x1b[2Jc");
	ok(!strchr(e.msg, '\n') && !strchr(e.msg, 27), "one line, no controls");
	gv_error_clear(&e);
}

static void
test_quote(void)
{
	is_str(quote("abc", 3, 64), "abc", "plain");
	is_str(quote("a\n\0\x7f", 4, 64), "a\\x0a\\x00\\x7f", "controls");
	is_str(quote("caf\xc3\xa9", 5, 64), "caf\xc3\xa9", "UTF-8");
	is_str(quote("\xc3", 1, 64), "\\xc3", "half a character");
	is_str(quote("\xc0\xaf", 2, 64), "\\xc0\\xaf", "overlong");
	is_str(quote("\xed\xa0\x80", 3, 64), "\\xed\\xa0\\x80", "a surrogate");
	is_str(quote("\xc2\x9b", 2, 64), "\\xc2\\x9b", "a C1 control");
	is_str(quote("abcdefghij", 10, 9), "abcde...", "cut");
	is_str(quote("abc", 3, 1), "", "no room");
	is_str(quote("\n\n\n", 3, 10), "\\x0a...", "no half escape");
}

int
main(void)
{
	test_fail();
	test_quote();
	return done();
}
