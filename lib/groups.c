/* Records of samples with rewards, put together to groups. */
#include "groups.h"

#include "mem.h"
#include "banned.h"

#include <math.h>

#define MOST        ((int64_t)1 << 53)
#define MOST_TOKENS (1 << 30) /* of a group */

struct gv_groups {
	struct gv_reader *r;
	struct gv_examples *examples;
	int32_t max_length;
	size_t logp, reward, group, sample, policy;
	int size, rewards, ref; /* -1 if absent */
	struct gv_example one; /* the record that was read last ... */
	struct gv_rec rec; /* ... which is in no group yet if `ahead` */
	bool ahead;
	uint64_t records;
};

void
gv_group_free(struct gv_group *g)
{
	gv_example_free(&g->ex);
	gv_free(g->reward);
	gv_free(g->drawn);
	json_decref(g->parts);
	memset(g, 0, sizeof *g);
}

/* A field that `who` writes, and that samples need to be `what`. */
static int
need(const struct gv_groups *x, const char *name, const char *spec, size_t *at,
    const char *what, const char *who, struct gv_error *e)
{
	if (gv_reader_has(x->r, name) < 0)
		return gv_fail(e, GV_ERR_MATCH,
		    "'%s' is not of samples %s: it has no field '%s', which %s "
		    "writes",
		    gv_reader_name(x->r), what, name, who);
	return gv_reader_need(x->r, name, spec, at, e);
}

static int
find_fields(struct gv_groups *x, size_t *mask, struct gv_error *e)
{
	static const char drawn[] = "that were drawn", by[] = "gv-rollout";

	if (need(x, "loss_mask", "U8 (T)", mask, drawn, by, e) ||
	    need(x, "logp", "F32 (T)", &x->logp, drawn, by, e) ||
	    need(x, "group", "plain", &x->group, drawn, by, e) ||
	    need(x, "sample", "plain", &x->sample, drawn, by, e) ||
	    need(x, "policy", "plain", &x->policy, drawn, by, e))
		return e->code;
	return need(
	    x, "reward", "F32 ()", &x->reward, "with rewards", "gv-reward", e);
}

int
gv_groups_open(struct gv_groups **out, struct gv_reader *r,
    const struct gv_config *c, int32_t max_length, enum gv_dtype rows, bool ref,
    struct gv_error *e)
{
	struct gv_groups *x = gv_alloc(1, sizeof *x);
	size_t at;

	if (!x)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	x->r = r;
	x->max_length = max_length;
	*out = x;
	/* which would be cut are refused here */
	if (find_fields(x, &at, e) ||
	    (ref && need(x, "logp_ref", "F32 (T)", &at, "with a reference",
			"gv-rollout --score --score-as logp_ref", e)) ||
	    gv_examples_open(&x->examples, r, c, INT32_MAX, rows, e)) {
		gv_groups_close(out);
		return e->code;
	}
	x->size = gv_reader_has(r, "group_size");
	x->rewards = gv_reader_has(r, "rewards");
	x->ref = ref ? (int)at : -1;
	return 0;
}

void
gv_groups_close(struct gv_groups **out)
{
	struct gv_groups *x = *out;

	if (!x)
		return;
	*out = NULL;
	gv_examples_close(&x->examples);
	gv_example_free(&x->one);
	gv_free(x);
}

uint64_t
gv_groups_records(const struct gv_groups *x)
{
	return x->records - x->ahead;
}

/* ---- a record ------------------------------------------------------------ */

static int
wrong(const struct gv_groups *x, struct gv_error *e, const char *what)
{
	return gv_fail(e, GV_ERR_FORMAT, "record %llu: %s",
	    (unsigned long long)x->rec.n, what);
}

/* Reads the next record into x->one: 1, 0 at the end, or an error. */
static int
next_record(struct gv_groups *x, struct gv_error *e)
{
	int r;

	if (x->ahead)
		return 1;
	r = gv_reader_next(x->r, &x->rec, e);
	if (r <= 0)
		return r;
	x->records++;
	if (gv_examples_take(x->examples, &x->one, &x->rec, e))
		return e->code;
	if (x->one.D != 1)
		return wrong(x, e, "not one sequence, but several");
	if (x->one.T > x->max_length)
		return gv_fail(e, GV_ERR_LIMIT,
		    "record %llu: %d tokens, more than the %d that a sequence "
		    "may have (--max-length)",
		    (unsigned long long)x->rec.n, x->one.T, x->max_length);
	x->ahead = true;
	return 1;
}

