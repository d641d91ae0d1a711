/* Sums over judged texts, and what they say. */
#include "reward_tally.h"

#include "mem.h"
#include "reward_priv.h"
#include "banned.h"

#include <math.h>

static const double Z = 1.959963984540054; /* 97.5 % of the normal law */

void
gv_wilson(double p, double n, double *low, double *high)
{
	const double zz = Z * Z;
	double mid, half;

	*low = 0;
	*high = 1;
	if (!(n > 0))
		return;
	mid = (p + zz / (2 * n)) / (1 + zz / n);
	half = Z / (1 + zz / n) *
	       sqrt(fmax(p * (1 - p), 0) / n + zz / (4 * n * n));
	*low = fmax(mid - half, 0);
	*high = fmin(mid + half, 1);
}

double
gv_pass_at(uint64_t n, uint64_t c, uint64_t k)
{
	double none = 1;
	uint64_t i;

	if (n - c < k)
		return 1;
	for (i = n - c + 1; i <= n; i++)
		none *= 1 - (double)k / (double)i;
	return 1 - none;
}

/* ---- rows and groups ----------------------------------------------------- */

/* Sums over the groups g of a row: of n_g and s_g, and of their products. */
struct sums {
	double groups, n, s, nn, ns, ss;
	double pass[GV_TALLY_KS];
	double singles, singles_pass; /* texts without a group, in the above */
	bool inside; /* all rewards are between 0 and 1 */
};

struct row {
	const char *task, *field, *type; /* field NULL: all of the task */
	struct sums sums;
	size_t nparts; /* 0 where the task is no sum */
	double part[GV_REWARD_PARTS];
	const struct gv_reward *reward;
};

struct group {
	size_t row;
	uint64_t n, pass;
	double sum;
};

struct gv_tally {
	double pass; /* from which reward on a text passes */
	uint64_t k[GV_TALLY_KS];
	size_t nk;
	struct gv_bytes name; /* scratch */
	struct gv_index rows, groups;
	struct row *row;
	size_t row_cap;
	struct group *group;
	size_t group_cap;
};

int
gv_tally_open(
    struct gv_tally **out, const struct gv_tally_opts *o, struct gv_error *e)
{
	struct gv_tally *t;
	size_t i;

	if (o->nk > GV_TALLY_KS)
		return gv_fail(
		    e, GV_ERR_LIMIT, "more than %d values of k", GV_TALLY_KS);
	t = gv_alloc(1, sizeof *t);
	if (!t)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	t->pass = o->pass;
	t->nk = o->nk;
	for (i = 0; i < o->nk; i++)
		t->k[i] = (uint64_t)o->k[i];
	*out = t;
	return 0;
}

void
gv_tally_close(struct gv_tally **out)
{
	struct gv_tally *t = *out;

	if (!t)
		return;
	*out = NULL;
	gv_free(t->name.s);
	gv_index_free(&t->rows);
	gv_index_free(&t->groups);
	gv_free(t->row);
	gv_free(t->group);
	gv_free(t);
}

/* The name of a row: its parts with a NUL behind each. */
static int
name_row(struct gv_tally *t, const char *task, const char *field,
    const char *type, struct gv_error *e)
{
	t->name.n = 0;
	if (gv_bytes_add(&t->name, task, strlen(task) + 1, e) ||
	    (field && gv_bytes_add(&t->name, field, strlen(field) + 1, e)) ||
	    (field && gv_bytes_add(&t->name, type, strlen(type) + 1, e)))
		return e->code;
	return 0;
}

static int
find_row(struct gv_tally *t, const struct gv_counted *c, const char *field,
    const char *type, size_t *row, struct gv_error *e)
{
	void *p = t->row;
	struct row *r;

	if (name_row(t, gv_reward_name(c->reward), field, type, e))
		return e->code;
	*row = gv_index_find(&t->rows, gv_span_of(&t->name));
	if (*row != SIZE_MAX)
		return 0;
	if (t->rows.n == GV_TALLY_ROWS)
		return gv_fail(e, GV_ERR_LIMIT,
		    "more than %d different tasks and types", GV_TALLY_ROWS);
	if (gv_grow(&p, &t->row_cap, t->rows.n + 1, sizeof *t->row))
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	t->row = p;
	if (gv_index_add(&t->rows, gv_span_of(&t->name), row, e))
		return e->code;
	r = &t->row[*row];
	memset(r, 0, sizeof *r);
	r->sums.inside = true;
	r->reward = c->reward;
	if (gv_reward_parts(c->reward) > 1)
		r->nparts = gv_reward_parts(c->reward);
	return 0;
}

