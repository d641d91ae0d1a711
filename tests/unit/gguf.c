/* GGUF: what a writer of our own puts into a file comes out of it, blocks are
 * what their own library says, and each rule refuses its file. */
#include "gguf.h"

#include "blocks.h"
#include "philox.h"
#include "scratch.h"
#include "token.h"
#include "training.h"

#include <fcntl.h>
#include <stdint.h>

/* ---- writing ------------------------------------------------------------- */

/* A file as it grows. */
static struct {
	uint8_t b[1 << 20];
	size_t n, counts; /* where the counts of tensors and pairs stand */
	uint64_t tensors, pairs, at; /* `at`: of the next tensor's data */
} f;

static void
raw(const void *p, size_t n)
{
	if (n > sizeof f.b - f.n)
		bail("gguf", "the test's file is too large");
	memcpy(f.b + f.n, p, n);
	f.n += n;
}

static void
number(uint64_t v, size_t bytes)
{
	for (; bytes-- > 0; v >>= 8)
		raw(&(uint8_t){(uint8_t)v}, 1);
}

static void
string(const char *s)
{
	number(strlen(s), 8);
	raw(s, strlen(s));
}

static void
head(void)
{
	memset(&f, 0, sizeof f);
	raw("GGUF", 4);
	number(3, 4);
	f.counts = f.n;
	number(0, 8);
	number(0, 8);
}

static void
pair_text(const char *key, const char *v)
{
	string(key);
	number(8, 4);
	string(v);
	f.pairs++;
}

static void
pair_u32(const char *key, uint32_t v)
{
	string(key);
	number(4, 4);
	number(v, 4);
	f.pairs++;
}

static void
pair_f32(const char *key, float v)
{
	string(key);
	number(6, 4);
	raw(&v, sizeof v);
	f.pairs++;
}

static void
pair_texts(const char *key, const char *const *v, size_t n)
{
	size_t i;

	string(key);
	number(9, 4);
	number(8, 4);
	number(n, 8);
	for (i = 0; i < n; i++)
		string(v[i]);
	f.pairs++;
}

/* A tensor of ggml's type; `rows` 0 is a vector. */
static void
tensor(const char *name, uint64_t rows, uint64_t row, uint32_t type, size_t n)
{
	string(name);
	number(rows ? 2 : 1, 4);
	number(row, 8);
	if (rows)
		number(rows, 8);
	number(type, 4);
	number(f.at, 8);
	f.at = (f.at + n + 31) / 32 * 32;
	f.tensors++;
}

static void
pad(void)
{
	while (f.n % 32)
		number(0, 1);
}

/* Writes the counts and the file. */
static void
save(const char *path)
{
	size_t n = f.n;
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);

	f.n = f.counts;
	number(f.tensors, 8);
	number(f.pairs, 8);
	f.n = n;
	if (fd < 0 || write(fd, f.b, f.n) != (ssize_t)f.n || close(fd))
		bail(path, "cannot be written");
}

/* ---- a whole model ------------------------------------------------------- */

static void
sizes(const char *arch, const struct gv_text_config *c)
{
	const struct {
		const char *key;
		int64_t v;
	} size[] = {{"block_count", c->L}, {"context_length", c->max_T},
	    {"embedding_length", c->C}, {"feed_forward_length", c->F},
	    {"attention.head_count", c->H}, {"attention.head_count_kv", c->G},
	    {"attention.key_length", c->D}, {"attention.value_length", c->D},
	    {"rope.dimension_count", c->D}};
	char key[96];
	size_t i;

	pair_text("general.architecture", arch);
	for (i = 0; i < sizeof size / sizeof *size; i++) {
		snprintf(key, sizeof key, "%s.%s", arch, size[i].key);
		pair_u32(key, (uint32_t)size[i].v);
	}
	snprintf(key, sizeof key, "%s.rope.freq_base", arch);
	pair_f32(key, (float)c->rope.theta);
	snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", arch);
	pair_f32(key, (float)c->eps);
}

