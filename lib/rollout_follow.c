/* Sampling with the weights of a trainer, as it publishes them. */
#include "rollout_priv.h"
#include "say.h"
#include "banned.h"

/* Prompts may not bring what weights that train have made. */
static int
check_trained(const struct gv_rollout *r, struct gv_error *e)
{
	enum gv_input in = r->fields.input;
	int p;

	for (p = GV_VISION; p <= GV_PROJECTOR; p++)
		if (gv_follow_trains(r->follow, (enum gv_part)p) &&
		    (in == GV_IN_EMBEDS ||
			(in == GV_IN_FEATURES && p == GV_VISION)))
			return gv_fail(e, GV_ERR_MATCH,
			    "the trainer of '%s' trains the %s part, so "
			    "prompts must bring what it starts from",
			    r->o.follow, gv_part_name((enum gv_part)p));
	return 0;
}

static void
tell_late(void *arg)
{
	struct gv_rollout *r = arg;

	gv_say(r->o.say, 0, "still waiting for gv-train --publish %s",
	    r->o.follow);
}

/* The model of a trainer, which waits for the HEAD of the output. */
int
gv_rollout_open_followed(
    struct gv_rollout *r, unsigned parts, struct gv_error *e)
{
	const struct gv_follow_opts o = {.run = r->o.follow,
	    .model = r->o.model,
	    .patience = r->o.patience,
	    .out = r->out,
	    .late = tell_late,
	    .arg = r,
	    .soon = 10};
	struct gv_follow_state s;

	if (gv_out_flush(r->out, e) ||
	    gv_model_open(&r->m, r->k, r->o.model, parts, e) ||
	    gv_follow_open(&r->follow, r->m, &o, e) || check_trained(r, e))
		return e->code;
	gv_follow_state(r->follow, &s);
	r->fed = s.used;
	r->next = s.next;
	return 0;
}

/* Work that waits for what is wanted. */
struct wanted {
	struct gv_rollout *r;
	const struct gv_gen_work *work;
};

/* A prompt, unless nobody wants it yet or newer weights wait for the others to
 * be done. */
static int
feed_wanted(void *arg, struct gv_error *e)
{
	const struct wanted *w = arg;
	struct gv_follow_state s;

	gv_follow_state(w->r->follow, &s);
	if (s.version != w->r->version || w->r->fed >= s.wanted || s.finished)
		return 0;
	return w->work->feed(w->work->arg, e);
}

static int
pass_on(void *arg, const struct gv_gen_result *p, struct gv_error *e)
{
	const struct wanted *w = arg;

	return w->work->done(w->work->arg, p, e);
}

/* Takes new weights between prompts; ends with the input, or the trainer. */
int
gv_rollout_follow(
    struct gv_rollout *r, const struct gv_gen_work *work, struct gv_error *e)
{
	struct wanted w = {r, work};
	const struct gv_gen_work own = {feed_wanted, pass_on, &w};
	int go = 1, updated;

	while (go > 0 && !r->ended) {
		updated = gv_follow_update(r->follow, &r->version, e);
		if (updated < 0)
			return updated;
		if (updated) {
			gv_gen_forget(r->g);
			gv_say(r->o.say, 2, "policy %lld, copied in %.1f ms",
			    (long long)r->version,
			    1e3 * gv_follow_seconds(r->follow));
		}
		if (gv_gen_run(r->g, &own, e) || gv_out_flush(r->out, e))
			return e->code;
		if (!r->ended)
			go = gv_follow_wait(r->follow, r->fed, e);
	}
	return go < 0 ? go : 0;
}
