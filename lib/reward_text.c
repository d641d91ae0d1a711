/* Rewards that look at nothing but characters and lengths: exact, format,
 * length, gsm8k.
 */
#include "reward_priv.h"

#include "mem.h"
#include "banned.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* ---- exact --------------------------------------------------------------- */

static bool
is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static char
lower(char c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

/* What is left of a text, but for case. */
static struct gv_span
core(struct gv_span s)
{
	while (s.n && is_space(s.s[s.n - 1]))
		s.n--;
	while (s.n && is_space(*s.s)) {
		s.s++;
		s.n--;
	}
	if (s.n && s.s[s.n - 1] == '.')
		s.n--;
	while (s.n && is_space(s.s[s.n - 1]))
		s.n--;
	return s;
}

static bool
same(struct gv_span a, struct gv_span b)
{
	size_t i;

	if (a.n != b.n)
		return false;
	for (i = 0; i < a.n; i++)
		if (lower(a.s[i]) != lower(b.s[i]))
			return false;
	return true;
}

static int
judge_exact(
    void *own, const struct gv_judged *in, double *out, struct gv_error *e)
{
	struct gv_span text = core(in->text);
	size_t i;

	(void)own;
	(void)e;
	for (i = 0; text.n && i < in->nanswers; i++)
		if (same(text, core(in->answers[i])))
			*out = 1;
	return 0;
}

const struct gv_task gv_task_exact = {
    .name = "exact", .needs = GV_NEED_ANSWERS, .judge = judge_exact};

/* ---- gsm8k --------------------------------------------------------------- */

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
in_number(char c, bool dollar)
{
	return is_digit(c) || c == '.' || c == ',' || (dollar && c == '$');
}

/* The group of the first match of "#### (\-?[0-9\.\,]+)"; n = 0 for none. */
static struct gv_span
marked(struct gv_span s)
{
	static const struct gv_span mark = {"#### ", 5};
	struct gv_span g = {s.s, 0};
	size_t at;

	while ((at = gv_py_find(s, mark)) != SIZE_MAX) {
		size_t i = at + mark.n, from = i;

		i += i < s.n && s.s[i] == '-';
		if (i < s.n && in_number(s.s[i], false)) {
			while (i < s.n && in_number(s.s[i], false))
				i++;
			g.s = s.s + from;
			g.n = i - from;
			return g;
		}
		s.s += at + 1;
		s.n -= at + 1;
	}
	return g;
}

/* The last match of "(-?[$0-9.,]{2,})|(-?[0-9]+)", as findall finds them. */
static struct gv_span
last_number(struct gv_span s)
{
	struct gv_span g = {s.s, 0};
	size_t i = 0;

	while (i < s.n) {
		size_t from = i, at = i + (s.s[i] == '-'), end = at;

		while (end < s.n && in_number(s.s[end], true))
			end++;
		if (end - at >= 2 || (end - at == 1 && is_digit(s.s[at]))) {
			g.s = s.s + from;
			g.n = end - from;
			i = end;
		} else {
			i++;
		}
	}
	return g;
}

/* Compares without the bytes of `skip`. */
static bool
same_without(struct gv_span a, struct gv_span b, const char *skip)
{
	size_t i = 0, k = 0;

	for (;; i++, k++) {
		while (i < a.n && a.s[i] && strchr(skip, a.s[i]))
			i++;
		while (k < b.n && b.s[k] && strchr(skip, b.s[k]))
			k++;
		if (i == a.n || k == b.n)
			return i == a.n && k == b.n;
		if (lower(a.s[i]) != lower(b.s[k]))
			return false;
	}
}

static int
judge_gsm8k(
    void *own, const struct gv_judged *in, double *out, struct gv_error *e)
{
	struct gv_span got = marked(in->text), want;
	size_t i;

	(void)own;
	(void)e;
	for (i = 0; got.n && i < in->nanswers; i++) {
		want = marked(in->answers[i]);
		if (!want.n)
			want = gv_py_strip(in->answers[i]);
		if (same_without(got, want, ","))
			*out = 1;
	}
	return 0;
}

/* What the harness compares: commas and dollars are dropped first, then all up
 * to the last mark, then a full stop at the end. */
static struct gv_span
ending(struct gv_bytes *b, struct gv_span s)
{
	static const struct gv_span mark = {"#### ", 5};
	struct gv_span g;
	size_t i, at;

	b->n = 0;
	for (i = 0; i < s.n; i++)
		if (s.s[i] != ',' && s.s[i] != '$')
			b->s[b->n++] = s.s[i];
	g = gv_span_of(b);
	at = gv_py_rfind(g, mark);
	if (at != SIZE_MAX) {
		g.s += at + mark.n;
		g.n -= at + mark.n;
	}
	if (g.n && g.s[g.n - 1] == '.') {
		g.n--;
	} else if (g.n > 1 && g.s[g.n - 1] == '\n' && g.s[g.n - 2] == '.') {
		b->s[b->n - 2] = '\n';
		g.n--;
	}
	return g;
}

static int
judge_flexible(
    void *own, const struct gv_judged *in, double *out, struct gv_error *e)
{
	struct gv_bytes *b = own;
	struct gv_span got = last_number(in->text), want;
	size_t i;

	if (!got.n)
		return 0;
	for (i = 0; i < in->nanswers; i++) {
		b[0].n = b[1].n = 0;
		if (gv_bytes_room(&b[0], got.n, e) ||
		    gv_bytes_room(&b[1], in->answers[i].n, e))
			return e->code;
		want = ending(&b[1], in->answers[i]);
		if (same(ending(&b[0], got), want))
			*out = 1;
	}
	return 0;
}

static int
open_flexible(void **own, const struct gv_reward_opts *o, const char *arg,
    struct gv_error *e)
{
	(void)o;
	(void)arg;
	*own = gv_alloc(2, sizeof(struct gv_bytes));
	return *own ? 0 : gv_fail(e, GV_ERR_NOMEM, "out of memory");
}

static void
close_flexible(void *own)
{
	struct gv_bytes *b = own;

	if (!b)
		return;
	gv_free(b[0].s);
	gv_free(b[1].s);
	gv_free(b);
}

const struct gv_task gv_task_gsm8k = {
    .name = "gsm8k", .needs = GV_NEED_ANSWERS, .judge = judge_gsm8k};

const struct gv_task gv_task_gsm8k_flexible = {.name = "gsm8k-flexible",
    .needs = GV_NEED_ANSWERS,
    .open = open_flexible,
    .judge = judge_flexible,
    .close = close_flexible};

/* ---- format -------------------------------------------------------------- */

/* One text may take this many steps: a pattern that needs more is refused
 * rather than waited for. */
#define MATCH_LIMIT 10000000u

struct format {
	pcre2_code *re;
	pcre2_match_data *md;
	pcre2_match_context *mc;
};

static void
close_format(void *own)
{
	struct format *f = own;

	if (!f)
		return;
	pcre2_match_context_free(f->mc);
	pcre2_match_data_free(f->md);
	pcre2_code_free(f->re);
	gv_free(f);
}

static int
open_format(void **own, const struct gv_reward_opts *o, const char *arg,
    struct gv_error *e)
{
	PCRE2_UCHAR why[128];
	PCRE2_SIZE at;
	struct format *f;
	int code;

	(void)arg;
	if (!o->pattern)
		return gv_fail(
		    e, GV_ERR_USAGE, "task 'format' needs --format PATTERN");
	f = *own = gv_alloc(1, sizeof *f);
	if (!f)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	f->re = pcre2_compile((PCRE2_SPTR)o->pattern, PCRE2_ZERO_TERMINATED,
	    PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &code, &at, NULL);
	if (!f->re) {
		if (code == PCRE2_ERROR_NOMEMORY ||
		    code == PCRE2_ERROR_HEAP_FAILED)
			return gv_fail(e, GV_ERR_NOMEM, "out of memory");
		pcre2_get_error_message(code, why, sizeof why);
		return gv_fail(e, GV_ERR_USAGE,
		    "--format: %s at character %zu of the pattern",
		    (const char *)why, (size_t)at);
	}
	f->md = pcre2_match_data_create_from_pattern(f->re, NULL);
	f->mc = pcre2_match_context_create(NULL);
	if (!f->md || !f->mc)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	pcre2_set_match_limit(f->mc, MATCH_LIMIT);
	return 0;
}

static int
judge_format(
    void *own, const struct gv_judged *in, double *out, struct gv_error *e)
{
	struct format *f = own;
	PCRE2_UCHAR why[128];
	int r = pcre2_match(
	    f->re, (PCRE2_SPTR)in->text.s, in->text.n, 0, 0, f->md, f->mc);

	if (r == PCRE2_ERROR_NOMATCH)
		return 0;
	if (r < 0) {
		if (r == PCRE2_ERROR_NOMEMORY)
			return gv_fail(e, GV_ERR_NOMEM, "out of memory");
		pcre2_get_error_message(r, why, sizeof why);
		return gv_fail(e, GV_ERR_FORMAT,
		    "the pattern of --format can't be matched: %s",
		    (const char *)why);
	}
	*out = 1;
	return 0;
}

const struct gv_task gv_task_format = {.name = "format",
    .open = open_format,
    .judge = judge_format,
    .close = close_format};

/* ---- length -------------------------------------------------------------- */

struct length {
	double max, margin;
};

static int
open_length(void **own, const struct gv_reward_opts *o, const char *arg,
    struct gv_error *e)
{
	struct length *l;

	(void)arg;
	if (o->max_length < 1)
		return gv_fail(
		    e, GV_ERR_USAGE, "task 'length' needs --max-length N");
	if (o->length_margin < 0 || o->length_margin > o->max_length)
		return gv_fail(e, GV_ERR_USAGE,
		    "--length-margin %lld is not between 0 and --max-length",
		    (long long)o->length_margin);
	l = *own = gv_alloc(1, sizeof *l);
	if (!l)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	l->max = (double)o->max_length;
	l->margin = (double)o->length_margin;
	return 0;
}

/* Yu et al., DAPO (2025), equation 13. */
static int
judge_length(
    void *own, const struct gv_judged *in, double *out, struct gv_error *e)
{
	const struct length *l = own;
	double n = (double)in->length, from = l->max - l->margin;

	(void)e;
	if (n > l->max)
		*out = -1;
	else if (n > from)
		*out = (from - n) / l->margin;
	return 0;
}

const struct gv_task gv_task_length = {.name = "length",
    .needs = GV_NEED_LENGTH,
    .blank = true,
    .open = open_length,
    .judge = judge_length,
    .close = gv_free};
