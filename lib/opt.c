/* One table drives parsing and --help. */
#include "opt.h"

#include "mem.h"
#include "banned.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <math.h>

#define NCOMMON 12

/* The common options that `p` takes, as rows of the same kind of table. */
static size_t
common_table(const struct gv_opt_prog *p, struct gv_opt_common *c,
    struct gv_opt t[NCOMMON])
{
	const struct {
		unsigned need;
		struct gv_opt o;
	} all[] = {
	    {GV_OPT_C_OUTPUT,
		{"output", 'o', GV_OPT_STR, &c->output, "FILE",
		    "write to FILE (made whole, then renamed)", 0, 0, NULL}},
	    {GV_OPT_C_OUTPUT | GV_OPT_C_FORCE,
		{"force", 'f', GV_OPT_FLAG, &c->force, NULL,
		    "write binary data to a terminal, too", 0, 0, NULL}},
	    {GV_OPT_C_SEED,
		{"seed", 0, GV_OPT_INT, &c->seed, "N",
		    "seed of all random numbers (0)", 0, 9e15, NULL}},
	    {GV_OPT_C_DEVICE,
		{"device", 0, GV_OPT_STR, &c->device, "DEV",
		    "auto, cpu, cuda or cuda:N (auto)", 0, 0, NULL}},
	    {GV_OPT_C_THREADS,
		{"threads", 0, GV_OPT_INT, &c->threads, "N",
		    "worker threads (one a core)", 0, 1024, NULL}},
	    {GV_OPT_C_ERRORS,
		{"max-errors", 0, GV_OPT_INT, &c->max_errors, "N",
		    "let N bad records pass, each named on stderr (0)", 0, 9e15,
		    NULL}},
	    {GV_OPT_C_JSON, {"json", 0, GV_OPT_FLAG, &c->json, NULL,
				"report as JSON", 0, 0, NULL}},
	    {~0u, {"quiet", 'q', GV_OPT_FLAG, &c->quiet, NULL,
		      "no progress line", 0, 0, NULL}},
	    {~0u, {"verbose", 'v', GV_OPT_COUNT, &c->verbose, NULL,
		      "say more on stderr; twice for still more", 0, 0, NULL}},
	    {~0u, {"help", 'h', GV_OPT_FLAG, &c->help, NULL,
		      "print this and exit", 0, 0, NULL}},
	    {~0u, {"version", 0, GV_OPT_FLAG, &c->version, NULL,
		      "print the version and exit", 0, 0, NULL}},
	};
	size_t i, j, n = 0;

	for (i = 0; i < sizeof all / sizeof *all; i++) {
		bool taken = all[i].need != ~0u && !(p->common & all[i].need);

		/* a program's own row replaces the common one's letter */
		for (j = 0; !taken && p->opts && p->opts[j].name; j++)
			taken = !strcmp(p->opts[j].name, all[i].o.name);
		if (taken)
			continue;
		t[n] = all[i].o;
		for (j = 0; p->opts && p->opts[j].name; j++)
			if (t[n].letter && p->opts[j].letter == t[n].letter)
				t[n].letter = 0;
		n++;
	}
	memset(&t[n], 0, sizeof t[n]);
	return n;
}

int
gv_opt_i64(const char *s, int64_t *out)
{
	static const char unit[] = "kMGT";
	char *end;
	double v, mul = 1;

	if (!isdigit((unsigned char)*s) && *s != '-' && *s != '+' && *s != '.')
		return GV_ERR_USAGE;
	errno = 0;
	if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X'))
		return GV_ERR_USAGE;
	v = (double)strtoll(s, &end, 10);
	if (errno == ERANGE)
		return GV_ERR_USAGE;
	if (*end == '.' || *end == 'e')
		v = strtod(s, &end);
	if (*end) {
		const char *u = strchr(unit, *end == 'K' ? 'k' : *end);
		double base = end[1] == 'i' ? 1024 : 1000;

		if (!u || !*u || end[1 + (end[1] == 'i')])
			return GV_ERR_USAGE;
		mul = pow(base, (double)(u - unit) + 1);
	}
	v *= mul;
	/* below 2^53, so that no digit was lost on the way */
	if (!(fabs(v) < 9007199254740992.0) || v != floor(v))
		return GV_ERR_USAGE;
	*out = (int64_t)v;
	return 0;
}