/* llama.cpp's word for a name of ours. */
static void
renamed(const char *name, char out[160])
{
	static const char *const word[][2] = {
	    {"model.embed_tokens.", "token_embd."},
	    {"model.norm.", "output_norm."}, {"lm_head.", "output."},
	    {"input_layernorm.", "attn_norm."},
	    {"post_attention_layernorm.", "ffn_norm."},
	    {"self_attn.q_proj.", "attn_q."}, {"self_attn.k_proj.", "attn_k."},
	    {"self_attn.v_proj.", "attn_v."},
	    {"self_attn.o_proj.", "attn_output."},
	    {"mlp.gate_proj.", "ffn_gate."}, {"mlp.up_proj.", "ffn_up."},
	    {"mlp.down_proj.", "ffn_down."}};
	int layer = -1, skip = 0;
	size_t i;

	if (sscanf(name, "model.layers.%d.%n", &layer, &skip) == 1)
		name += skip;
	for (i = 0; i < sizeof word / sizeof *word; i++) {
		size_t n = strlen(word[i][0]);

		if (strncmp(name, word[i][0], n) != 0)
			continue;
		if (layer < 0)
			snprintf(out, 160, "%s%s", word[i][1], name + n);
		else
			snprintf(out, 160, "blk.%d.%s%s", layer, word[i][1],
			    name + n);
		return;
	}
	bail(name, "has no name in GGUF");
}

/* Heads whose rows the format pairs. */
static size_t
paired(const struct gv_model *m, const char *name)
{
	if (strcmp(m->cfg.model_type, "llama") != 0)
		return 0;
	return strstr(name, "q_proj")   ? (size_t)m->cfg.text.H
	       : strstr(name, "k_proj") ? (size_t)m->cfg.text.G
					: 0;
}

/* Rows of a head as llama.cpp's converter turns them: reshape to (2, D/2),
 * swap the two. */
static void
write_values(const struct gv_model *m, const struct gv_param *p)
{
	size_t rows = (size_t)p->shape[0], row = p->n / rows, r;
	size_t heads = paired(m, p->name), D = heads ? rows / heads : rows;
	const float *w = (const float *)m->part[GV_LANGUAGE].w + p->at;

	for (r = 0; r < rows; r++) {
		size_t in = r % D, from = r;

		if (heads)
			from = r - in + in % 2 * (D / 2) + in / 2;
		raw(w + from * row, row * sizeof *w);
	}
	pad();
}

/* The pairs of a small vocabulary. */
static void
vocabulary_pairs(const char *kind, const char *pre)
{
	static const char *const tokens[] = {
	    "a", "b", "1", "\304\240", "ab", "\304\240ab", "<|im_end|>"};
	static const char *const merges[] = {"a b", "\304\240 ab"};
	static const int32_t types[] = {1, 1, 1, 1, 1, 1, 3};

	pair_text("tokenizer.ggml.model", kind);
	pair_text("tokenizer.ggml.pre", pre);
	pair_texts("tokenizer.ggml.tokens", tokens, 7);
	pair_texts("tokenizer.ggml.merges", merges, 2);
	string("tokenizer.ggml.token_type");
	number(9, 4);
	number(5, 4);
	number(7, 8);
	raw(types, sizeof types);
	f.pairs++;
	pair_u32("tokenizer.ggml.eos_token_id", 6);
}

static void
write_model(const struct gv_model *m, const char *path, const char *kind)
{
	char name[160];
	size_t i;

	head();
	sizes(m->cfg.model_type, &m->cfg.text);
	if (kind)
		vocabulary_pairs(kind, "smollm");
	for (i = 0; i < m->nparams; i++) {
		const struct gv_param *p = &m->param[i];

		renamed(p->name, name);
		tensor(name, p->rank == 2 ? (uint64_t)p->shape[0] : 0,
		    (uint64_t)p->shape[p->rank - 1], 0, p->n * sizeof(float));
	}
	pad();
	for (i = 0; i < m->nparams; i++)
		write_values(m, &m->param[i]);
	save(path);
}

/* A golden model through GGUF: the same bits, the same facts. */
static void
through(const char *dir)
{
	const char *name = strrchr(dir, '/') + 1;
	struct gv_error e = {0};
	struct gv_model *m, *back;
	size_t i, differ = 0;
	struct gvk *k;

	must(gv_backend_open(&k, "cpu", 1, &e), &e);
	must(gv_model_open(&m, k, dir, ~0u, &e), &e);
	write_model(m, "m.gguf", NULL);
	must(gv_model_open(&back, k, "m.gguf", ~0u, &e), &e);
	is_int((long long)back->nparams, (long long)m->nparams,
	    "%s: as many tensors", name);
	for (i = 0; i < m->nparams && i < back->nparams; i++)
		differ +=
		    memcmp((float *)m->part[GV_LANGUAGE].w + m->param[i].at,
			(float *)back->part[GV_LANGUAGE].w + back->param[i].at,
			m->param[i].n * sizeof(float)) != 0;
	is_int((long long)differ, 0, "%s: with the same bits", name);
	is_str(back->cfg.model_type, m->cfg.model_type, "%s: its type", name);
	ok(back->cfg.text.tied == m->cfg.text.tied &&
		back->cfg.text.D == m->cfg.text.D &&
		back->cfg.text.G == m->cfg.text.G,
	    "%s: tied or not, heads", name);
	near(back->cfg.text.eps, m->cfg.text.eps, 0, "%s: epsilon", name);
	near(back->cfg.text.rope.theta, m->cfg.text.rope.theta, 0, "%s: theta",
	    name);
	gv_model_close(&back);
	gv_model_close(&m);
	gvk_close(&k);
}

