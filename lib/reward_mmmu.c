/* MMMU: which option, or what number or phrase, does a text choose?
 *
 * The parser and judge of MMMU-Benchmark/MMMU (eval_utils.py), to the letter:
 * also that where no option is found one is drawn by a Mersenne twister of seed
 * 42, in the order of the texts.
 */
#include "reward_priv.h"

#include "mem.h"
#include "banned.h"

#define MOST_OPTIONS 26 /* letters */

struct mmmu {
	bool guess;
	struct gv_twister random;
	struct gv_bytes text, lower, option;
	struct gv_mmmu_open *open;
};

/* ---- multiple choice ----------------------------------------------------- */

/* How many options' letters stand in the text with what goes around them; the
 * one that does so last is *chosen. */
static size_t
letters(struct gv_span text, size_t n, char before, char after, size_t *chosen)
{
	size_t i, count = 0, last = 0;

	for (i = 0; i < n; i++) {
		const char mark[] = {before, (char)('A' + i), after};
		size_t at =
		    gv_py_rfind(text, (struct gv_span){mark, sizeof mark});

		if (at == SIZE_MAX)
			continue;
		if (!count++ || at > last) {
			last = at;
			*chosen = i;
		}
	}
	return count;
}

static size_t
count_words(struct gv_span s)
{
	size_t n = 0, at = 0;

	while (gv_py_word(s, &at).n)
		n++;
	return n;
}

/* The same by the options' own words. */
static int
contents(struct mmmu *m, const struct gv_judged *in, size_t *count,
    size_t *chosen, struct gv_error *e)
{
	size_t i, last = 0;

	m->lower.n = 0;
	if (gv_py_lower(&m->lower, gv_span_of(&m->text), e))
		return e->code;
	for (i = 0; i < in->noptions; i++) {
		size_t at;

		m->option.n = 0;
		if (gv_py_lower(&m->option, in->options[i], e))
			return e->code;
		at = gv_py_rfind(gv_span_of(&m->lower), gv_span_of(&m->option));
		if (at == SIZE_MAX)
			continue;
		if (!(*count)++ || at > last) {
			last = at;
			*chosen = i;
		}
	}
	return 0;
}

/* The option that the text names; *chosen stays if there is none. */
static int
choose(struct mmmu *m, const struct gv_judged *in, size_t *chosen,
    struct gv_error *e)
{
	static const char marks[] = ",.!?;:'";
	struct gv_span s = in->text;
	const char *p;
	size_t count = 0;

	for (p = marks; *p; p++)
		s = gv_py_strip_char(s, *p);
	m->text.n = 0;
	if (gv_bytes_add(&m->text, " ", 1, e) ||
	    gv_bytes_add(&m->text, s.s, s.n, e) ||
	    gv_bytes_add(&m->text, " ", 1, e))
		return e->code;
	s = gv_span_of(&m->text);
	if (letters(s, in->noptions, '(', ')', chosen) ||
	    letters(s, in->noptions, ' ', ' ', chosen))
		return 0;
	if (count_words(s) > 5 && contents(m, in, &count, chosen, e))
		return e->code;
	/* drawn also where it isn't asked for: texts to come need the same */
	if (!count && m->guess)
		*chosen = gv_twister_choice(&m->random, in->noptions);
	return 0;
}

static int
judge_choice(
    struct mmmu *m, const struct gv_judged *in, double *out, struct gv_error *e)
{
	size_t chosen = SIZE_MAX, i;

	if (in->noptions > MOST_OPTIONS)
		return gv_fail(e, GV_ERR_FORMAT,
		    "%zu options, and there are %d letters", in->noptions,
		    MOST_OPTIONS);
	if (choose(m, in, &chosen, e))
		return e->code;
	for (i = 0; i < in->nanswers && chosen < in->noptions; i++)
		if (in->answers[i].n == 1 &&
		    *in->answers[i].s == (char)('A' + chosen))
			*out = 1;
	return 0;
}

/* ---- the tasks ----------------------------------------------------------- */

static void
close_mmmu(void *own)
{
	struct mmmu *m = own;

	if (!m)
		return;
	gv_free(m->text.s);
	gv_free(m->lower.s);
	gv_free(m->option.s);
	gv_mmmu_open_free(&m->open);
	gv_free(m);
}

static int
open_strict(void **own, const struct gv_reward_opts *o, const char *arg,
    struct gv_error *e)
{
	struct mmmu *m = *own = gv_alloc(1, sizeof *m);

	(void)o;
	(void)arg;
	if (!m)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	return gv_mmmu_open_new(&m->open, e);
}

static int
open_guess(void **own, const struct gv_reward_opts *o, const char *arg,
    struct gv_error *e)
{
	struct mmmu *m;

	if (open_strict(own, o, arg, e))
		return e->code;
	m = *own;
	m->guess = true;
	gv_twister_seed(&m->random, 42);
	return 0;
}

static int
judge_mmmu(
    void *own, const struct gv_judged *in, double *out, struct gv_error *e)
{
	struct mmmu *m = own;

	return in->options ? judge_choice(m, in, out, e)
			   : gv_mmmu_open_judge(m->open, in, out, e);
}

const struct gv_task gv_task_mmmu = {.name = "mmmu",
    .needs = GV_NEED_ANSWERS,
    .open = open_guess,
    .judge = judge_mmmu,
    .close = close_mmmu};

const struct gv_task gv_task_mmmu_strict = {.name = "mmmu-strict",
    .needs = GV_NEED_ANSWERS,
    .open = open_strict,
    .judge = judge_mmmu,
    .close = close_mmmu};