int
gv_opt_f64(const char *s, double *out)
{
	char *end;
	double v;

	if (!isdigit((unsigned char)*s) && *s != '-' && *s != '+' && *s != '.')
		return GV_ERR_USAGE;
	v = strtod(s, &end);
	if (*end || end == s || !isfinite(v))
		return GV_ERR_USAGE;
	*out = v;
	return 0;
}

static const struct gv_opt *
find(const struct gv_opt *own, const struct gv_opt *common, const char *name,
    size_t len, char letter)
{
	const struct gv_opt *t[2] = {own, common};
	int i;

	for (i = 0; i < 2; i++) {
		const struct gv_opt *o = t[i];

		for (; o && o->name; o++)
			if (name ? strlen(o->name) == len &&
				       !memcmp(o->name, name, len)
				 : o->letter == letter)
				return o;
	}
	return NULL;
}

static int
word_index(const char *words, const char *s)
{
	size_t n = strlen(s);
	int i = 0;

	for (;; words++, i++) {
		size_t len = strcspn(words, "|");

		if (len == n && !memcmp(words, s, n))
			return i;
		words += len;
		if (!*words)
			return -1;
	}
}

static int
in_range(const struct gv_opt *o, double v, const char *s, struct gv_error *e)
{
	char q[64];

	if ((o->min == 0 && o->max == 0) || (v >= o->min && v <= o->max))
		return 0;
	return gv_fail(e, GV_ERR_USAGE,
	    "--%s '%s' is not between %.15g and %.15g", o->name,
	    gv_quote(q, sizeof q, s, strlen(s)), o->min, o->max);
}

static int
push(struct gv_opt_list *l, const char *s, struct gv_error *e)
{
	void *p = l->v;

	if (gv_grow(&p, &l->cap, l->n + 1, sizeof *l->v))
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	l->v = p;
	l->v[l->n++] = s;
	return 0;
}

static int
store(const struct gv_opt *o, const char *s, struct gv_error *e)
{
	char q[96];
	int64_t i;
	double v;
	int w;

	gv_quote(q, sizeof q, s, strlen(s));
	switch (o->type) {
	case GV_OPT_INT:
		if (gv_opt_i64(s, &i))
			return gv_fail(e, GV_ERR_USAGE,
			    "--%s '%s' is not a whole number", o->name, q);
		if (in_range(o, (double)i, s, e))
			return e->code;
		*(int64_t *)o->to = i;
		return 0;
	case GV_OPT_F64:
		if (gv_opt_f64(s, &v))
			return gv_fail(e, GV_ERR_USAGE,
			    "--%s '%s' is not a number", o->name, q);
		if (in_range(o, v, s, e))
			return e->code;
		*(double *)o->to = v;
		return 0;
	case GV_OPT_WORD:
		w = word_index(o->words, s);
		if (w < 0)
			return gv_fail(e, GV_ERR_USAGE,
			    "--%s '%s' is none of %s", o->name, q, o->words);
		*(int *)o->to = w;
		return 0;
	case GV_OPT_LIST:
	case GV_OPT_STR:
		if (!*s)
			return gv_fail(e, GV_ERR_USAGE,
			    "--%s has an empty value", o->name);
		if (o->type == GV_OPT_LIST)
			return push(o->to, s, e);
		*(const char **)o->to = s;
		return 0;
	case GV_OPT_FLAG:
	case GV_OPT_COUNT:
		break;
	}
	return gv_fail(e, GV_ERR_USAGE, "--%s takes no value", o->name);
}

static bool
takes_value(const struct gv_opt *o)
{
	return o->type != GV_OPT_FLAG && o->type != GV_OPT_COUNT;
}

static void
set_flag(const struct gv_opt *o)
{
	if (o->type == GV_OPT_FLAG)
		*(bool *)o->to = true;
	else
		++*(int *)o->to;
}