/* ---- blocks -------------------------------------------------------------- */

static void
blocks(const char *dir)
{
	static const struct {
		enum gv_dtype t;
		const char *name;
	} type[] = {{GV_Q4_0, "Q4_0"}, {GV_Q4_1, "Q4_1"}, {GV_Q8_0, "Q8_0"},
	    {GV_Q6_K, "Q6_K"}};
	struct gv_error e = {0};
	char path[MOST_DIR + 32];
	struct gv_st *st;
	size_t i;

	snprintf(path, sizeof path, "%s/blocks.safetensors", dir);
	must(gv_st_open(&st, path, &e), &e);
	for (i = 0; i < sizeof type / sizeof *type; i++) {
		char key[16];
		float got[6 * 256], *want;
		uint8_t *in;
		size_t n, bytes;

		snprintf(key, sizeof key, "%s.raw", type[i].name);
		in = golden_get(st, key, GV_U8, &bytes);
		snprintf(key, sizeof key, "%s.is", type[i].name);
		want = golden_get(st, key, GV_F32, &n);
		is_int((long long)(n / gv_block_numbers(type[i].t) *
				   gv_block_bytes(type[i].t)),
		    (long long)bytes, "%s: bytes of a block", type[i].name);
		must(gv_blocks_to_f32(got, in, type[i].t, n, &e), &e);
		ok(!memcmp(got, want, n * sizeof *want),
		    "%s: every number as ggml's own library has it",
		    type[i].name);
		in[2]++;
		must(gv_blocks_to_f32(got, in, type[i].t, n, &e), &e);
		ok(memcmp(got, want, n * sizeof *want) != 0,
		    "%s: another bit is another number", type[i].name);
		free(in);
		free(want);
	}
	gv_st_close(&st);
}

/* ---- vocabularies -------------------------------------------------------- */

static void
vocabulary(const char *kind, const char *pre)
{
	head();
	vocabulary_pairs(kind, pre);
	save("t.gguf");
}

static void
tokens(void)
{
	static const char *const cut[] = {
	    "smollm", "qwen2", "llama-bpe", "gpt-2"};
	static const int32_t want[] = {4, 5, 3, 3, 2, 2};
	struct gv_error e = {0};
	struct gv_tokenizer *t;
	struct gv_ids ids = {0};
	int32_t stop[4];
	size_t i;

	for (i = 0; i < 4; i++) {
		vocabulary("gpt2", cut[i]);
		must(gv_tokenizer_open(&t, "t.gguf", &e), &e);
		is_int(gv_tokenizer_size(t), 7, "%s: all ids", cut[i]);
		is_int(gv_tokenizer_special(t, "<|im_end|>"), 6,
		    "%s: a control token is special", cut[i]);
		is_int((long long)gv_tokenizer_stops(t, stop, 4), 1,
		    "%s: it ends a text", cut[i]);
		gv_tokenizer_close(&t);
	}
	vocabulary("gpt2", "smollm");
	must(gv_tokenizer_open(&t, "t.gguf", &e), &e);
	/* \004 has no token; spaces before a digit stay apart from it */
	must(gv_encode(t, "ab ab\004  11", 11 - 1, false, &ids, &e), &e);
	ok(ids.n == 6 && !memcmp(ids.id, want, sizeof want),
	    "a text is cut, merged, and short of what has no token");
	gv_ids_free(&ids);
	gv_tokenizer_close(&t);
	vocabulary("llama", "default");
	ok(gv_tokenizer_open(&t, "t.gguf", &e) == GV_ERR_NOSUP &&
		strstr(e.msg, "kind 'llama' is not supported"),
	    "another kind of vocabulary: %s", e.msg);
	gv_error_clear(&e);
	vocabulary("gpt2", "tekken");
	ok(gv_tokenizer_open(&t, "t.gguf", &e) == GV_ERR_NOSUP &&
		strstr(e.msg, "'tokenizer.ggml.pre' of 'tekken'"),
	    "another cut: %s", e.msg);
}

