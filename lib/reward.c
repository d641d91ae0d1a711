/* Rewards by name, and weighted sums of them. */
#include "reward_priv.h"

#include "mem.h"
#include "opt.h"
#include "banned.h"

#include <float.h>
#include <math.h>

static const struct gv_task *const tasks[] = {
    &gv_task_exact,
    &gv_task_vqa,
    &gv_task_textvqa,
    &gv_task_mmmu,
    &gv_task_mmmu_strict,
    &gv_task_gsm8k,
    &gv_task_gsm8k_flexible,
    &gv_task_cider,
    &gv_task_format,
    &gv_task_length,
    &gv_task_exec,
};

const char *
gv_reward_names(void)
{
	return "exact vqa textvqa mmmu mmmu-strict gsm8k gsm8k-flexible "
	       "cider format length exec";
}

struct part {
	const struct gv_task *task;
	double weight;
	void *own;
};

struct gv_reward {
	char *name;
	size_t nparts;
	struct part part[GV_REWARD_PARTS];
};

/* ---- descriptions -------------------------------------------------------- */

static const struct gv_task *
find_task(const char *s, size_t n)
{
	size_t i;

	for (i = 0; i < sizeof tasks / sizeof *tasks; i++)
		if (strlen(tasks[i]->name) == n &&
		    !memcmp(tasks[i]->name, s, n))
			return tasks[i];
	return NULL;
}

static int
no_task(const char *s, size_t n, struct gv_error *e)
{
	char q[64];

	return gv_fail(e, GV_ERR_NOSUP, "no task is called '%s' (there are %s)",
	    gv_quote(q, sizeof q, s, n), gv_reward_names());
}

/* Reads a weight that ends at a comma or at the end; false if it isn't one. */
static bool
read_weight(const char *s, size_t n, double *out)
{
	char word[32];

	if (!n || n >= sizeof word)
		return false;
	memcpy(word, s, n);
	word[n] = '\0';
	return !gv_opt_f64(word, out) && isfinite(*out);
}

static int
add_part(struct gv_reward *r, const struct gv_task *task, double weight,
    const struct gv_reward_opts *o, const char *arg, struct gv_error *e)
{
	struct part *p = &r->part[r->nparts];
	size_t i;

	if (r->nparts == GV_REWARD_PARTS)
		return gv_fail(e, GV_ERR_LIMIT, "a sum of more than %d tasks",
		    GV_REWARD_PARTS);
	for (i = 0; i < r->nparts; i++)
		if (r->part[i].task == task)
			return gv_fail(e, GV_ERR_USAGE,
			    "task '%s' stands twice in a sum", task->name);
	p->task = task;
	p->weight = weight;
	r->nparts++; /* so that what open() made is closed */
	return task->open ? task->open(&p->own, o, arg, e) : 0;
}

/* Adds the task that starts at *s, and moves *s behind it. */
static int
read_part(struct gv_reward *r, const char **s, const struct gv_reward_opts *o,
    bool trusted, struct gv_error *e)
{
	size_t n = strcspn(*s, ":,"), m;
	const char *name = *s, *arg = NULL;
	const struct gv_task *task = find_task(name, n);
	double weight = 1;
	char q[64];

	if (!task)
		return no_task(name, n, e);
	*s += n;
	if (**s == ':') {
		++*s;
		m = strcspn(*s, ",");
		if (read_weight(*s, m, &weight)) {
			*s += m;
		} else if (task->needs & GV_NEED_RECORD) {
			if (!trusted)
				return gv_fail(e, GV_ERR_NOSUP,
				    "a record may not name a program to run");
			arg = *s;
			*s += strlen(*s);
		} else {
			return gv_fail(e, GV_ERR_USAGE,
			    "'%s' is not the weight of task '%s'",
			    gv_quote(q, sizeof q, *s, m), task->name);
		}
	}
	return add_part(r, task, weight, o, arg, e);
}

int
gv_reward_open(struct gv_reward **out, const char *description,
    const struct gv_reward_opts *o, bool trusted, struct gv_error *e)
{
	struct gv_reward *r = gv_alloc(1, sizeof *r);
	const char *s = description;

	if (!r)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	r->name = gv_strdup(description);
	if (!r->name)
		gv_fail(e, GV_ERR_NOMEM, "out of memory");
	while (!e->code && !read_part(r, &s, o, trusted, e)) {
		if (!*s) {
			*out = r;
			return 0;
		}
		s++; /* the comma */
	}
	gv_reward_close(&r);
	return e->code;
}

void
gv_reward_close(struct gv_reward **out)
{
	struct gv_reward *r = *out;
	size_t i;

	if (!r)
		return;
	*out = NULL;
	for (i = 0; i < r->nparts; i++)
		if (r->part[i].task->close)
			r->part[i].task->close(r->part[i].own);
	gv_free(r->name);
	gv_free(r);
}

/* ---- what it is ---------------------------------------------------------- */

const char *
gv_reward_name(const struct gv_reward *r)
{
	return r->name;
}

unsigned
gv_reward_needs(const struct gv_reward *r)
{
	unsigned needs = 0;
	size_t i;

	for (i = 0; i < r->nparts; i++)
		needs |= r->part[i].task->needs;
	return needs;
}

size_t
gv_reward_parts(const struct gv_reward *r)
{
	return r->nparts;
}

const char *
gv_reward_part(const struct gv_reward *r, size_t i, double *weight)
{
	if (weight)
		*weight = r->part[i].weight;
	return r->part[i].task->name;
}

/* ---- judging ------------------------------------------------------------- */

int
gv_reward_judge(struct gv_reward *r, const struct gv_judged *in,
    struct gv_verdict *out, struct gv_error *e)
{
	bool blank = !gv_py_strip(in->text).n;
	struct gv_verdict v = {.nparts = r->nparts};
	size_t i;

	if ((gv_reward_needs(r) & GV_NEED_ANSWERS) && !in->nanswers)
		return gv_fail(e, GV_ERR_FORMAT, "no answers to compare with");
	for (i = 0; i < r->nparts; i++) {
		const struct part *p = &r->part[i];

		if (p->task->judge(p->own, in, &v.part[i], e))
			return e->code;
		if (blank && !p->task->blank)
			v.part[i] = 0;
		v.reward += p->weight * v.part[i];
	}
	if (!(fabs(v.reward) <= (double)FLT_MAX))
		return gv_fail(
		    e, GV_ERR_FORMAT, "the reward is no number of 32 bits");
	*out = v;
	return 0;
}

int
gv_reward_finish(struct gv_reward *r, struct gv_error *e)
{
	size_t i;

	for (i = 0; i < r->nparts; i++)
		if (r->part[i].task->finish &&
		    r->part[i].task->finish(r->part[i].own, e))
			return e->code;
	return 0;
}
