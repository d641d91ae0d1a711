/* Logits of long texts in pieces, against their scores; and the largest of
 * some numbers. */
#include "golden.h"
#include "logits.h"
#include "philox.h"

#define V 262144 /* so many that a piece has 64 rows */
#define T 150

static const char config[] =
    "{'model_type':'qwen2','vocab_size':262144,'hidden_size':8,"
    "'intermediate_size':8,'num_hidden_layers':2,'num_attention_heads':2,"
    "'num_key_value_heads':1,'max_position_embeddings':256,"
    "'tie_word_embeddings':true,'init':{'gain':1,'patch':0,'position':0,"
    "'embedding':1}}";

static struct gv_model *
make(struct gvk *k, struct gv_error *e)
{
	char json[sizeof config];
	struct gv_config c = {0};
	struct gv_model *m;
	json_t *o;
	size_t i;

	for (i = 0; i < sizeof config; i++)
		json[i] = (char)(config[i] == '\'' ? '"' : config[i]);
	o = json_loads(json, 0, NULL);
	must(gv_config_parse(&c, o, e), e);
	json_decref(o);
	must(gv_model_new(&m, k, &c, ~0u, e), e);
	must(gv_model_init(m, 3, e), e);
	return m;
}

/* What the rows of two items are held against. */
struct seen {
	const struct gv_score_item *item;
	size_t next[2], pieces;
	bool order;
	double worst;
};

static int
take(void *arg, size_t k, size_t at, size_t n, const float *logits,
    struct gv_error *e)
{
	struct seen *s = arg;
	size_t i, j;

	(void)e;
	s->order = s->order && at == s->next[k];
	s->next[k] += n;
	s->pieces++;
	for (i = 0; i < n; i++, logits += V) {
		const struct gv_score_item *x = &s->item[k];
		double sum = 0, d;

		if (x->target[at + i] < 0)
			continue;
		for (j = 0; j < V; j++)
			sum += exp((double)logits[j]);
		d = fabs((double)logits[x->target[at + i]] - log(sum) -
			 (double)x->logp[at + i]);
		s->worst = d <= s->worst ? s->worst : d;
	}
	return 0;
}

static int
refuse(void *arg, size_t k, size_t at, size_t n, const float *logits,
    struct gv_error *e)
{
	(void)arg;
	(void)k;
	(void)at;
	(void)n;
	(void)logits;
	return gv_fail(e, GV_ERR_CUT, "no more");
}

static void
test_pieces(struct gvk *k)
{
	static int32_t token[T], target[T];
	static float logp[2][T];
	struct gv_score_item item[2] = {
	    {.token = token, .target = target, .n = T, .logp = logp[0]},
	    {.token = token + 9, .target = target + 9, .n = 3, .logp = logp[1]},
	};
	struct seen s = {.item = item, .order = true};
	struct gv_error e = {0};
	struct gv_model *m = make(k, &e);
	struct gv_rng r;
	size_t i;

	gv_rng_init(&r, 1, GV_PURPOSE_TEST);
	for (i = 0; i < T; i++)
		token[i] = (int32_t)gv_rng_below(&r, V);
	for (i = 0; i < T; i++)
		target[i] = i % 25 || i + 1 == T ? -1 : token[i + 1];
	target[63] = target[64] = target[T - 2] = 5; /* about an edge */
	must(gv_score(m, item, 2, &e), &e);
	must(gv_logits(m, item, 2, take, &s, &e), &e);
	is_int((long long)s.pieces, 4,
	    "a long text in three pieces, a short "
	    "one in one");
	ok(s.order && s.next[0] == T && s.next[1] == 3, "in order, all of it");
	ok(s.worst < 1e-5, "their log-softmax are the scores: %.1e", s.worst);
	is_int(gv_logits(m, item, 2, refuse, &s, &e), GV_ERR_CUT,
	    "an error of who takes them ends it");
	gv_model_close(&m);
}

static void
test_top(void)
{
	static const float x[] = {1, 5, NAN, 5, -2, 9, 0, 5};
	static const int32_t order[] = {5, 1, 3, 7, 0, 6, 4, 2};
	float top[8];
	int32_t id[8];
	int k, i;

	for (k = 1; k <= 8; k++) {
		gv_logits_top(top, id, k, x, 8);
		for (i = 0; i < k; i++)
			if (id[i] != order[i] ||
			    memcmp(&top[i], &x[order[i]], sizeof *x) != 0)
				break;
		is_int(i, k, "the %d largest of 8, ties by id, NaN last", k);
	}
}

int
main(void)
{
	struct gv_error e = {0};
	struct gvk *k;

	must(gv_backend_open(&k, "cpu", 0, &e), &e);
	test_pieces(k);
	test_top();
	gvk_close(&k);
	return done();
}