static int
add_to_group(struct gv_tally *t, size_t row, const char *group, double reward,
    struct gv_error *e)
{
	void *p = t->group;
	size_t n = t->groups.n, at;
	struct group *g;

	t->name.n = 0;
	if (gv_bytes_add(&t->name, (const char *)&row, sizeof row, e) ||
	    gv_bytes_add(&t->name, group, strlen(group), e))
		return e->code;
	if (gv_grow(&p, &t->group_cap, n + 1, sizeof *t->group))
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	t->group = p;
	if (gv_index_add(&t->groups, gv_span_of(&t->name), &at, e))
		return e->code;
	g = &t->group[at];
	if (at == n)
		*g = (struct group){.row = row};
	g->n++;
	g->sum += reward;
	g->pass += reward >= t->pass;
	return 0;
}

static int
add_to_row(struct gv_tally *t, size_t row, const struct gv_counted *c,
    struct gv_error *e)
{
	struct row *r = &t->row[row];
	struct sums *s = &r->sums;
	double x = c->verdict->reward;
	size_t i;

	s->inside &= x >= 0 && x <= 1;
	s->n++;
	s->s += x;
	for (i = 0; i < r->nparts; i++)
		r->part[i] += c->verdict->part[i];
	if (c->group)
		return add_to_group(t, row, c->group, x, e);
	s->groups++;
	s->singles++;
	s->singles_pass += x >= t->pass;
	s->nn++;
	s->ns += x;
	s->ss += x * x;
	return 0;
}

int
gv_tally_add(struct gv_tally *t, const struct gv_counted *c, struct gv_error *e)
{
	size_t row, i;

	if (find_row(t, c, NULL, NULL, &row, e) || add_to_row(t, row, c, e))
		return e->code;
	for (i = 0; i < c->nby; i++)
		if (find_row(t, c, c->by[i].field, c->by[i].value, &row, e) ||
		    add_to_row(t, row, c, e))
			return e->code;
	return 0;
}

/* ---- what it comes to ---------------------------------------------------- */

/* Checks k against the groups, or chooses it. */
static int
choose_k(struct gv_tally *t, struct gv_error *e)
{
	uint64_t least = UINT64_MAX, most = 1, k;
	size_t i;

	for (i = 0; i < t->rows.n; i++)
		if (t->row[i].sums.singles)
			least = 1;
	for (i = 0; i < t->groups.n; i++) {
		least = t->group[i].n < least ? t->group[i].n : least;
		most = t->group[i].n > most ? t->group[i].n : most;
	}
	if (t->nk && t->k[t->nk - 1] > least)
		return gv_fail(e, GV_ERR_MATCH,
		    "pass@%llu of a group of %llu texts",
		    (unsigned long long)t->k[t->nk - 1],
		    (unsigned long long)least);
	if (t->nk || most == 1)
		return 0;
	for (k = 1; k < least && t->nk < GV_TALLY_KS - 1; k *= 2)
		t->k[t->nk++] = k;
	t->k[t->nk++] = least;
	return 0;
}

/* Adds the groups to the sums of their rows. */
static void
fold(struct gv_tally *t)
{
	size_t i, j;

	for (i = 0; i < t->groups.n; i++) {
		const struct group *g = &t->group[i];
		struct sums *s = &t->row[g->row].sums;
		double n = (double)g->n;

		s->groups++;
		s->nn += n * n;
		s->ns += n * g->sum;
		s->ss += g->sum * g->sum;
		for (j = 0; j < t->nk; j++)
			s->pass[j] += gv_pass_at(g->n, g->pass, t->k[j]);
	}
	for (i = 0; i < t->rows.n; i++)
		if (t->nk && t->k[0] == 1)
			t->row[i].sums.pass[0] += t->row[i].sums.singles_pass;
}

static void
add_sums(struct sums *to, const struct sums *s, size_t nk)
{
	size_t i;

	to->groups += s->groups;
	to->n += s->n;
	to->s += s->s;
	to->nn += s->nn;
	to->ns += s->ns;
	to->ss += s->ss;
	to->inside &= s->inside;
	for (i = 0; i < nk; i++)
		to->pass[i] += s->pass[i];
}

