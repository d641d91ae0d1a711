/* The groups of a step: read until there are enough, and weighed. */
#include "policy_impl.h"

#include "mem.h"
#include "banned.h"

#define MOST_READ 10 /* times the groups of a step, when equal ones drop */

static bool
equal_rewards(const struct gv_group *g)
{
	int32_t i;

	for (i = 1; i < g->ex.D; i++)
		if (g->reward[i] != g->reward[0])
			return false;
	return true;
}

static int
check_lag(const struct gv_policy *p, const struct gv_group *g, int64_t version,
    struct gv_error *e)
{
	int64_t lag = version - g->oldest;

	if (p->run.max_lag < 0)
		return 0;
	if (lag < 0)
		return gv_fail(e, GV_ERR_MATCH,
		    "group %lld was sampled by policy %lld, newer than the "
		    "trainer's %lld",
		    (long long)g->number, (long long)g->oldest,
		    (long long)version);
	if (lag <= p->run.max_lag)
		return 0;
	return gv_fail(e, GV_ERR_MATCH,
	    "group %lld was sampled by policy %lld, %lld behind the trainer's "
	    "%lld (--max-lag %lld; -1 takes any)",
	    (long long)g->number, (long long)g->oldest, (long long)lag,
	    (long long)version, (long long)p->run.max_lag);
}

static int
note(struct gv_policy *p, const struct gv_group *g, int64_t version,
    struct gv_policy_seen *s, struct gv_error *e)
{
	const char *key;
	json_t *v;
	int32_t i;

	if (check_lag(p, g, version, e))
		return e->code;
	if (g->ex.D < 2)
		return gv_fail(e, GV_ERR_MATCH,
		    "group %lld has only one sample: an advantage is a "
		    "comparison with others of the same prompt",
		    (long long)g->number);
	s->groups++;
	s->samples += g->ex.D;
	s->lag += (double)(version - g->oldest);
	for (i = 0; i < g->ex.D; i++) {
		s->sum += g->reward[i];
		s->squares += g->reward[i] * g->reward[i];
	}
	json_object_foreach(g->parts, key, v)
	{
		double was = json_number_value(json_object_get(p->parts, key));

		json_object_set_new(
		    p->parts, key, json_real(was + json_number_value(v)));
	}
	return 0;
}

static int
room_for_group(struct gv_policy *p, struct gv_error *e)
{
	size_t was = p->cap;

	if (gv_room(&p->group, &p->cap, p->n + 1, sizeof *p->group, e))
		return e->code;
	memset(p->group + was, 0, (p->cap - was) * sizeof *p->group);
	return 0;
}

static int
want(struct gv_policy *p, int64_t more, struct gv_error *e)
{
	p->wanted = p->read + (uint64_t)more;
	return p->run.want ? p->run.want(p->run.arg, p->wanted, e) : 0;
}

int
gv_policy_collect(struct gv_policy *p, int64_t version,
    struct gv_policy_seen *s, struct gv_error *e)
{
	int64_t need = p->run.groups;
	int r = 1;

	memset(s, 0, sizeof *s);
	p->n = 0;
	json_decref(p->parts);
	p->parts = json_object();
	if (!p->parts)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	while ((int64_t)p->n < need) {
		bool more = s->groups < MOST_READ * need;
		struct gv_group *g;

		if (!more && p->read == p->wanted)
			break;
		if ((more && want(p, need - (int64_t)p->n, e)) ||
		    room_for_group(p, e))
			return e->code;
		g = &p->group[p->n];
		r = gv_groups_next(p->in, g, e);
		if (r <= 0)
			break;
		p->read++;
		p->next = g->number + 1;
		if (note(p, g, version, s, e))
			return e->code;
		if (p->run.drop_equal && equal_rewards(g))
			s->dropped++;
		else
			p->n++;
	}
	if (r < 0)
		return r;
	if (r > 0 && !p->n)
		return gv_fail(e, GV_ERR_MATCH,
		    "all of %lld groups have equal rewards: there is nothing "
		    "to learn from",
		    (long long)s->groups);
	return p->n > 0;
}

int
gv_policy_weigh(struct gv_policy *p, struct gv_error *e)
{
	size_t *at = gv_alloc(p->n + 1, sizeof *at), i, total = 0;
	double *reward;
	int r;

	for (i = 0; i < p->n; i++)
		total += (size_t)p->group[i].ex.D;
	gv_free(p->advantage);
	gv_free(p->values);
	p->advantage = gv_alloc(p->n, sizeof *p->advantage);
	p->values = gv_alloc(2 * total, sizeof *p->values);
	if (!at || !p->advantage || !p->values) {
		gv_free(at);
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	}
	reward = p->values + total;
	for (i = 0; i < p->n; i++) {
		size_t D = (size_t)p->group[i].ex.D;

		memcpy(reward + at[i], p->group[i].reward, D * sizeof *reward);
		p->advantage[i] = p->values + at[i];
		at[i + 1] = at[i] + D;
	}
	r = gv_policy_advantages(&p->run.law, reward, at, p->n, p->values, e);
	gv_free(at);
	return r;
}