/* ---- training ------------------------------------------------------------ */

/* One record, of ids that both vocabularies have. */
static void
write_tokens(const char *path)
{
	static const int32_t id[] = {1, 2, 3, 4}, next[] = {2, 3, 4, -1};
	static const int64_t T = 4;
	struct gv_schema s = {0};
	struct gv_error e = {0};
	struct gv_writer *w;
	struct gv_out *o;

	must(gv_schema_init(&s, "tokens", &e), &e);
	must(gv_schema_field(&s, "tokens", "I32 (T)", "", &e), &e);
	must(gv_schema_field(&s, "targets", "I32 (T)", "", &e), &e);
	must(gv_out_open(&o, path, true, false, &e), &e);
	must(gv_writer_open(&w, o, &s, &e), &e);
	must(gv_writer_begin(w, "k", &e), &e);
	must(gv_writer_tensor(w, "tokens", 1, &T, id, &e), &e);
	must(gv_writer_tensor(w, "targets", 1, &T, next, &e), &e);
	must(gv_writer_end_rec(w, &e), &e);
	must(gv_writer_close(&w, 0, &e), &e);
	must(gv_out_commit(&o, &e), &e);
	gv_schema_free(&s);
}

static int
has_vocabulary(const char *dir)
{
	struct gv_error e = {0};
	struct gv_tokenizer *t;
	int n;

	if (gv_tokenizer_open(&t, dir, &e))
		return 0;
	n = (int)gv_tokenizer_size(t);
	gv_tokenizer_close(&t);
	return n;
}

/* What is trained from a GGUF file has its vocabulary as JSON; where that can't
 * be, nothing is trained. */
static void
training(const char *dir)
{
	struct gv_training_opts o = {.model = "w.gguf",
	    .input = "x.gv",
	    .output = "out",
	    .device = "cpu",
	    .threads = 1,
	    .parts = 1u << GV_LANGUAGE,
	    .dtype = GV_F32,
	    .keep_run = true,
	    .save_every = 1,
	    .law = {.batch = 1,
		.micro_tokens = 16,
		.micro_images = 1,
		.schedule = {.total = 1},
		.keep = 1,
		.optim = {.lr[GV_LANGUAGE] = 1e-3,
		    .beta1 = .9,
		    .beta2 = .999,
		    .eps = 1e-8}}};
	struct gv_training *r;
	struct gv_error e = {0};
	struct gv_model *m;
	struct gvk *k;

	write_tokens("x.gv");
	must(gv_backend_open(&k, "cpu", 1, &e), &e);
	must(gv_model_open(&m, k, dir, ~0u, &e), &e);
	write_model(m, "w.gguf", "gpt2");
	must(gv_training_open(&r, &o, &e), &e);
	is_int(gv_training_run(r, &e), 1, "a step from GGUF: %s", e.msg);
	gv_training_close(&r);
	is_int(has_vocabulary("out"), 7, "the model has its vocabulary");
	is_int(has_vocabulary("out.run/latest"), 7, "its checkpoint has");

	o.output = "none";
	write_model(m, "w.gguf", "llama");
	is_int(gv_training_open(&r, &o, &e), GV_ERR_NOSUP,
	    "a vocabulary that isn't read: %s", e.msg);
	gv_error_clear(&e);
	write_model(m, "w.gguf", NULL);
	ok(gv_training_open(&r, &o, &e), "none at all: %s", e.msg);
	ok(access("none", F_OK) && access("none.run", F_OK),
	    "nothing was begun");
	gv_model_close(&m);
	gvk_close(&k);
}

/* ---- faults -------------------------------------------------------------- */

/* A small sound file: a pair of each kind, two tensors. */
static void
sound(void)
{
	static const char *const texts[] = {"x", "yz"};

	head();
	pair_text("general.architecture", "llama");
	pair_u32("general.alignment", 32);
	pair_texts("list", texts, 2);
	pair_f32("number", 1.5F);
	tensor("a", 0, 8, 0, 32);
	tensor("b", 2, 32, 8, 68);
	pad();
	raw((uint8_t[32]){0}, 32);
	raw((uint8_t[68]){0}, 68);
	pad();
}