/* The interval of a row; its kind, or NULL. */
static const char *
interval(const struct sums *s, double *low, double *high)
{
	double m = s->s / s->n, spread, n, half;

	if (!(s->n > 0)) {
		gv_wilson(0, 0, low, high);
		return "wilson";
	}
	spread = fmax(s->ss - 2 * m * s->ns + m * m * s->nn, 0);
	if (s->inside) {
		n = s->groups;
		if (m > 0 && m < 1)
			n = fmin(m * (1 - m) * s->n * s->n / spread, s->n);
		gv_wilson(m, n, low, high);
		return "wilson";
	}
	if (s->groups < 2)
		return NULL;
	half = Z * sqrt(s->groups / (s->groups - 1) * spread) / s->n;
	*low = m - half;
	*high = m + half;
	return "normal";
}

static json_t *
number(bool there, double x)
{
	return there ? json_real(x) : json_null();
}

static json_t *
sums_json(const struct gv_tally *t, const struct sums *s)
{
	double low = 0, high = 0;
	const char *kind = interval(s, &low, &high);
	json_t *o, *pass;
	char name[24];
	size_t i;
	int bad = 0;

	o = json_pack("{s:I, s:o, s:o, s:o, s:s?}", "n", (json_int_t)s->n,
	    "accuracy", number(s->n > 0, s->s / s->n), "low",
	    number(kind != NULL, low), "high", number(kind != NULL, high),
	    "interval", kind);
	if (!o || !t->nk || !(s->groups > 0))
		return o;
	pass = json_object();
	for (i = 0; i < t->nk; i++) {
		snprintf(
		    name, sizeof name, "%llu", (unsigned long long)t->k[i]);
		bad |= json_object_set_new(
		    pass, name, json_real(s->pass[i] / s->groups));
	}
	bad |= json_object_set_new(
	    o, "groups", json_integer((json_int_t)s->groups));
	bad |= json_object_set_new(o, "pass", pass);
	if (!bad)
		return o;
	json_decref(o);
	return NULL;
}

/* A row's object, with the means of its parts. */
static json_t *
row_json(const struct gv_tally *t, const struct row *r)
{
	json_t *o = sums_json(t, &r->sums), *parts;
	size_t i;
	int bad = !o;

	if (r->field) {
		bad |= json_object_set_new(o, "field", json_string(r->field));
		bad |= json_object_set_new(o, "type", json_string(r->type));
	} else {
		bad |= json_object_set_new(o, "task", json_string(r->task));
	}
	if (r->nparts) {
		parts = json_object();
		for (i = 0; i < r->nparts; i++)
			bad |= json_object_set_new(parts,
			    gv_reward_part(r->reward, i, NULL),
			    json_real(r->part[i] / r->sums.n));
		bad |= json_object_set_new(o, "parts", parts);
	}
	if (!bad)
		return o;
	json_decref(o);
	return NULL;
}

static int
compare_rows(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	int c = strcmp(x->task, y->task);

	if (!c)
		c = strcmp(x->field ? x->field : "", y->field ? y->field : "");
	return c ? c : strcmp(x->type ? x->type : "", y->type ? y->type : "");
}

/* Puts the rows in order, each task's own before its types. */
static void
sort_rows(struct gv_tally *t)
{
	size_t i;

	for (i = 0; i < t->rows.n; i++) {
		struct gv_span s = gv_index_name(&t->rows, i);
		struct row *r = &t->row[i];

		r->task = s.s;
		if (strlen(r->task) + 1 < s.n) {
			r->field = s.s + strlen(r->task) + 1;
			r->type = r->field + strlen(r->field) + 1;
		}
	}
	if (t->rows.n)
		qsort(t->row, t->rows.n, sizeof *t->row, compare_rows);
}

int
gv_tally_json(struct gv_tally *t, json_t **out, struct gv_error *e)
{
	struct sums all = {.inside = true};
	json_t *tasks = json_array(), *task = NULL, *o = NULL;
	size_t i;
	int bad = 0;

	if (choose_k(t, e)) {
		json_decref(tasks);
		return e->code;
	}
	fold(t);
	sort_rows(t);
	for (i = 0; i < t->rows.n && !bad; i++) {
		const struct row *r = &t->row[i];
		json_t *row = row_json(t, r), *types;

		if (!r->field) {
			add_sums(&all, &r->sums, t->nk);
			task = row;
			bad |= json_array_append_new(tasks, row);
			continue;
		}
		types = json_object_get(task, "types");
		if (!types) {
			types = json_array();
			bad |= json_object_set_new(task, "types", types);
		}
		bad |= json_array_append_new(types, row);
	}
	if (!bad)
		o = sums_json(t, &all);
	if (bad || json_object_set(o, "tasks", tasks)) {
		json_decref(o);
		json_decref(tasks);
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	}
	json_decref(tasks);
	*out = o;
	return 0;
}
