/* A GGUF file's head as config.json. */
#include "gguf_priv.h"

#include "banned.h"

#include <math.h>

/* Building: the object, and where its values come from. */
struct build {
	const struct gv_gguf *g;
	json_t *o;
	const char *arch;
	struct gv_error *e;
	bool bad; /* no memory */
};

static void
set(struct build *b, const char *key, json_t *v)
{
	b->bad |= json_object_set_new(b->o, key, v) != 0;
}

/* "ARCH.key"; all that are asked for fit. */
static const char *
key_of(const struct build *b, const char *key, char full[96])
{
	snprintf(full, 96, "%s.%s", b->arch, key);
	return full;
}

static int
missing(struct build *b, const char *key)
{
	return gv_fail(
	    b->e, GV_ERR_FORMAT, "'%s' has no '%s'", gguf_path(b->g), key);
}

/* config.json's `as` from ARCH.key, which must be there. */
static int
copy_int(struct build *b, const char *key, const char *as, int64_t *v)
{
	char full[96];

	*v = -1;
	if (gguf_get_int(b->g, key_of(b, key, full), v, b->e))
		return b->e->code;
	if (*v < 0)
		return missing(b, full);
	set(b, as, json_integer(*v));
	return 0;
}

/* An F32 in a file stands for the shortest number that rounds to it: 1e-5, not
 * 9.99999974738e-06. */
static double
shortest(double v)
{
	char s[40];
	int digits;

	for (digits = 6; digits < 10; digits++) {
		snprintf(s, sizeof s, "%.*g", digits, v);
		if (strtof(s, NULL) == (float)v)
			break;
	}
	return strtod(s, NULL);
}

static int
copy_f64(struct build *b, const char *key, const char *as, double fallback)
{
	char full[96];
	double v = fallback;

	if (gguf_get_f64(b->g, key_of(b, key, full), &v, b->e))
		return b->e->code;
	if (!isfinite(v))
		return gv_fail(b->e, GV_ERR_FORMAT, "'%s': '%s' is not finite",
		    gguf_path(b->g), full);
	set(b, as, json_real(shortest(v)));
	return 0;
}

static const struct gv_tensor *
find(const struct gv_gguf *g, const char *name)
{
	size_t i;

	for (i = 0; i < gv_gguf_count(g); i++)
		if (!strcmp(gv_gguf_name(g, i), name))
			return gv_gguf_tensor(g, i);
	return NULL;
}

static int
sizes(struct build *b)
{
	const struct gv_tensor *embed = find(b->g, "token_embd.weight");
	char full[96];
	int64_t C, H, G, v, D, value = 0, rope;

	if (!embed)
		return gv_fail(b->e, GV_ERR_MATCH,
		    "'%s': tensor 'token_embd.weight' is missing",
		    gguf_path(b->g));
	set(b, "vocab_size", json_integer(embed->shape[0]));
	if (copy_int(b, "embedding_length", "hidden_size", &C) ||
	    copy_int(b, "block_count", "num_hidden_layers", &v) ||
	    copy_int(b, "feed_forward_length", "intermediate_size", &v) ||
	    copy_int(b, "context_length", "max_position_embeddings", &v) ||
	    copy_int(b, "attention.head_count", "num_attention_heads", &H))
		return b->e->code;
	G = H;
	if (gguf_get_int(
		b->g, key_of(b, "attention.head_count_kv", full), &G, b->e))
		return b->e->code;
	D = H > 0 ? C / H : 0;
	if (gguf_get_int(
		b->g, key_of(b, "attention.key_length", full), &D, b->e))
		return b->e->code;
	value = rope = D;
	if (gguf_get_int(b->g, key_of(b, "attention.value_length", full),
		&value, b->e) ||
	    gguf_get_int(
		b->g, key_of(b, "rope.dimension_count", full), &rope, b->e))
		return b->e->code;
	if (value != D || rope != D)
		return gv_fail(b->e, GV_ERR_NOSUP,
		    "'%s': heads of width %lld with values of %lld and "
		    "rotation of %lld are not supported",
		    gguf_path(b->g), (long long)D, (long long)value,
		    (long long)rope);
	set(b, "num_key_value_heads", json_integer(G));
	set(b, "head_dim", json_integer(D));
	return 0;
}

/* Plain rotation, or linear scaling; what other scalings need is not all in
 * the head. */
static int
rotation(struct build *b)
{
	char full[96], q[40];
	const char *s;
	double factor = 1;
	size_t n;

	if (copy_f64(b, "rope.freq_base", "rope_theta", 10000))
		return b->e->code;
	if (find(b->g, "rope_freqs.weight"))
		return gv_fail(b->e, GV_ERR_NOSUP,
		    "'%s': rotation scaled by 'rope_freqs.weight' is not "
		    "supported",
		    gguf_path(b->g));
	if (gguf_get_text(
		b->g, key_of(b, "rope.scaling.type", full), &s, &n, b->e))
		return b->e->code;
	if (!s || (n == 4 && !memcmp(s, "none", 4)))
		return 0;
	if (n != 6 || memcmp(s, "linear", 6))
		return gv_fail(b->e, GV_ERR_NOSUP,
		    "'%s': '%s' of '%s' is not supported", gguf_path(b->g),
		    full, gv_quote(q, sizeof q, s, n));
	if (gguf_get_f64(
		b->g, key_of(b, "rope.scaling.factor", full), &factor, b->e))
		return b->e->code;
	set(b, "rope_scaling",
	    json_pack("{s:s, s:f}", "rope_type", "linear", "factor",
		shortest(factor)));
	return 0;
}

static int
ids(struct build *b)
{
	static const char *const key[2][2] = {
	    {"tokenizer.ggml.bos_token_id", "bos_token_id"},
	    {"tokenizer.ggml.eos_token_id", "eos_token_id"}};
	int i;

	for (i = 0; i < 2; i++) {
		int64_t id = -1;

		if (gguf_get_int(b->g, key[i][0], &id, b->e))
			return b->e->code;
		if (id >= 0)
			set(b, key[i][1], json_integer(id));
	}
	return 0;
}

int
gv_gguf_config(const struct gv_gguf *g, json_t **out, struct gv_error *e)
{
	static const char *const known[] = {"llama", "qwen2"};
	struct build b = {g, NULL, NULL, e, false};
	const char *s;
	char q[40];
	size_t n, i;

	if (gguf_get_text(g, "general.architecture", &s, &n, e))
		return e->code;
	if (!s)
		return gv_fail(e, GV_ERR_FORMAT,
		    "'%s' has no 'general.architecture'", gguf_path(g));
	for (i = 0; i < sizeof known / sizeof *known; i++)
		if (strlen(known[i]) == n && !memcmp(known[i], s, n))
			b.arch = known[i];
	if (!b.arch)
		return gv_fail(e, GV_ERR_NOSUP,
		    "'%s': architecture '%s' is not supported (llama and "
		    "qwen2 are)",
		    gguf_path(g), gv_quote(q, sizeof q, s, n));
	b.o = json_object();
	if (!b.o)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	set(&b, "model_type", json_string(b.arch));
	set(&b, "hidden_act", json_string("silu"));
	set(&b, "tie_word_embeddings", json_boolean(!find(g, "output.weight")));
	if (!sizes(&b) && !rotation(&b) && !ids(&b) &&
	    !copy_f64(
		&b, "attention.layer_norm_rms_epsilon", "rms_norm_eps", 1e-5) &&
	    b.bad)
		gv_fail(e, GV_ERR_NOMEM, "out of memory");
	if (e->code) {
		json_decref(b.o);
		return e->code;
	}
	*out = b.o;
	return 0;
}
