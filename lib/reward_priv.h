/* What the files of lib/reward*.c share: the table of tasks, and text as
 * Python's str takes it, since the metrics are defined by Python programs.
 */
#ifndef GV_REWARD_PRIV_H
#define GV_REWARD_PRIV_H

#include "reward.h"

/* ---- tasks --------------------------------------------------------------- */

struct gv_task {
	const char *name;
	unsigned needs; /* GV_NEED_... */
	bool blank; /* also judges texts of white space */
	/* *own is the task's to make, NULL at first; `arg` is what follows
	 * "exec:", else NULL. */
	int (*open)(void **own, const struct gv_reward_opts *o, const char *arg,
	    struct gv_error *e);
	int (*judge)(void *own, const struct gv_judged *in, double *out,
	    struct gv_error *e);
	int (*finish)(void *own, struct gv_error *e); /* or NULL */
	void (*close)(void *own); /* takes NULL */
};

extern const struct gv_task gv_task_exact, gv_task_vqa, gv_task_textvqa,
    gv_task_mmmu, gv_task_mmmu_strict, gv_task_gsm8k, gv_task_gsm8k_flexible,
    gv_task_cider, gv_task_format, gv_task_length, gv_task_exec;

/* The part of mmmu for open questions.  What new() made, also if it failed, is
 * for free(). */
struct gv_mmmu_open;
int gv_mmmu_open_new(
    struct gv_mmmu_open **m, struct gv_error *e) GV_USE_RESULT;
void gv_mmmu_open_free(struct gv_mmmu_open **m);
int gv_mmmu_open_judge(struct gv_mmmu_open *m, const struct gv_judged *in,
    double *out, struct gv_error *e) GV_USE_RESULT;

/* ---- random numbers ------------------------------------------------------ */

/* Python's generator, seeded as by random.seed(seed). */
#define GV_TWISTER 624
struct gv_twister {
	uint32_t x[GV_TWISTER];
	size_t at;
};
void gv_twister_seed(struct gv_twister *t, uint32_t seed);

/* The place that random.choice() takes of n things, n > 0. */
size_t gv_twister_choice(struct gv_twister *t, size_t n);

/* ---- text ---------------------------------------------------------------- */

/* Bytes that grow.  Zero it first; gv_free(b.s) frees. */
struct gv_bytes {
	char *s;
	size_t n, cap;
};

int gv_bytes_room(struct gv_bytes *b, size_t more,
    struct gv_error *e) GV_USE_RESULT;
int gv_bytes_add(struct gv_bytes *b, const char *s, size_t n,
    struct gv_error *e) GV_USE_RESULT;

/* str.isspace(), and re's \s, of a code point; and \d. */
bool gv_py_space(uint32_t c);
bool gv_py_digit(uint32_t c);

/* Is the character that ends before, or starts at, s[at] a \d? */
bool gv_py_digit_before(const char *s, size_t at);
bool gv_py_digit_at(const char *s, size_t n, size_t at);

/* str.strip(): cuts white space off both ends. */
struct gv_span gv_py_strip(struct gv_span s);
struct gv_span gv_py_strip_char(struct gv_span s, char c); /* str.strip(c) */

/* str.split(): the next word at or behind *at, which moves behind it; n = 0 if
 * there is none. */
struct gv_span gv_py_word(struct gv_span s, size_t *at);

/* str.lower(), by Unicode's full mapping: appends to b. */
int gv_py_lower(struct gv_bytes *b, struct gv_span s,
    struct gv_error *e) GV_USE_RESULT;

/* str.find() and str.rfind() in bytes; SIZE_MAX if absent. */
size_t gv_py_find(struct gv_span s, struct gv_span what);
size_t gv_py_rfind(struct gv_span s, struct gv_span what);

/* ---- names --------------------------------------------------------------- */

/* Numbers byte strings 0, 1, 2 ... as they first appear.  Zero it first. */
struct gv_index {
	struct gv_bytes names; /* one after the other */
	struct gv_index_item {
		uint64_t hash;
		size_t at, len; /* in names */
	} * item;
	size_t n, cap;
	uint32_t *slot; /* number + 1, or 0; open addressing */
	size_t slots; /* a power of two, or 0 */
};

/* The number of a name, which is new if it is what n was. */
int gv_index_add(struct gv_index *x, struct gv_span name, size_t *number,
    struct gv_error *e) GV_USE_RESULT;
/* SIZE_MAX if it has none. */
size_t gv_index_find(const struct gv_index *x, struct gv_span name);
struct gv_span gv_index_name(const struct gv_index *x, size_t number);
void gv_index_clear(struct gv_index *x); /* keeps its memory */
void gv_index_free(struct gv_index *x);

static inline struct gv_span
gv_span_of(const struct gv_bytes *b)
{
	struct gv_span s = {b->s, b->n};

	return s;
}

#endif
