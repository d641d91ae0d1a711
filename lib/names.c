/* Spellings of tensors, and which of a file's tensors a model needs. */
#include "names.h"

#include "blocks.h"
#include "mem.h"
#include "positions.h"
#include "banned.h"

/* ---- spellings ----------------------------------------------------------- */

/* What stands in front of a name on disk, and within the part.  The first row
 * that fits counts. */
static const struct rule {
	const char *disk;
	enum gv_part part;
	const char *inner;
} rules[] = {
    {"model.vision_tower.vision_model.", GV_VISION, "vision_model."},
    {"model.vision_tower.", GV_VISION, "vision_model."},
    {"model.vision_model.", GV_VISION, "vision_model."},
    {"vision_tower.vision_model.", GV_VISION, "vision_model."},
    {"vision_tower.", GV_VISION, "vision_model."},
    {"vision_model.", GV_VISION, "vision_model."},
    {"embeddings.", GV_VISION, "vision_model.embeddings."},
    {"encoder.", GV_VISION, "vision_model.encoder."},
    {"pre_layrnorm.", GV_VISION, "vision_model.pre_layrnorm."},
    {"post_layernorm.", GV_VISION, "vision_model.post_layernorm."},
    {"head.", GV_VISION, "vision_model.head."},

    {"resampler.", GV_RESAMPLER, ""},
    {"model.connector.modality_projection.proj.", GV_PROJECTOR, "proj."},
    {"model.connector.", GV_RESAMPLER, ""},
    {"model.multi_modal_projector.", GV_PROJECTOR, ""},
    {"multi_modal_projector.", GV_PROJECTOR, ""},
    {"projector.", GV_PROJECTOR, ""},

    {"model.language_model.lm_head.", GV_LANGUAGE, "lm_head."},
    {"model.language_model.", GV_LANGUAGE, "model."},
    {"model.text_model.", GV_LANGUAGE, "model."},
    {"language_model.model.", GV_LANGUAGE, "model."},
    {"language_model.lm_head.", GV_LANGUAGE, "lm_head."},
    {"language_model.", GV_LANGUAGE, "model."},
    {"lm_head.", GV_LANGUAGE, "lm_head."},
    {"model.", GV_LANGUAGE, "model."},
    {"embed_tokens.", GV_LANGUAGE, "model.embed_tokens."},
    {"layers.", GV_LANGUAGE, "model.layers."},
    {"norm.", GV_LANGUAGE, "model.norm."},

    /* GGUF */
    {"token_embd.", GV_LANGUAGE, "model.embed_tokens."},
    {"output_norm.", GV_LANGUAGE, "model.norm."},
    {"output.", GV_LANGUAGE, "lm_head."},
    {"blk.", GV_LANGUAGE, "model.layers."},

    /* nanochat's own */
    {"transformer.wte.", GV_LANGUAGE, "model.embed_tokens."},
    {"transformer.h.", GV_LANGUAGE, "model.layers."},
};

/* The same behind the number of a layer, for the two that spell it
 * differently. */
static const struct layer_rule {
	const char *disk, *inner;
} gguf_layer[] =
    {
	{"attn_norm.", "input_layernorm."},
	{"attn_q.", "self_attn.q_proj."},
	{"attn_k.", "self_attn.k_proj."},
	{"attn_v.", "self_attn.v_proj."},
	{"attn_output.", "self_attn.o_proj."},
	{"ffn_norm.", "post_attention_layernorm."},
	{"ffn_gate.", "mlp.gate_proj."},
	{"ffn_up.", "mlp.up_proj."},
	{"ffn_down.", "mlp.down_proj."},
	{NULL, NULL},
},
  nano_layer[] = {
      {"attn.c_q.", "self_attn.q_proj."},
      {"attn.c_k.", "self_attn.k_proj."},
      {"attn.c_v.", "self_attn.v_proj."},
      {"attn.c_proj.", "self_attn.o_proj."},
      {"mlp.c_fc.", "mlp.fc1."},
      {"mlp.c_proj.", "mlp.fc2."},
      {NULL, NULL},
};

/* Tensors that change no result: how they begin, within the part if they have
 * one; and how they end. */
static const char *const idle_start[] = {"vision_model.head.", "text_model.",
    "text_projection.", "visual_projection.", "logit_scale", "logit_bias"};
static const char *const idle_end[] = {
    "rotary_emb.inv_freq", "embeddings.position_ids"};

static bool
starts_with(const char *s, const char *head)
{
	return !strncmp(s, head, strlen(head));
}

static bool
ends_with(const char *s, const char *tail)
{
	size_t n = strlen(s), k = strlen(tail);

	return n >= k && !strcmp(s + n - k, tail);
}

