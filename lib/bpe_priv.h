/* The inside of the search from the left: what its tables (bpe_index.c,
 * bpe_trie.c), the search (bpe_match.c) and what it leaves out (bpe_run.c)
 * share.  Not part of the library's interface. */
#ifndef GV_BPE_PRIV_H
#define GV_BPE_PRIV_H

#include "token_impl.h"

/* The trie is a double array: the child of a node by byte c is slot base ^ c,
 * if its label is c.  A base belongs to one node, so the label is all there is
 * to check.  Block 0 has no labels, and is the base of nodes without children;
 * the root's is block 1. */
#define GV_TRIE_BLOCK ((size_t)256)
#define GV_TRIE_ROOT  GV_TRIE_BLOCK
#define GV_NO_LABEL   256u

/* A slot has a label (9 bits), one more than the token that ends here (21) and
 * the base of the children (34). */
#define GV_SLOT_LABEL(slot) ((slot)&0x1ff)
#define GV_SLOT_TOKEN(slot) ((int32_t)((slot) >> 9 & 0x1fffff) - 1)
#define GV_SLOT_BASE(slot)  ((size_t)((slot) >> 30))

#define GV_NO_LIMIT (GV_NO_RANK + 1)

/* Are a and b what their bytes become by merges of a rank below `limit` - 1?
 * Of merges of one rank the left one goes first. */
static inline bool
gv_bpe_fits(const struct gv_tokenizer *t, int32_t a, int32_t b, uint32_t limit)
{
	const struct gv_made *p = t->made;

	for (;;) {
		if (gv_token_rank(t, a, b) + 1 < limit)
			return false;
		if (p[a].when > p[b].when) {
			limit = p[a].when;
			a = p[a].right;
		} else if (p[b].when) {
			limit = p[b].when + 1;
			b = p[b].left;
		} else {
			return true;
		}
	}
}

/* bpe_trie.c: makes t->trie of the tokens that t->made has a way to, and fills
 * in `shorter` there. */
int gv_bpe_trie(struct gv_tokenizer *t, struct gv_error *e) GV_USE_RESULT;

/* bpe_run.c: appends the ids of n times one byte.  *done is false, and *out as
 * it was, where it can't tell; needs t->made. */
int gv_bpe_run(const struct gv_tokenizer *t, char c, size_t n,
    struct gv_ids *out, bool *done, struct gv_error *e) GV_USE_RESULT;

#endif
