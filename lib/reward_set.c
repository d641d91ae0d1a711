/* Rewards as records ask for them. */
#include "reward_set.h"

#include "mem.h"
#include "banned.h"

struct gv_reward_set {
	const struct gv_reward_opts *opts;
	struct gv_reward *all; /* for all records, or NULL */
	struct gv_reward *reward[GV_REWARD_SET];
	size_t n;
	struct gv_reward_record rec;
};

int
gv_reward_set_open(struct gv_reward_set **out, const char *task,
    const struct gv_reward_opts *o, struct gv_error *e)
{
	struct gv_reward_set *s = gv_alloc(1, sizeof *s);

	if (!s)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	s->opts = o;
	if (task && gv_reward_open(&s->all, task, o, true, e)) {
		gv_free(s);
		return e->code;
	}
	*out = s;
	return 0;
}

void
gv_reward_set_close(struct gv_reward_set **out)
{
	struct gv_reward_set *s = *out;
	size_t i;

	if (!s)
		return;
	*out = NULL;
	gv_reward_close(&s->all);
	for (i = 0; i < s->n; i++)
		gv_reward_close(&s->reward[i]);
	gv_reward_record_free(&s->rec);
	gv_free(s);
}

static int
find(struct gv_reward_set *s, const char *name, struct gv_reward **out,
    struct gv_error *e)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		if (!strcmp(gv_reward_name(s->reward[i]), name)) {
			*out = s->reward[i];
			return 0;
		}
	if (s->n == GV_REWARD_SET)
		return gv_fail(e, GV_ERR_LIMIT, "more than %d different tasks",
		    GV_REWARD_SET);
	if (gv_reward_open(&s->reward[s->n], name, s->opts, false, e)) {
		if (e->code == GV_ERR_USAGE) /* it isn't the user's doing */
			e->code = GV_ERR_FORMAT;
		return e->code;
	}
	*out = s->reward[s->n++];
	return 0;
}

static int
named(struct gv_reward_set *s, const struct gv_reward_fields *f,
    const struct gv_rec *rec, struct gv_reward **out, struct gv_error *e)
{
	char name[256];
	const char *text;
	size_t n;

	if (f->task < 0)
		return gv_fail(e, GV_ERR_MATCH, "there is no field 'task'");
	if (gv_value_text(&rec->v[f->task], &text, &n) || n >= sizeof name ||
	    memchr(text, '\0', n))
		return gv_fail(
		    e, GV_ERR_FORMAT, "field 'task' is not a task's name");
	memcpy(name, text, n);
	name[n] = '\0';
	return find(s, name, out, e);
}

int
gv_reward_set_judge(struct gv_reward_set *s, const struct gv_reward_fields *f,
    const struct gv_rec *rec, const struct gv_reward **reward,
    struct gv_verdict *v, struct gv_error *e)
{
	struct gv_reward *r = s->all;

	if ((!r && named(s, f, rec, &r, e)) ||
	    gv_reward_take(&s->rec, f, rec, gv_reward_needs(r), e) ||
	    gv_reward_judge(r, &s->rec.in, v, e))
		return e->code;
	*reward = r;
	return 0;
}

int
gv_reward_set_finish(struct gv_reward_set *s, struct gv_error *e)
{
	size_t i;

	if (s->all && gv_reward_finish(s->all, e))
		return e->code;
	for (i = 0; i < s->n; i++)
		if (gv_reward_finish(s->reward[i], e))
			return e->code;
	return 0;
}
