/* Memory of a run before it is taken, and a report of it. */
#include "plan.h"

#include "json.h"
#include "mem.h"
#include "banned.h"

static size_t
weights_of(const struct gv_model *m)
{
	size_t bytes = 0;
	int i;

	for (i = 0; i < GV_PARTS; i++)
		if (m->part[i].w)
			bytes += m->part[i].n * gvk_dtype_size(gvk_dtype(m->k));
	return bytes;
}

/* The reference gets the model's micro-batches, forward. */
static int
plan_reference(const struct gv_model *ref, struct gv_limits l,
    struct gv_plan *p, struct gv_error *e)
{
	if (!ref)
		return 0;
	p->reference_weights = weights_of(ref);
	l.backward = l.recompute = false;
	return gv_model_need(ref, &l, &p->reference_activations, e);
}

int
gv_plan(struct gv_model *m, unsigned parts, const struct gv_train_law *law,
    struct gv_plan *p, struct gv_error *e)
{
	bool trains[GV_PARTS];
	struct gv_limits l;
	int i, r;

	memset(p, 0, sizeof *p);
	p->weights = weights_of(m);
	if (gv_train_limits(m, law, &l, e))
		return e->code;
	for (i = 0; i < GV_PARTS; i++) {
		size_t n = m->part[i].n;

		trains[i] = m->part[i].trains;
		m->part[i].trains = n && parts & 1u << i;
		p->params[i] = (int64_t)n;
		p->trains[i] = m->part[i].trains;
		if (m->part[i].trains)
			p->gradients += n * sizeof(float);
	}
	p->optimizer = gv_optim_need(m, &law->optim);
	r = gv_model_need(m, &l, &p->activations, e);
	for (i = 0; i < GV_PARTS; i++)
		m->part[i].trains = trains[i];
	return r ? r : plan_reference(law->policy.ref, l, p, e);
}

int
gv_plan_fits(
    const struct gv_model *m, const struct gv_plan *p, struct gv_error *e)
{
	const double gib = 1024.0 * 1024.0 * 1024.0;
	size_t total, avail;
	size_t weights = p->weights + p->reference_weights;
	size_t activations = p->activations + p->reference_activations;
	size_t need = p->gradients + p->optimizer + activations;

	if (gvk_is_host(m->k))
		return 0; /* which has swap and caches: no telling */
	gvk_memory(m->k, &total, &avail);
	if (need <= avail)
		return 0;
	return gv_fail(e, GV_ERR_NOMEM,
	    "out of memory: the run needs %.2f GiB (weights %.2f, gradients "
	    "%.2f, optimizer %.2f, activations %.2f), and of the device's "
	    "%.2f GiB %.2f are free beside the weights",
	    (double)(need + weights) / gib, (double)weights / gib,
	    (double)p->gradients / gib, (double)p->optimizer / gib,
	    (double)activations / gib, (double)total / gib,
	    (double)avail / gib);
}

static json_t *
plan_json(const struct gv_plan *p, const struct gv_plan_time *t)
{
	json_t *parts = json_object();
	int i;

	for (i = 0; i < GV_PARTS; i++)
		if (p->params[i])
			json_object_set_new(parts,
			    gv_part_name((enum gv_part)i),
			    json_pack("{s:I,s:b}", "parameters",
				(json_int_t)p->params[i], "trained",
				p->trains[i]));
	return json_pack("{s:o,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:f,s:f}", "parts",
	    parts, "weights_bytes", (json_int_t)p->weights, "gradients_bytes",
	    (json_int_t)p->gradients, "optimizer_bytes",
	    (json_int_t)p->optimizer, "activations_bytes",
	    (json_int_t)p->activations, "reference_weights_bytes",
	    (json_int_t)p->reference_weights, "reference_activations_bytes",
	    (json_int_t)p->reference_activations, "steps", (json_int_t)t->steps,
	    "flops", t->flops * (double)t->steps, "seconds",
	    t->seconds * (double)t->steps);
}

static double
mib(size_t bytes)
{
	return (double)bytes / 1048576;
}

static int
write_text(struct gv_out *o, const struct gv_plan *p,
    const struct gv_plan_time *t, struct gv_error *e)
{
	size_t reference = p->reference_weights + p->reference_activations;
	size_t sum = p->weights + p->gradients + p->optimizer + p->activations +
		     reference;
	double steps = (double)t->steps;
	int i;

	for (i = 0; i < GV_PARTS; i++)
		if (p->params[i] &&
		    gv_out_printf(o, e, "%-12s %14lld parameters, %s\n",
			gv_part_name((enum gv_part)i), (long long)p->params[i],
			p->trains[i] ? "trained" : "frozen"))
			return e->code;
	if (gv_out_printf(o, e,
		"weights      %14.1f MiB\ngradients    %14.1f MiB\n"
		"optimizer    %14.1f MiB\nactivations  %14.1f MiB\n",
		mib(p->weights), mib(p->gradients), mib(p->optimizer),
		mib(p->activations)) ||
	    (reference && gv_out_printf(o, e, "reference    %14.1f MiB\n",
			      mib(reference))))
		return e->code;
	return gv_out_printf(o, e,
	    "memory       %14.1f MiB\n"
	    "steps        %14lld\nwork         %14.3f TFLOP\n"
	    "time         %14.0f s, by the first step's %.3f s\n",
	    mib(sum), (long long)t->steps, t->flops * steps * 1e-12,
	    t->seconds * steps, t->seconds);
}

int
gv_plan_write(struct gv_out *o, const struct gv_plan *p,
    const struct gv_plan_time *t, bool json, struct gv_error *e)
{
	json_t *j = json ? plan_json(p, t) : NULL;
	char *text =
	    j ? gv_json_text(j, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) : NULL;

	if (!json)
		write_text(o, p, t, e);
	else if (!text)
		gv_fail(e, GV_ERR_NOMEM, "out of memory");
	else
		gv_out_printf(o, e, "%s\n", text);
	gv_free(text);
	json_decref(j);
	return e->code;
}