static int
try(struct gv_error *e)
{
	struct gv_gguf *g = NULL;
	json_t *a = NULL, *b = NULL;
	struct gv_error more = {0};
	int r;

	gv_error_clear(e);
	r = gv_gguf_open(&g, "f.gguf", e);
	if (!r) {
		/* whatever a sound head says, asking is safe */
		if (!gv_gguf_config(g, &a, &more))
			json_decref(a);
		gv_error_clear(&more);
		if (!gv_gguf_tokenizer(g, &a, &b, &more)) {
			json_decref(a);
			json_decref(b);
		}
	}
	gv_gguf_close(&g);
	return r;
}

/* Sets the number of `bytes` bytes behind the first `what` and `skip` more. */
static void
poke(const char *what, size_t skip, uint64_t v, size_t bytes)
{
	uint8_t *p = memmem(f.b, f.n, what, strlen(what));

	if (!p)
		bail(what, "is not in the test's file");
	for (p += strlen(what) + skip; bytes-- > 0; v >>= 8)
		*p++ = (uint8_t)v;
}

static const struct {
	const char *what, *near;
	size_t skip;
	uint64_t v;
	size_t bytes;
	int code;
	const char *says;
} fault[] = {
    {"another magic", "GGUF", (size_t)-4, 'X', 1, GV_ERR_FORMAT, "no GGUF"},
    {"version 1", "GGUF", 0, 1, 4, GV_ERR_NOSUP, "version 1 of GGUF"},
    {"version 4", "GGUF", 0, 4, 4, GV_ERR_NOSUP, "version 4 of GGUF"},
    {"big-endian", "GGUF", 0, 0x03000000, 4, GV_ERR_NOSUP, "big-endian"},
    {"a key of 2^63 bytes", "general.architecture", (size_t)-28,
	(uint64_t)1 << 63, 8, GV_ERR_LIMIT, "a key of 9223372036854775808"},
    {"a text of 2^64-1 bytes", "general.architecture", 4, UINT64_MAX, 8,
	GV_ERR_CUT, "18446744073709551615 bytes expected"},
    {"an unknown type", "number", 0, 13, 4, GV_ERR_FORMAT,
	"'number' is of the unknown type 13"},
    {"a list of lists", "list", 4, 9, 4, GV_ERR_NOSUP, "a list of lists"},
    {"2^61+1 numbers of 8 bytes", "list", 4, 10, 4, GV_ERR_CUT, "values"},
    {"2^64-1 strings", "list", 8, UINT64_MAX, 8, GV_ERR_CUT, "ends in its"},
    {"an alignment of 0", "general.alignment", 4, 0, 4, GV_ERR_FORMAT,
	"no power of two"},
    {"an alignment of 48", "general.alignment", 4, 48, 4, GV_ERR_FORMAT,
	"no power of two"},
    {"an alignment of 2^31", "general.alignment", 4, 1u << 31, 4, GV_ERR_FORMAT,
	"no power of two"},
    {"a key twice", "number", 0, 0, 0, GV_ERR_FORMAT, "is there twice"},
    {"rank 0", "\1\0\0\0\0\0\0\0a", 0, 0, 4, GV_ERR_FORMAT, "has rank 0"},
    {"rank 5", "a", 0, 5, 4, GV_ERR_FORMAT, "has rank 5"},
    {"a dimension of 0", "a", 4, 0, 8, GV_ERR_FORMAT, "is not a size"},
    {"a dimension of 2^63", "a", 4, (uint64_t)1 << 63, 8, GV_ERR_FORMAT,
	"is not a size"},
    {"dimensions whose product is 2^64", "b", 12, (uint64_t)1 << 59, 8,
	GV_ERR_FORMAT, "overflows"},
    {"a row of 31 numbers in blocks of 32", "b", 4, 31, 8, GV_ERR_FORMAT,
	"no whole blocks of 32"},
    {"more rows than there are", "b", 12, 3, 8, GV_ERR_CUT,
	"takes 102 bytes, only 96"},
    {"a type that is not read", "b", 20, 12, 4, GV_ERR_NOSUP,
	"type Q4_K is not supported"},
    {"a type that isn't one", "b", 20, 99, 4, GV_ERR_NOSUP, "type 99"},
    {"an offset beyond the end", "b", 24, (uint64_t)1 << 40, 8, GV_ERR_FORMAT,
	"starts at byte 1099511627776"},
    {"tensors one over the other", "b", 24, 0, 8, GV_ERR_FORMAT,
	"starts at byte 0 of the data, expected 32"},
    {"an offset that is not aligned", "b", 24, 33, 8, GV_ERR_FORMAT,
	"starts at byte 33"},
};

