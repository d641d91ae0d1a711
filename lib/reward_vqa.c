/* Accuracy by agreement with the other annotators: VQAv2 and TextVQA.
 *
 * Both normalise, then score each text by leave-one-out: the mean over the
 * annotators i of min(how many of the others gave the text / 3, 1).  The rules
 * are those of GT-Vision-Lab/VQA's vqaEval and of MMF's EvalAIAnswerProcessor
 * with what they do otherwise than they look: the pattern meant to keep the
 * full stops of numbers looks behind for nothing ("(?!<="), and the flag meant
 * to make it Unicode is taken for the most that may be replaced, 32.
 */
#include "reward_priv.h"

#include "mem.h"
#include "banned.h"

#define MAX_STOPS 32

struct vqa {
	struct gv_bytes raw, work, lower;
	struct gv_bytes text; /* normalised */
	struct gv_bytes answer;
};

/* ---- normalisation ------------------------------------------------------- */

static const char punctuation[] = ";/[]\"{}()=+\\_-><@`,?!";

/* Words that want an apostrophe: a word that lacks just one of them gets it. */
static const char *const contractions[] = {"'ow's'at", "'twas", "ain't",
    "aren't", "can't", "could've", "couldn't", "couldn't've", "didn't",
    "doesn't", "don't", "hadn't", "hadn't've", "hasn't", "haven't", "he'd",
    "he'd've", "he's", "how'd", "how'll", "how's", "isn't", "it'd", "it'd've",
    "it'll", "ma'am", "might've", "mightn't", "mightn't've", "must've",
    "mustn't", "needn't", "not've", "o'clock", "oughtn't", "shan't", "she'd've",
    "should've", "shouldn't", "shouldn't've", "somebody'd've", "somebody'll",
    "somebody's", "someone'd", "someone'd've", "someone'll", "someone's",
    "something'd", "something'd've", "something'll", "that's", "there'd",
    "there'd've", "there're", "there's", "they'd", "they'd've", "they'll",
    "they're", "they've", "wasn't", "we'd've", "we've", "weren't", "what'll",
    "what're", "what's", "what've", "when's", "where'd", "where's", "where've",
    "who'd", "who'd've", "who'll", "who's", "who've", "why'll", "why're",
    "why's", "won't", "would've", "wouldn't", "wouldn't've", "y'all",
    "y'all'd've", "y'all'll", "you'd", "you'd've", "you'll", "you're",
    "you've"};

static bool
lacks_one(const char *full, size_t n, struct gv_span w)
{
	size_t i;

	for (i = 0; i < n && i < w.n && full[i] == w.s[i]; i++)
		;
	/* of a run of apostrophes any is the one; there are no runs */
	return full[i] == '\'' && !memcmp(full + i + 1, w.s + i, w.n - i);
}

static struct gv_span
contraction(struct gv_span w)
{
	static const char odd[] = "somebody'd", even[] = "somebodyd";
	size_t i;

	if (w.n == sizeof odd - 1 && !memcmp(w.s, odd, w.n))
		return (struct gv_span){even, sizeof even - 1};
	for (i = 0; i < sizeof contractions / sizeof *contractions; i++) {
		size_t n = strlen(contractions[i]);

		if (n == w.n + 1 && lacks_one(contractions[i], n, w))
			return (struct gv_span){contractions[i], n};
	}
	return w;
}

