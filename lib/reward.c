/* Rewards by name, and their sums with confidence intervals. */
#include "reward.h"

#include "mem.h"
#include "banned.h"

#include <math.h>

struct task {
	const char *name;
	int (*judge)(struct gv_reward *, const struct gv_judged *,
	    struct gv_verdict *, struct gv_error *);
};

struct gv_reward {
	const struct task *task;
	char *text, *answer; /* room for normalised texts */
	size_t text_cap, answer_cap;
};

/* ---- exact --------------------------------------------------------------- */

static bool
is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

size_t
gv_reward_normalise(char *dst, const char *s, size_t n)
{
	size_t i, from = 0;

	while (n && is_space(s[n - 1]))
		n--;
	while (from < n && is_space(s[from]))
		from++;
	if (n > from && s[n - 1] == '.')
		n--;
	while (n > from && is_space(s[n - 1]))
		n--;
	for (i = from; i < n; i++)
		dst[i - from] = s[i] >= 'A' && s[i] <= 'Z'
				    ? (char)(s[i] - 'A' + 'a')
				    : s[i];
	return n - from;
}

static int
normalise(char **buf, size_t *cap, const struct gv_span *s, size_t *n,
    struct gv_error *e)
{
	void *p = *buf;

	if (gv_grow(&p, cap, s->n + 1, 1))
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	*buf = p;
	*n = gv_reward_normalise(*buf, s->s, s->n);
	return 0;
}

static int
judge_exact(struct gv_reward *r, const struct gv_judged *in,
    struct gv_verdict *out, struct gv_error *e)
{
	size_t i, n, m;

	if (normalise(&r->text, &r->text_cap, &in->text, &n, e))
		return e->code;
	for (i = 0; n && i < in->nanswers && out->reward < 1; i++) {
		if (normalise(
			&r->answer, &r->answer_cap, &in->answers[i], &m, e))
			return e->code;
		out->reward = n == m && !memcmp(r->text, r->answer, n);
	}
	return 0;
}

/* ---- the table ----------------------------------------------------------- */

/* vqa, textvqa, mmmu, gsm8k, cider, format, length and exec take their places
 * here, and in gv_reward_names(). */
static const struct task tasks[] = {
    {"exact", judge_exact},
};

const char *
gv_reward_names(void)
{
	return "exact";
}

int
gv_reward_open(struct gv_reward **out, const char *name, struct gv_error *e)
{
	struct gv_reward *r;
	char q[64];
	size_t i;

	for (i = 0; i < sizeof tasks / sizeof *tasks; i++) {
		if (strcmp(tasks[i].name, name))
			continue;
		r = gv_alloc(1, sizeof *r);
		if (!r)
			return gv_fail(e, GV_ERR_NOMEM, "out of memory");
		r->task = &tasks[i];
		*out = r;
		return 0;
	}
	return gv_fail(e, GV_ERR_NOSUP, "no task is called '%s' (there is %s)",
	    gv_quote(q, sizeof q, name, strlen(name)), gv_reward_names());
}

const char *
gv_reward_name(const struct gv_reward *r)
{
	return r->task->name;
}

void
gv_reward_close(struct gv_reward **out)
{
	struct gv_reward *r = *out;

	if (!r)
		return;
	*out = NULL;
	gv_free(r->text);
	gv_free(r->answer);
	gv_free(r);
}

int
gv_reward_judge(struct gv_reward *r, const struct gv_judged *in,
    struct gv_verdict *out, struct gv_error *e)
{
	struct gv_verdict v;

	if (!in->nanswers)
		return gv_fail(e, GV_ERR_FORMAT, "no answers to compare with");
	memset(&v, 0, sizeof v);
	if (r->task->judge(r, in, &v, e))
		return e->code;
	if (!v.nparts) {
		v.nparts = 1;
		v.part[0].name = r->task->name;
		v.part[0].value = v.reward;
	}
	*out = v;
	return 0;
}

/* ---- all of them --------------------------------------------------------- */

