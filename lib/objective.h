/* Objectives of reinforcement learning: from rewards to advantages, and from
 * log-probabilities to the gradient that each trained token gets.
 *
 * Nothing here knows of models: an update asks for log-probabilities, calls
 * gv_policy_grad() on each sample, and hands g back.
 *
 * Letters: a sample i of n has |o_i| trained tokens t, an advantage A_i and
 *	logp	under the weights that are being updated
 *	old	under the weights that the update starts from
 *	drawn	as the sampler computed it when it drew the token
 *	ref	under the reference
 * r = e^(logp - old), d = ref - logp, k3 = e^d - d - 1,
 * c = the correction for the sampler's other arithmetic, or older weights:
 * e^(old - drawn) brought into its range, constant for the gradient; gspo's is
 * that of the mean over the sample, as its ratio is.
 *
 *	objective  advantage (by default)   loss, a sum over samples and tokens
 *	reinforce  R - mean                 -c A logp / T
 *	grpo       (R - mean) / (s + 1e-4)  -c min(r A, clip(r) A) / (n |o_i|)
 *	dr-grpo    R - mean                 -c min(r A, clip(r) A) / (n longest)
 *	dapo       (R - mean) / s           -c min(r A, clip(r) A) / T
 *	gspo       (R - mean) / (s + 1e-4)  -c min(q A, clip(q) A) / n, once a
 *	                                    sample, q = e^(mean(logp - old))
 *	cispo      (R - mean) / (s + 1e-4)  -c min(r, 1 + high) A logp / T, the
 *	                                    factor before A constant
 *	all        + beta k3, weighted as the objective's tokens are
 *
 * mean over the group of samples of one prompt, s their deviation (of the
 * group or of the batch, dividing by one less than their number, as torch's
 * std), T the trained tokens and n the samples of the whole update, clip(x) =
 * x within [1 - low, 1 + high].  So no loss depends on how an update is dealt
 * into batches.
 *
 * Source: Williams 1992; Shao et al. 2024, arXiv 2402.03300 (GRPO); Liu et al.
 * 2025, 2503.20783 (Dr. GRPO); Yu et al. 2025, 2503.14476 (DAPO); Zheng et al.
 * 2025, 2507.18071 (GSPO); MiniMax 2025, 2506.13585 (CISPO); k3:
 * Schulman 2020, "Approximating KL divergence"; the correction: Yao et al.
 * 2025, "Your efficient RL framework secretly brings you off-policy RL".
 */
#ifndef GV_OBJECTIVE_H
#define GV_OBJECTIVE_H

#include "err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum gv_objective {
	GV_LM, /* next-token cross-entropy: not of this file */
	GV_REINFORCE,
	GV_GRPO,
	GV_DR_GRPO,
	GV_DAPO,
	GV_GSPO,
	GV_CISPO
};

/* What R - mean is divided by. */
enum gv_scale { GV_SCALE_NONE, GV_SCALE_GROUP, GV_SCALE_BATCH };

/* What the correction does with a token outside its range. */
enum gv_correct {
	GV_CORRECT_NONE, /* c = 1 */
	GV_CORRECT_TRUNCATE, /* c is the nearest within the range */
	GV_CORRECT_MASK, /* the token has no part in the loss: c = 0 */
	GV_CORRECT_MASK_SAMPLE /* ... and by the mean over the sample's tokens,
	                        * which decides for all of them */
};

struct gv_policy_law {
	enum gv_objective objective;
	enum gv_scale scale;
	bool leave_one_out; /* the mean is that of the other samples */
	double low, high; /* of the clip, >= 0 */
	double kl; /* beta; 0: no reference is looked at */
	int64_t longest; /* of dr-grpo: tokens a sample can have */
	enum gv_correct correct;
	double correct_low, correct_high; /* its range */
};

/* The objective's own scale and clip; everything else off. */
struct gv_policy_law gv_policy_law(enum gv_objective objective);

/* "reinforce|grpo|...": the names in the order of the enum, without lm. */
extern const char gv_objective_names[];

/* Advantages of n samples; group g is the samples at[g] .. at[g+1]-1, of
 * `groups`.  A group of equal rewards gets zeros.  GV_ERR_FORMAT for a reward
 * that is not finite; GV_ERR_MATCH for a group of one, from which nothing can
 * be learnt, unless one sample is a whole batch of GV_SCALE_NONE without
 * leave_one_out, whose advantage is 0, too.  On failure `advantage` holds
 * anything. */
int gv_policy_advantages(const struct gv_policy_law *law, const double *reward,
    const size_t *at, size_t groups, double *advantage,
    struct gv_error *e) GV_USE_RESULT;

/* One sample: its n trained tokens. */
struct gv_policy_sample {
	size_t n;
	const float *logp; /* (n) */
	const float *old; /* (n), or NULL: logp itself, r is 1 */
	const float *drawn; /* (n), or NULL: old, c is 1 */
	const float *ref; /* (n), or NULL if law.kl is 0 */
	double advantage;
};

/* Sums over the samples of an update; zero it first. */
struct gv_policy_sums {
	double loss, policy, kl; /* loss = policy + beta kl */
	double k3; /* sum over tokens */
	int64_t tokens, samples;
	int64_t low, high; /* tokens (gspo: samples) that the clip held back */
	double ratio_max; /* largest r */
	/* between sampler and trainer: sums over tokens of |old - drawn| and of
	 * k3 of the two, the largest |old - drawn|, tokens out of the range of
	 * the correction */
	double gap, gap_k3, gap_max;
	int64_t corrected;
};

/* What a token's gap, the trainer's own log-probability less the sampler's,
 * adds to the sums. */
void gv_policy_note_gap(struct gv_policy_sums *sums, double gap);

/* d loss / d logp of each token into g (n), and the sample's share into *sums.
 * samples and tokens are those of the whole update (n and T above).
 * GV_ERR_FORMAT for a log-probability that is not finite or above 0 by more
 * than rounding, and for a ratio that is not finite: nothing is added then. */
int gv_policy_grad(const struct gv_policy_law *law,
    const struct gv_policy_sample *s, int64_t samples, int64_t tokens, float *g,
    struct gv_policy_sums *sums, struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