static struct gv_span
digit(struct gv_span w)
{
	static const char *const name[] = {"zero", "one", "two", "three",
	    "four", "five", "six", "seven", "eight", "nine", "ten", "none"};
	static const char *const value[] = {
	    "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "0"};
	size_t i;

	for (i = 0; i < sizeof name / sizeof *name; i++)
		if (w.n == strlen(name[i]) && !memcmp(w.s, name[i], w.n))
			return (struct gv_span){value[i], strlen(value[i])};
	return w;
}

static bool
is_article(struct gv_span w)
{
	return (w.n == 1 && *w.s == 'a') ||
	       (w.n == 2 && !memcmp(w.s, "an", 2)) ||
	       (w.n == 3 && !memcmp(w.s, "the", 3));
}

/* A comma between digits makes all punctuation vanish instead of part. */
static bool
comma_in_number(struct gv_span s)
{
	size_t i;

	for (i = 1; i + 1 < s.n; i++)
		if (s.s[i] == ',' && gv_py_digit_before(s.s, i) &&
		    gv_py_digit_at(s.s, s.n, i + 1))
			return true;
	return false;
}

static bool
beside_space(struct gv_span s, char p)
{
	size_t i;

	for (i = 0; i < s.n; i++)
		if (s.s[i] == p && ((i && s.s[i - 1] == ' ') ||
				       (i + 1 < s.n && s.s[i + 1] == ' ')))
			return true;
	return false;
}

/* Appends the text without punctuation: each mark is dropped or becomes a space
 * by what stands beside it anywhere in the text as it was. */
static int
strip_punctuation(struct gv_bytes *b, struct gv_span s, struct gv_error *e)
{
	bool all = comma_in_number(s), drop[256] = {false};
	size_t i, from = b->n, n, stops = 0;
	const char *p;

	if (gv_bytes_room(b, s.n, e))
		return e->code;
	for (p = punctuation; *p; p++)
		drop[(unsigned char)*p] = all || beside_space(s, *p);
	for (i = 0; i < s.n; i++) {
		char c = s.s[i];

		if (c && strchr(punctuation, c)) {
			if (drop[(unsigned char)c])
				continue;
			c = ' ';
		}
		b->s[b->n++] = c;
	}
	n = b->n;
	b->n = from;
	for (i = from; i < n; i++) {
		if (b->s[i] == '.' && stops < MAX_STOPS &&
		    !gv_py_digit_at(b->s, n, i + 1))
			stops++;
		else
			b->s[b->n++] = b->s[i];
	}
	return 0;
}

/* Sets b to the words in lower case, numbers as digits, without articles. */
static int
digits_and_articles(struct gv_bytes *b, struct vqa *v, struct gv_error *e)
{
	struct gv_span w;
	size_t at = 0;

	v->lower.n = b->n = 0;
	if (gv_py_lower(&v->lower, gv_span_of(&v->work), e))
		return e->code;
	while (w = gv_py_word(gv_span_of(&v->lower), &at), w.n) {
		w = digit(w);
		if (is_article(w))
			continue;
		w = contraction(w);
		if ((b->n && gv_bytes_add(b, " ", 1, e)) ||
		    gv_bytes_add(b, w.s, w.n, e))
			return e->code;
	}
	return 0;
}

/* Copies s with line feeds and tabs as spaces, and strips it. */
static int
one_line(struct gv_bytes *b, struct gv_span s, struct gv_error *e)
{
	size_t i;

	b->n = 0;
	if (gv_bytes_add(b, s.s, s.n, e))
		return e->code;
	for (i = 0; i < b->n; i++)
		if (b->s[i] == '\n' || b->s[i] == '\t')
			b->s[i] = ' ';
	s = gv_py_strip(gv_span_of(b));
	if (s.n)
		memmove(b->s, s.s, s.n);
	b->n = s.n;
	return 0;
}

static int
normalise(
    struct gv_bytes *b, struct vqa *v, struct gv_span s, struct gv_error *e)
{
	v->work.n = 0;
	if (one_line(&v->raw, s, e) ||
	    strip_punctuation(&v->work, gv_span_of(&v->raw), e))
		return e->code;
	return digits_and_articles(b, v, e);
}

/* EvalAI's first step: lower case, no commas and question marks, and a space
 * before each 's; then as above. */
static int
normalise_evalai(
    struct gv_bytes *b, struct vqa *v, struct gv_span s, struct gv_error *e)
{
	size_t i;

	v->lower.n = v->work.n = 0;
	if (gv_py_lower(&v->lower, s, e) ||
	    gv_bytes_room(&v->work, 2 * v->lower.n, e))
		return e->code;
	for (i = 0; i < v->lower.n; i++) {
		char c = v->lower.s[i];

		if (c == ',' || c == '?')
			continue;
		v->work.s[v->work.n++] = c;
	}
	/* only now is it known what stands before an s */
	v->lower.n = 0;
	if (gv_bytes_room(&v->lower, 2 * v->work.n, e))
		return e->code;
	for (i = 0; i < v->work.n; i++) {
		if (v->work.s[i] == '\'' && i + 1 < v->work.n &&
		    v->work.s[i + 1] == 's')
			v->lower.s[v->lower.n++] = ' ';
		v->lower.s[v->lower.n++] = v->work.s[i];
	}
	v->work.n = 0;
	if (one_line(&v->raw, gv_py_strip(gv_span_of(&v->lower)), e) ||
	    strip_punctuation(&v->work, gv_span_of(&v->raw), e))
		return e->code;
	return digits_and_articles(b, v, e);
}

/* ---- scores -------------------------------------------------------------- */

/* The mean over n annotators, `same` of whom gave the text. */
static double
leave_one_out(size_t n, size_t same)
{
	double one, other;

	if (!same)
		return 0;
	one = (double)(same - 1) / 3;
	other = (double)same / 3;
	one = one < 1 ? one : 1;
	other = other < 1 ? other : 1;
	return ((double)same * one + (double)(n - same) * other) / (double)n;
}

static bool
equal(const struct gv_bytes *a, const struct gv_bytes *b)
{
	return a->n == b->n && (!a->n || !memcmp(a->s, b->s, a->n));
}

static int
all_equal(
    struct vqa *v, const struct gv_judged *in, bool *same, struct gv_error *e)
{
	size_t i;

	*same = true;
	if (one_line(&v->raw, in->answers[0], e))
		return e->code;
	for (i = 1; i < in->nanswers && *same; i++) {
		if (one_line(&v->answer, in->answers[i], e))
			return e->code;
		*same = equal(&v->answer, &v->raw);
	}
	return 0;
}

/* Where all answers are the same, nothing is normalised. */
static int
judge_vqa(
    void *own, const struct gv_judged *in, double *out, struct gv_error *e)
{
	struct vqa *v = own;
	size_t i, same = 0;
	bool plain;

	if (in->nanswers < 4)
		return gv_fail(e, GV_ERR_FORMAT,
		    "%zu answers, and vqa needs those of 4 people or more",
		    in->nanswers);
	if (all_equal(v, in, &plain, e) ||
	    (plain ? one_line(&v->text, in->text, e)
		   : normalise(&v->text, v, in->text, e)))
		return e->code;
	for (i = 0; i < in->nanswers; i++) {
		if (plain ? one_line(&v->answer, in->answers[i], e)
			  : normalise(&v->answer, v, in->answers[i], e))
			return e->code;
		same += equal(&v->answer, &v->text);
	}
	*out = leave_one_out(in->nanswers, same);
	return 0;
}

static int
judge_textvqa(
    void *own, const struct gv_judged *in, double *out, struct gv_error *e)
{
	struct vqa *v = own;
	size_t i, same = 0;

	if (in->nanswers != 10)
		return gv_fail(e, GV_ERR_FORMAT,
		    "%zu answers, and textvqa needs 10", in->nanswers);
	if (normalise_evalai(&v->text, v, in->text, e))
		return e->code;
	for (i = 0; i < in->nanswers; i++) {
		if (normalise_evalai(&v->answer, v, in->answers[i], e))
			return e->code;
		same += equal(&v->answer, &v->text);
	}
	*out = leave_one_out(in->nanswers, same);
	return 0;
}

/* ---- the tasks ----------------------------------------------------------- */

static int
open_vqa(void **own, const struct gv_reward_opts *o, const char *arg,
    struct gv_error *e)
{
	(void)o;
	(void)arg;
	*own = gv_alloc(1, sizeof(struct vqa));
	return *own ? 0 : gv_fail(e, GV_ERR_NOMEM, "out of memory");
}

static void
close_vqa(void *own)
{
	struct vqa *v = own;

	if (!v)
		return;
	gv_free(v->raw.s);
	gv_free(v->work.s);
	gv_free(v->lower.s);
	gv_free(v->text.s);
	gv_free(v->answer.s);
	gv_free(v);
}

const struct gv_task gv_task_vqa = {.name = "vqa",
    .needs = GV_NEED_ANSWERS,
    .open = open_vqa,
    .judge = judge_vqa,
    .close = close_vqa};

const struct gv_task gv_task_textvqa = {.name = "textvqa",
    .needs = GV_NEED_ANSWERS,
    .open = open_vqa,
    .judge = judge_textvqa,
    .close = close_vqa};