struct cursor {
	int i, argc;
	char **argv;
};

static int
value(const struct gv_opt *o, struct cursor *at, const char *glued,
    struct gv_error *e)
{
	if (glued)
		return store(o, glued, e);
	if (at->i + 1 >= at->argc)
		return gv_fail(e, GV_ERR_USAGE, "--%s needs a value", o->name);
	return store(o, at->argv[++at->i], e);
}

static int
long_option(const struct gv_opt *own, const struct gv_opt *com,
    struct cursor *at, struct gv_error *e)
{
	const char *s = at->argv[at->i] + 2, *eq = strchr(s, '=');
	size_t len = eq ? (size_t)(eq - s) : strlen(s);
	const struct gv_opt *o = find(own, com, s, len, 0);
	char q[96];

	if (!o)
		return gv_fail(e, GV_ERR_USAGE,
		    "unknown option '--%s' (see --help)",
		    gv_quote(q, sizeof q, s, len));
	if (takes_value(o))
		return value(o, at, eq ? eq + 1 : NULL, e);
	if (eq)
		return gv_fail(e, GV_ERR_USAGE, "--%s takes no value", o->name);
	set_flag(o);
	return 0;
}

static int
letters(const struct gv_opt *own, const struct gv_opt *com, struct cursor *at,
    struct gv_error *e)
{
	const char *s = at->argv[at->i] + 1;

	for (; *s; s++) {
		const struct gv_opt *o = find(own, com, NULL, 0, *s);
		char q[16];

		if (!o)
			return gv_fail(e, GV_ERR_USAGE,
			    "unknown option '-%s' (see --help)",
			    gv_quote(q, sizeof q, s, 1));
		if (takes_value(o))
			return value(o, at, s[1] ? s + 1 : NULL, e);
		set_flag(o);
	}
	return 0;
}

int
gv_opt_parse(const struct gv_opt_prog *p, struct gv_opt_common *c, int argc,
    char **argv, int *nargs, struct gv_error *e)
{
	struct gv_opt common[NCOMMON];
	struct cursor at = {1, argc, argv};
	const char *env = getenv("GV_DEVICE");
	int n = 0, r = 0;

	memset(c, 0, sizeof *c);
	c->device = env && *env ? env : "auto";
	common_table(p, c, common);
	for (; at.i < argc; at.i++) {
		char *s = argv[at.i];

		if (!strcmp(s, "--")) {
			while (++at.i < argc)
				argv[++n] = argv[at.i];
			break;
		}
		if (s[0] != '-' || !s[1])
			argv[++n] = s;
		else if (s[1] == '-')
			r = long_option(p->opts, common, &at, e);
		else
			r = letters(p->opts, common, &at, e);
		if (r || c->help || c->version)
			break;
	}
	*nargs = n;
	return r;
}

static void
help_row(const struct gv_opt *o, FILE *f)
{
	char left[64];
	int n = 0;

	if (o->letter)
		n = snprintf(left, sizeof left, "-%c, ", o->letter);
	snprintf(left + n, sizeof left - (size_t)n, "--%s%s%s", o->name,
	    takes_value(o) ? " " : "",
	    !takes_value(o)          ? ""
	    : o->type == GV_OPT_WORD ? o->words
				     : o->arg);
	if (strlen(left) > 24)
		fprintf(f, "  %s\n  %-24s %s\n", left, "", o->help);
	else
		fprintf(f, "  %-24s %s\n", left, o->help);
}

void
gv_opt_help(const struct gv_opt_prog *p, FILE *f)
{
	struct gv_opt common[NCOMMON];
	struct gv_opt_common c;
	const struct gv_opt *o;

	memset(&c, 0, sizeof c);
	common_table(p, &c, common);
	fprintf(f, "usage: %s %s\n%s\n\n", p->name, p->synopsis, p->summary);
	for (o = p->opts; o && o->name; o++)
		help_row(o, f);
	for (o = common; o->name; o++)
		help_row(o, f);
}