static bool
is_idle(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof idle_start / sizeof *idle_start; i++)
		if (starts_with(name, idle_start[i]))
			return true;
	for (i = 0; i < sizeof idle_end / sizeof *idle_end; i++)
		if (ends_with(name, idle_end[i]))
			return true;
	return false;
}

/* "12.attn_q.weight" in the words that everybody else has for it; what isn't
 * in the table stays. */
static void
read_layer(char *out, size_t cap, const struct layer_rule *rule, const char *s)
{
	size_t digits = strspn(s, "0123456789.");

	for (; rule->disk; rule++)
		if (starts_with(s + digits, rule->disk)) {
			snprintf(out, cap, "%.*s%s%s", (int)digits, s,
			    rule->inner, s + digits + strlen(rule->disk));
			return;
		}
	snprintf(out, cap, "%s", s);
}

void
gv_name_read(struct gv_name *n, const char *spelled)
{
	const size_t count = sizeof rules / sizeof *rules;
	char rest[GV_NAME_MAX];
	size_t i = 0;

	n->part = GV_PARTS;
	n->name[0] = '\0';
	n->idle = false;
	if (strlen(spelled) >= GV_NAME_MAX - 40) /* a rule adds less */
		return;
	while (i < count && !starts_with(spelled, rules[i].disk))
		i++;
	if (i == count) {
		snprintf(n->name, sizeof n->name, "%s", spelled);
	} else {
		const char *s = spelled + strlen(rules[i].disk);

		n->part = rules[i].part;
		snprintf(rest, sizeof rest, "%s", s);
		if (!strcmp(rules[i].disk, "blk."))
			read_layer(rest, sizeof rest, gguf_layer, s);
		else if (!strcmp(rules[i].disk, "transformer.h."))
			read_layer(rest, sizeof rest, nano_layer, s);
		/* %.*s: what the length above promises, for the compiler */
		snprintf(n->name, sizeof n->name, "%s%.*s", rules[i].inner,
		    GV_NAME_MAX - 40, rest);
	}
	n->idle = is_idle(n->name);
}

/* ---- matching ------------------------------------------------------------ */

/* A parameter by its part and name within it. */
struct place {
	struct gv_name at;
	size_t param;
};

static int
by_place(const void *a, const void *b)
{
	const struct gv_name *x = &((const struct place *)a)->at;
	const struct gv_name *y = &((const struct place *)b)->at;

	return x->part != y->part ? (x->part > y->part) - (x->part < y->part)
				  : strcmp(x->name, y->name);
}

struct match {
	const struct gv_model *m;
	const struct gv_st *st;
	struct place *place; /* sorted */
	struct gv_source *src;
	const struct gv_tensor *head; /* a tied model's lm_head.weight */
	const char *head_name;
	struct gv_error *e;
};

static const struct place *
find(const struct match *x, const struct gv_name *at)
{
	struct place want = {.at = *at};

	return x->m->nparams ? bsearch(&want, x->place, x->m->nparams,
				   sizeof *x->place, by_place)
			     : NULL;
}

/* What the file calls a tensor of it. */
static const char *
spelled_as(const struct match *x, const struct gv_tensor *t)
{
	size_t i = 0;

	while (gv_st_tensor(x->st, i) != t)
		i++;
	return gv_st_name(x->st, i);
}

static int
fail_of_two(const struct match *x, const char *first, const char *second,
    const char *what)
{
	char a[GV_NAME_MAX], b[GV_NAME_MAX];

	return gv_fail(x->e, GV_ERR_MATCH, "tensors '%s' and '%s' %s",
	    gv_quote(a, sizeof a, first, strlen(first)),
	    gv_quote(b, sizeof b, second, strlen(second)), what);
}

static int
take(struct match *x, size_t i)
{
	static const char one[] = "are two spellings of the same";
	const char *spelled = gv_st_name(x->st, i);
	const struct gv_tensor *t = gv_st_tensor(x->st, i);
	const struct place *p;
	struct gv_name at;
	char q[GV_NAME_MAX];

	gv_name_read(&at, spelled);
	p = find(x, &at);
	if (p && !x->src[p->param].t) {
		x->src[p->param].t = t;
		x->src[p->param].paired = gv_st_paired(x->st, i);
		return 0;
	}
	if (p)
		return fail_of_two(
		    x, spelled_as(x, x->src[p->param].t), spelled, one);
	if (at.part == GV_LANGUAGE && x->m->cfg.has_text &&
	    x->m->cfg.text.tied && !strcmp(at.name, "lm_head.weight")) {
		if (x->head)
			return fail_of_two(x, x->head_name, spelled, one);
		x->head = t;
		x->head_name = spelled;
		return 0;
	}
	return at.idle ? 0
		       : gv_fail(x->e, GV_ERR_MATCH,
			     "unexpected tensor '%s' in the checkpoint",
			     gv_quote(q, sizeof q, spelled, strlen(spelled)));
}