/* Names of one letter are sought behind their length. */
static void
apply(size_t i)
{
	static const uint8_t one[8] = {1};
	uint8_t name[9], *p;

	if (!strcmp(fault[i].what, "a key twice")) {
		memcpy(memmem(f.b, f.n, "number", 6), "list", 4);
		poke("list", 0, 0, 0);
		return;
	}
	if (fault[i].near[0] == 1 || strlen(fault[i].near) == 1) {
		memcpy(name, one, 8);
		name[8] = (uint8_t)fault[i].near[strlen(fault[i].near) - 1];
		if (fault[i].near[0] == 1)
			name[8] = 'a';
		p = memmem(f.b, f.n, name, sizeof name);
		if (!p)
			bail(fault[i].what, "finds no tensor");
		p += sizeof name + fault[i].skip;
		memcpy(p, &fault[i].v, fault[i].bytes);
		return;
	}
	poke(fault[i].near, fault[i].skip, fault[i].v, fault[i].bytes);
}

static void
faults(void)
{
	struct gv_error e = {0};
	size_t i;
	int r;

	sound();
	save("f.gguf");
	is_int(try(&e), 0, "a sound file: %s", e.msg);
	for (i = 0; i < sizeof fault / sizeof *fault; i++) {
		sound();
		save("f.gguf");
		apply(i);
		if (!strcmp(fault[i].what, "2^61+1 numbers of 8 bytes"))
			poke("list", 8, ((uint64_t)1 << 61) + 1, 8);
		if (!strcmp(fault[i].what, "a key twice")) {
			head();
			pair_u32("x", 1);
			pair_u32("x", 2);
		}
		save("f.gguf");
		r = try(&e);
		ok(r == fault[i].code && strstr(e.msg, fault[i].says), "%s: %s",
		    fault[i].what, r ? "refused" : "taken");
		if (r != fault[i].code || !strstr(e.msg, fault[i].says))
			printf("# code %d '%s'\n", r, e.msg);
	}
}

/* Counts that promise more than there is cost nothing. */
static void
promises(void)
{
	static const uint64_t count[] = {
	    1000, 65536, 65537, UINT32_MAX, (uint64_t)1 << 63, UINT64_MAX};
	struct gv_error e = {0};
	size_t i, refused = 0;

	for (i = 0; i < 2 * sizeof count / sizeof *count; i++) {
		sound();
		save("f.gguf");
		*(i % 2 ? &f.tensors : &f.pairs) = count[i / 2];
		save("f.gguf");
		refused += try(&e) ==
			   (count[i / 2] > 65536 ? GV_ERR_LIMIT : GV_ERR_CUT);
	}
	is_int((long long)refused, (long long)i, "counts beyond the file");
}

/* Cut anywhere, it is refused; any bit turned, refused or sound. */
static void
damage(void)
{
	struct gv_error e = {0};
	size_t i, n, refused = 0, bad = 0, opened = 0;

	sound();
	save("f.gguf");
	for (i = n = f.n; i-- > 0;) {
		if (truncate("f.gguf", (off_t)i))
			break;
		refused += try(&e) != 0 && e.msg[0];
	}
	/* what is cut of the padding behind the last tensor is not missed */
	is_int((long long)(n - refused), 96 - 68,
	    "cut at each of %zu bytes: refused", n);
	for (i = 0; i < 8 * (n - 128); i++) {
		f.b[i / 8] ^= (uint8_t)(1 << i % 8);
		f.counts = sizeof f.b - 16; /* counts stay as they are */
		save("f.gguf");
		if (try(&e))
			bad += !e.msg[0] || strchr(e.msg, '\n');
		else
			opened++;
		f.b[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	is_int((long long)bad, 0,
	    "each of %zu bits turned: refused in one line, or sound (%zu)", i,
	    opened);
}

int
main(int argc, char **argv)
{
	const char *self = argc ? argv[0] : "";
	const char *quants = golden_path(self, "GV_GOLDEN_GGUF", "blocks", ".");
	const char *llama =
	    golden_path(self, "GV_GOLDEN_GGUF", "family", "llama2");
	const char *smollm =
	    golden_path(self, "GV_GOLDEN_GGUF", "family", "smollm2");
	const char *qwen = golden_path(self, "GV_GOLDEN_GGUF", "model", "tied");

	scratch_enter();
	blocks(quants);
	through(llama);
	through(smollm);
	through(qwen);
	tokens();
	training(smollm);
	faults();
	promises();
	damage();
	scratch_remove();
	return done();
}