void
gv_wilson(double sum, uint64_t n, double *low, double *high)
{
	const double z = 1.959963984540054, zz = z * z;
	double N = (double)n, p, mid, half;

	*low = 0;
	*high = 1;
	if (!n)
		return;
	p = sum / N;
	mid = (p + zz / (2 * N)) / (1 + zz / N);
	half = z / (1 + zz / N) *
	       sqrt(fmax(p * (1 - p), 0) / N + zz / (4 * N * N));
	*low = fmax(mid - half, 0);
	*high = fmin(mid + half, 1);
}

static int
compare(const struct gv_tally_row *r, const char *task, const char *type)
{
	int c = strcmp(r->task, task);

	return c ? c : strcmp(r->type, type);
}

/* The rows are kept in order; returns where the row is or belongs. */
static size_t
place(const struct gv_tally *t, const char *task, const char *type)
{
	size_t lo = 0, hi = t->nrows;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (compare(&t->row[mid], task, type) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static int
insert(struct gv_tally *t, size_t at, const char *task, const char *type,
    struct gv_error *e)
{
	struct gv_tally_row row = {NULL, NULL, 0, 0};
	void *p = t->row;

	if (t->nrows == GV_TALLY_ROWS)
		return gv_fail(e, GV_ERR_LIMIT,
		    "more than %d different tasks and types", GV_TALLY_ROWS);
	row.task = gv_strdup(task);
	row.type = gv_strdup(type);
	if (!row.task || !row.type ||
	    gv_grow(&p, &t->cap, t->nrows + 1, sizeof row)) {
		gv_free(row.task);
		gv_free(row.type);
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	}
	t->row = p;
	memmove(&t->row[at + 1], &t->row[at], (t->nrows - at) * sizeof row);
	t->row[at] = row;
	t->nrows++;
	return 0;
}

int
gv_tally_add(struct gv_tally *t, const char *task, const char *type,
    double reward, struct gv_error *e)
{
	size_t at;

	if (!type)
		type = "";
	at = place(t, task, type);
	if ((at == t->nrows || compare(&t->row[at], task, type)) &&
	    insert(t, at, task, type, e))
		return e->code;
	t->row[at].n++;
	t->row[at].sum += reward;
	return 0;
}

void
gv_tally_free(struct gv_tally *t)
{
	size_t i;

	for (i = 0; i < t->nrows; i++) {
		gv_free(t->row[i].task);
		gv_free(t->row[i].type);
	}
	gv_free(t->row);
	memset(t, 0, sizeof *t);
}

/* Sums rows first .. last-1 into a new object that has key: name. */
static json_t *
line(const struct gv_tally *t, size_t first, size_t last, const char *key,
    const char *name)
{
	json_t *o, *mean;
	double sum = 0, low, high;
	uint64_t n = 0;
	size_t i;

	for (i = first; i < last; i++) {
		n += t->row[i].n;
		sum += t->row[i].sum;
	}
	gv_wilson(sum, n, &low, &high);
	mean = n ? json_real(sum / (double)n) : json_null();
	o = json_pack("{s:I, s:o, s:f, s:f}", "n", (json_int_t)n, "accuracy",
	    mean, "low", low, "high", high);
	if (o && key && json_object_set_new(o, key, json_string(name))) {
		json_decref(o);
		return NULL;
	}
	return o;
}

static json_t *
task_json(const struct gv_tally *t, size_t first, size_t last)
{
	json_t *o = line(t, first, last, "task", t->row[first].task);
	json_t *types;
	size_t i;
	int bad = 0;

	if (!o || (last - first == 1 && !*t->row[first].type))
		return o;
	types = json_array();
	for (i = first; i < last; i++)
		bad |= json_array_append_new(
		    types, line(t, i, i + 1, "type", t->row[i].type));
	bad |= json_object_set_new(o, "types", types);
	if (!bad)
		return o;
	json_decref(o);
	return NULL;
}

json_t *
gv_tally_json(const struct gv_tally *t)
{
	json_t *o = line(t, 0, t->nrows, NULL, NULL), *list = json_array();
	size_t i, last;
	int bad = 0;

	for (i = 0; i < t->nrows; i = last) {
		for (last = i + 1; last < t->nrows &&
				   !strcmp(t->row[i].task, t->row[last].task);
		     last++)
			;
		bad |= json_array_append_new(list, task_json(t, i, last));
	}
	bad |= json_object_set_new(o, "tasks", list);
	if (!bad)
		return o;
	json_decref(o);
	return NULL;
}