/* A whole number of the record, within which there is room to count. */
static int
number(const struct gv_groups *x, size_t at, int64_t *v, struct gv_error *e)
{
	if (!gv_value_int(&x->rec.v[at], v) && *v >= -MOST && *v <= MOST)
		return 0;
	return gv_fail(e, GV_ERR_FORMAT,
	    "record %llu: field '%s' is not a whole number up to 2^53",
	    (unsigned long long)x->rec.n,
	    gv_reader_schema(x->r)->fields[at].name);
}

/* Adds the numbers of `rewards` to the group's sums. */
static int
add_parts(const struct gv_groups *x, struct gv_group *g, struct gv_error *e)
{
	const char *key;
	json_t *o = NULL, *v;

	if (x->rewards < 0)
		return 0;
	if (gv_value_json(&x->rec.v[x->rewards], &o) || !json_is_object(o)) {
		json_decref(o);
		return wrong(x, e, "field 'rewards' is not a map");
	}
	json_object_foreach(o, key, v)
	{
		double sum = json_number_value(json_object_get(g->parts, key));

		json_object_set_new(
		    g->parts, key, json_real(sum + json_number_value(v)));
	}
	json_decref(o);
	return 0;
}

/* ---- a group ------------------------------------------------------------- */

/* Room for T tokens: ids and targets in one block, three numbers a token in
 * another. */
static int
room_for_tokens(struct gv_group *g, int32_t T, struct gv_error *e)
{
	size_t was = (size_t)g->ex.T, n = (size_t)T;
	int32_t *token = gv_alloc(2 * n + 1, sizeof *token);
	float *f = gv_alloc(3 * n + 1, sizeof *f);

	if (!token || !f) {
		gv_free(token);
		gv_free(f);
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	}
	if (was) {
		memcpy(token, g->ex.token, was * sizeof *token);
		memcpy(token + n, g->ex.target, was * sizeof *token);
		memcpy(f, g->drawn, was * sizeof *f);
		memcpy(f + n, g->ref, was * sizeof *f);
	}
	gv_free(g->ex.token);
	gv_free(g->drawn);
	g->ex.token = token;
	g->ex.target = token + n;
	g->drawn = f;
	g->ref = f + n;
	g->old = f + 2 * n;
	g->cap_token = n;
	return 0;
}

/* The log-probabilities of the record's trained tokens, each where its target
 * is. */
static int
copy_logp(const struct gv_groups *x, size_t at, float *to, struct gv_error *e)
{
	const struct gv_tensor *t = &x->rec.v[at].t;
	const float *v = t->data;
	int32_t i;

	if (t->rank != 1 || t->shape[0] != x->one.T)
		return wrong(
		    x, e, "its log-probabilities are not one for each token");
	for (i = 0; i + 1 < x->one.T; i++) {
		if (x->one.target[i] < 0)
			continue;
		if (!isfinite(v[i + 1]) || v[i + 1] > 1e-3f)
			return wrong(x, e,
			    "a log-probability is not a finite number up to "
			    "0");
		to[i] = v[i + 1];
	}
	return 0;
}

/* The images are the group's: those of its first sample. */
static int
take_images(const struct gv_groups *x, struct gv_group *g, struct gv_error *e)
{
	const struct gv_example *one = &x->one;
	struct gv_example *ex = &g->ex;
	size_t bytes = (size_t)one->N * one->image_bytes;

	if (ex->D) {
		if (one->N == ex->N && one->input == ex->input &&
		    (!bytes || !memcmp(one->image, ex->image, bytes)))
			return 0;
		return wrong(x, e, "its images are not those of its group");
	}
	ex->N = one->N;
	ex->input = one->input;
	ex->dtype = one->dtype;
	ex->image_bytes = one->image_bytes;
	if (gv_room(&ex->image, &ex->cap[0], bytes + 1, 1, e))
		return e->code;
	if (bytes)
		memcpy(ex->image, one->image, bytes);
	return 0;
}