static const struct place *
find_embedding(const struct match *x)
{
	const struct gv_name embed = {
	    GV_LANGUAGE, false, "model.embed_tokens.weight"};

	return find(x, &embed);
}

/* One of a tied model's two matrices is enough, but both have its shape. */
static int
tie(struct match *x)
{
	const struct place *p = find_embedding(x);
	const struct gv_param *want;
	char got[96], shape[96];

	if (!x->head || !p)
		return 0;
	want = &x->m->param[p->param];
	if (!x->src[p->param].t)
		x->src[p->param].t = x->head;
	if (x->head->rank == want->rank &&
	    !memcmp(x->head->shape, want->shape,
		(size_t)want->rank * sizeof *want->shape))
		return 0;
	return gv_fail(x->e, GV_ERR_MATCH,
	    "tensor '%s' is %s, config.json asks for %s", x->head_name,
	    gv_shape_text(got, sizeof got, x->head->shape, x->head->rank),
	    gv_shape_text(shape, sizeof shape, want->shape, want->rank));
}

/* A tied model's two matrices are one.  Where they differ the configuration is
 * wrong, and transformers computes with both, or with one, by its version. */
static int
check_tied(const struct match *x)
{
	const struct place *p = x->head ? find_embedding(x) : NULL;
	const struct gv_tensor *t = p ? x->src[p->param].t : NULL;

	if (!t || t == x->head ||
	    (t->dtype == x->head->dtype &&
		!memcmp(t->data, x->head->data, t->bytes)))
		return 0;
	return fail_of_two(x, spelled_as(x, t), x->head_name,
	    "differ, and config.json says that they are tied");
}

static int
check(const struct match *x, size_t i)
{
	const struct gv_param *p = &x->m->param[i];
	const struct gv_tensor *t = x->src[i].t;
	int64_t paired = x->src[i].paired, shape[4];
	char want[96], got[96];

	memcpy(shape, p->shape, sizeof shape);
	(void)gv_positions_differ(x->m, p, &shape[0]);
	gv_shape_text(want, sizeof want, shape, p->rank);
	if (!t)
		return gv_fail(x->e, GV_ERR_MATCH, "tensor '%s' %s is missing",
		    p->name, want);
	if (t->rank != p->rank ||
	    memcmp(t->shape, shape, (size_t)p->rank * sizeof *shape))
		return gv_fail(x->e, GV_ERR_MATCH,
		    "tensor '%s' is %s, config.json asks for %s", p->name,
		    gv_shape_text(got, sizeof got, t->shape, t->rank), want);
	if (t->dtype != GV_F32 && t->dtype != GV_F16 && t->dtype != GV_BF16 &&
	    gv_block_numbers(t->dtype) == 1)
		return gv_fail(x->e, GV_ERR_NOSUP,
		    "tensor '%s' is of %s; weights are read from F32, F16 and "
		    "BF16",
		    p->name, gv_dtype_name(t->dtype));
	if (paired && (paired < 0 || p->shape[0] % (2 * paired)))
		return gv_fail(x->e, GV_ERR_MATCH,
		    "tensor '%s' %s has no %lld heads of pairs", p->name, want,
		    (long long)paired);
	return 0;
}

static int
match(struct match *x)
{
	const struct gv_model *m = x->m;
	size_t i;

	for (i = 0; i < m->nparams; i++) {
		gv_name_read(&x->place[i].at, m->param[i].name);
		x->place[i].param = i;
	}
	if (m->nparams)
		qsort(x->place, m->nparams, sizeof *x->place, by_place);
	for (i = 0; i < gv_st_count(x->st); i++)
		if (take(x, i))
			return x->e->code;
	if (tie(x))
		return x->e->code;
	for (i = 0; i < m->nparams; i++)
		if (check(x, i))
			return x->e->code;
	return check_tied(x);
}

int
gv_names_match(struct gv_source **src, const struct gv_model *m,
    const struct gv_st *st, struct gv_error *e)
{
	struct match x = {.m = m, .st = st, .e = e};

	x.place = gv_alloc(m->nparams, sizeof *x.place);
	x.src = gv_alloc(m->nparams, sizeof *x.src);
	if (!x.place || !x.src)
		gv_fail(e, GV_ERR_NOMEM, "out of memory");
	else if (!match(&x))
		*src = x.src;
	gv_free(x.place);
	if (e->code)
		gv_free(x.src);
	return e->code;
}
