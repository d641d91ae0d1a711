/* The inside of vocabulary training, shared by bpe_train.c (learning) and
 * bpe_write.c (the files).  Not part of the library's interface. */
#ifndef GV_BPE_TRAIN_H
#define GV_BPE_TRAIN_H

#include "token.h"

#include <stddef.h>
#include <stdint.h>

/* A chat template: its special tokens in the order of their ids, what
 * tokenizer_config.json names, and the template in Jinja. */
struct gv_chat_template {
	const char *name;
	const char *const *special; /* ends with NULL */
	const char *bos, *eos, *pad, *image;
	const char *jinja;
};

/* NULL if there is none of that name. */
const struct gv_chat_template *gv_chat_template_find(const char *name);

/* What was learned: token i < n is s[off[i] .. off[i + 1]); merge k joined
 * left[k] and right[k]. */
struct gv_learned {
	char *s;
	size_t *off, s_cap, off_cap;
	int32_t n;
	int32_t *left, *right;
	size_t merges, left_cap, right_cap;
};

int gv_learned_write(const struct gv_learned *l,
    const struct gv_chat_template *tmpl, const char *dir,
    struct gv_error *e) GV_USE_RESULT;

#endif