/* Appends the sequence of x->one. */
static int
append(struct gv_groups *x, struct gv_group *g, struct gv_error *e)
{
	const struct gv_example *one = &x->one;
	struct gv_example *ex = &g->ex;
	int32_t at = ex->T, T, i;
	size_t n = (size_t)one->T;

	if (one->T > MOST_TOKENS - at)
		return wrong(x, e, "its group has too many tokens");
	T = at + one->T;
	if ((size_t)T > g->cap_token && room_for_tokens(g, T + T / 2 + 64, e))
		return e->code;
	if (take_images(x, g, e) ||
	    gv_room(&ex->start, &ex->cap[1], (size_t)ex->D + 2,
		sizeof *ex->start, e) ||
	    gv_room(&ex->image_at, &ex->cap[2],
		(size_t)(ex->runs + one->runs) + 1, sizeof *ex->image_at, e))
		return e->code;
	memcpy(ex->token + at, one->token, n * sizeof *ex->token);
	memcpy(ex->target + at, one->target, n * sizeof *ex->target);
	memset(g->drawn + at, 0, n * sizeof *g->drawn);
	memset(g->ref + at, 0, n * sizeof *g->ref);
	if (copy_logp(x, x->logp, g->drawn + at, e) ||
	    (x->ref >= 0 && copy_logp(x, (size_t)x->ref, g->ref + at, e)))
		return e->code;
	for (i = 0; i < one->runs; i++)
		ex->image_at[ex->runs++] = at + one->image_at[i];
	ex->trained += one->trained;
	ex->start[ex->D++] = at;
	ex->start[ex->D] = ex->T = T;
	return 0;
}

/* The record's numbers into the group, which it may begin.  0: it is of
 * another group; 1: it is in; 2: it is the last. */
static int
join(struct gv_groups *x, struct gv_group *g, int64_t *last, struct gv_error *e)
{
	int64_t group, sample, policy, size = -1;
	float reward;

	if (number(x, x->group, &group, e) ||
	    number(x, x->sample, &sample, e) ||
	    number(x, x->policy, &policy, e) ||
	    (x->size >= 0 && number(x, (size_t)x->size, &size, e)))
		return e->code;
	if (g->ex.D && group != g->number)
		return 0;
	memcpy(&reward, x->rec.v[x->reward].t.data, sizeof reward);
	if (!isfinite(reward))
		return wrong(x, e, "its reward is not a finite number");
	if (g->ex.D && sample <= *last)
		return wrong(x, e, "the samples of its group are out of order");
	if (gv_room(&g->reward, &g->cap_reward, (size_t)g->ex.D + 1,
		sizeof *g->reward, e))
		return e->code;
	if (!g->ex.D)
		snprintf(g->ex.key, sizeof g->ex.key, "%s", x->one.key);
	g->oldest = g->ex.D && g->oldest < policy ? g->oldest : policy;
	g->number = group;
	g->reward[g->ex.D] = (double)reward;
	*last = sample;
	if (append(x, g, e) || add_parts(x, g, e))
		return e->code;
	x->ahead = false;
	return size >= 0 && sample >= size - 1 ? 2 : 1;
}

/* As new, with the memory that it has. */
static int
clear(struct gv_group *g, struct gv_error *e)
{
	struct gv_example *ex = &g->ex;

	ex->T = ex->D = ex->runs = ex->N = ex->trained = 0;
	ex->bytes = NULL;
	json_decref(g->parts);
	g->parts = json_object();
	return g->parts ? 0 : gv_fail(e, GV_ERR_NOMEM, "out of memory");
}

int
gv_groups_next(struct gv_groups *x, struct gv_group *g, struct gv_error *e)
{
	int64_t last = -1;
	int r, in = 1;

	if (clear(g, e))
		return e->code;
	while (in == 1 && (r = next_record(x, e)) > 0)
		in = join(x, g, &last, e);
	if (in < 0 || (in == 1 && r < 0))
		return e->code;
	return g->ex.D > 0;
}

/* ---- slices -------------------------------------------------------------- */

int
gv_slice(struct gv_example *out, const struct gv_example *ex, int32_t d0,
    int32_t d1, struct gv_error *e)
{
	int32_t lo = ex->start[d0], hi = ex->start[d1], i;
	int32_t *start =
	    gv_alloc((size_t)(d1 - d0) + 1 + (size_t)ex->runs, sizeof *start);

	if (!start)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	*out = *ex;
	out->token = ex->token + lo;
	out->target = ex->target + lo;
	out->bytes = ex->bytes ? ex->bytes + lo : NULL;
	out->T = hi - lo;
	out->D = d1 - d0;
	out->start = start;
	out->image_at = start + out->D + 1;
	out->runs = out->trained = 0;
	for (i = d0; i <= d1; i++)
		start[i - d0] = ex->start[i] - lo;
	for (i = 0; i < ex->runs; i++)
		if (ex->image_at[i] >= lo && ex->image_at[i] < hi)
			out->image_at[out->runs++] = ex->image_at[i] - lo;
	for (i = 0; i < out->T; i++)
		out->trained += out->target[i] >= 0;
	return 0;
}

void
gv_slice_free(struct gv_example *out)
{
	gv_free(out->start);
	memset(out, 0, sizeof *out);
}
