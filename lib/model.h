/* The model: a vision tower, a resampler, a projector and a decoder, on any
 * backend of gvk, forward and backward, any subset of the four training.
 *
 *	image (B,H,W,3) U8
 *	  -> vision tower	features (B,P,Dv)
 *	  -> resampler		(B,R,Dv)
 *	  -> projector		embeds (B,R,C)
 *	tokens (N) -> embedding, image rows overwrite their placeholders
 *	  -> decoder		(N,C) -> head -> log-probabilities
 *
 * Each part keeps its parameters in one flat buffer in device storage, with
 * gradients and optimizer state in flat buffers of the same offsets; a table
 * names every tensor as Hugging Face does.  Matrices that are multiplied with
 * the same input lie next to each other (q, k, v; gate, up), so that one
 * product does them all.
 *
 * Activations live in one block whose size is known before the first step:
 * gv_model_need() computes it, gv_model_reserve() takes it; no call allocates
 * afterwards.
 *
 * Sizes: B images, P patches, Dv vision width, R rows an image, N tokens in a
 * batch, C hidden width, S sequences, M positions whose loss counts, V
 * vocabulary.
 */
#ifndef GV_MODEL_H
#define GV_MODEL_H

#include "config.h"
#include "err.h"
#include "gvk.h"
#include "safetensors.h"

#ifdef __cplusplus
extern "C" {
#endif

enum gv_part { GV_VISION, GV_RESAMPLER, GV_PROJECTOR, GV_LANGUAGE, GV_PARTS };

/* "vision", "resampler", "projector", "language": as in --train PART=LR. */
const char *gv_part_name(enum gv_part p);

/* How a fresh tensor starts. */
enum gv_init { GV_INIT_ZERO, GV_INIT_ONE, GV_INIT_NORMAL };

/* One named tensor. */
struct gv_param {
	char name[160]; /* with the prefix of its part */
	enum gv_part part;
	size_t at, n; /* elements, from the start of its part's buffers */
	int rank;
	int64_t shape[4];
	enum gv_init init;
	float std; /* of GV_INIT_NORMAL */
	bool joined; /* right behind the one before: one matrix with it */
	bool used; /* takes part in the forward pass (vision layers past
	                 * vision_feature_layer don't) */
};

struct gv_model_part {
	size_t n; /* elements; 0 if the model lacks the part */
	void *w; /* (n) parameters, of the model's `wtype` */
	float *grad; /* (n) gradients; NULL unless the part trains */
	float *master; /* (n) exact parameters, the optimizer's; NULL where w
	                * is exact, or the part has no optimizer */
	bool trains;
};

struct gv_model {
	struct gvk *k; /* the caller's */
	struct gvk_stream *s; /* all work of the model runs here */
	enum gvk_dtype wtype; /* of the parameters: gvk_wtype(s) */
	struct gv_config cfg;
	struct gv_param *param;
	size_t nparams;
	struct gv_model_part part[GV_PARTS];
	struct gv_model_priv *priv;
};

/* Builds the parameter table and buffers of a configuration (taken over,
 * freed with the model).  Parameters are not set: load or init follows.
 * `parts` limits which parts are allocated (bits 1 << enum gv_part; ~0u all):
 * gv-encode-vision needs no decoder. */
int gv_model_new(struct gv_model **m, struct gvk *k, struct gv_config *cfg,
    unsigned parts, struct gv_error *e) GV_USE_RESULT;

/* Reads a model directory, or a text model in one file that ends in ".gguf":
 * configuration and weights, which are held in the backend's storage type. */
int gv_model_open(struct gv_model **m, struct gvk *k, const char *dir,
    unsigned parts, struct gv_error *e) GV_USE_RESULT;

/* The same for who only runs it forward.  If all tensors of these parts are
 * BF16 in the files, they stay so on the CPU too: half the memory, and up to
 * twice the speed where weights are read for few rows.  Results have the bits
 * that gv_model_open() gives.  A checkpoint with a tensor of another type is
 * held as there, so nothing is rounded; m->wtype says what came of it.  On the
 * CPU, weights are used where the files are mapped, as far as they can be: they
 * must not be written to meanwhile.  Such a model can be loaded again; it can't
 * be trained (GV_ERR_NOSUP). */
int gv_model_open_forward(struct gv_model **m, struct gvk *k, const char *dir,
    unsigned parts, struct gv_error *e) GV_USE_RESULT;
void gv_model_close(struct gv_model **m);

/* Fresh random weights: Philox, one counter range a tensor, the same on every
 * backend. */
int gv_model_init(
    struct gv_model *m, uint64_t seed, struct gv_error *e) GV_USE_RESULT;

/* Copies the parameters of some parts from their tensors, in any spelling that
 * names.h knows, rounded to m->wtype, exactly to the masters where there are
 * some.  All tensors are checked before any is read, also those of other parts:
 * a missing or misshapen one is GV_ERR_MATCH by name; so is an unexpected one,
 * unless it is known not to matter (rotary tables, SigLIP's pooling head, a
 * tied head's copy); one of another dtype than F32, F16, BF16 or GGUF's is
 * GV_ERR_NOSUP.  With no parts nothing but that is done. */
int gv_model_load(struct gv_model *m, const struct gv_st *st, unsigned parts,
    struct gv_error *e) GV_USE_RESULT;

/* Writes model.safetensors (dtype GV_F32 or GV_BF16), from the masters where
 * there are some, and the configuration files into an existing directory,
 * usually one of gv_dir_begin(). */
int gv_model_save(struct gv_model *m, const char *dir, enum gv_dtype dtype,
    struct gv_error *e) GV_USE_RESULT;

/* Writes the gradients of the parts that train, F32, under the names of their
 * parameters, to one safetensors file. */
int gv_model_save_grads(
    struct gv_model *m, const char *path, struct gv_error *e) GV_USE_RESULT;

/* Declares which parts train and allocates (or frees) their gradients.  The
 * gradients start at zero.  Weights must be of the backend's storage type. */
int gv_model_train(
    struct gv_model *m, unsigned parts, struct gv_error *e) GV_USE_RESULT;
void gv_model_zero_grad(struct gv_model *m);

/* ---- memory -------------------------------------------------------------- */

/* The largest batch that will come. */
struct gv_limits {
	bool backward; /* keep what a backward pass needs */
	bool recompute; /* ... but of the decoder's layers only their inputs,
	                 * and run each again on the way back */
	int64_t images; /* B */
	int64_t tokens; /* N */
	int64_t seqs; /* S */
	int64_t outs; /* M: rows with loss, or rows whose logits are taken */
	int64_t max_q, max_k; /* longest sequence, longest with its prefix */
	bool logits; /* gv_model_logits() will be used */
	int64_t kv_rows; /* rows of key/value cache, 0 for training */
};

/* Bytes of device memory that these limits need beyond the parameters and
 * gradients. */
int gv_model_need(const struct gv_model *m, const struct gv_limits *l,
    size_t *bytes, struct gv_error *e) GV_USE_RESULT;

/* Takes that memory, giving back what an earlier call took (the key/value
 * cache's content is lost).  GV_ERR_NOMEM says how much was wanted. */
int gv_model_reserve(struct gv_model *m, const struct gv_limits *l,
    struct gv_error *e) GV_USE_RESULT;

/* ---- running ------------------------------------------------------------- */

/* What images enter as. */
enum gv_input { GV_IN_NONE, GV_IN_IMAGE, GV_IN_FEATURES, GV_IN_EMBEDS };

/* A batch.  All arrays are host memory and are copied when a call is made that
 * takes them: they may be reused as soon as it returns.
 * Tokens of all sequences stand one after the other.  Sequence s has the
 * tokens q_at[s] .. q_at[s+1]-1, sees them causally, and before them the
 * prefix p_at[s], p_len[s] (0: none) as gvk_attn describes: without a cache,
 * rows of this batch (so sequences about one image share its rows); with a
 * cache, rows of the cache, and then own keys are its rows k_at[s],
 * k_len[s], and kv_row[n] is the row that token n's key and value are put
 * in. */
struct gv_batch {
	enum gv_input input;
	int64_t B;
	const void *image; /* U8 (B,H,W,3), or (B,P,Dv), (B,R,C) of `dtype` */
	enum gv_dtype dtype; /* GV_F32, or GV_BF16 if that is the storage type;
	                      * GV_NONE is F32, too */
	int64_t N;
	const int32_t *id; /* (N) token id, or ~r: row r of (B*R) embeds */
	const int32_t *pos; /* (N) position within its sequence */
	int64_t S;
	const int32_t *q_at; /* (S+1) */
	const int32_t *p_at, *p_len; /* (S), or NULL: no prefixes */
	const int32_t *k_at, *k_len, *kv_row; /* with a cache, else NULL */
	int32_t max_q, max_k;
	int64_t M;
	const int32_t *out; /* (M) rows of N that go to the head; none twice
	                     * if a backward pass follows */
	bool every; /* promises that out is 0, 1, ... N-1 */
	const int32_t *target; /* (M) for gv_model_loss() */
	const float *g; /* (M) d loss / d logp, for the backward pass */
	const uint64_t *seed, *counter; /* (M) for who draws from the logits,
	                                 * or NULL */
};

/* Features (B,P,Dv) or embeds (B,R,C) of images as F32 in host memory.
 * b->input says what goes in; `to` what comes out.  Waits. */
int gv_model_vision(struct gv_model *m, const struct gv_batch *b,
    enum gv_input to, float *out, struct gv_error *e) GV_USE_RESULT;

/* Log-probability (and entropy, if not NULL) of each target: host (M).  With
 * `backward`, gradients of sum g logp are added to the gradients of the parts
 * that train.  Waits. */
int gv_model_loss(struct gv_model *m, const struct gv_batch *b, bool backward,
    float *logp, float *entropy, struct gv_error *e) GV_USE_RESULT;

/* gv_model_loss() in two halves, for losses whose g depends on logp.  The first
 * keeps what the second needs: nothing else may run on the model between them.
 * The second takes the same batch and g (M) instead of b->g, adds to the
 * gradients, and doesn't wait: g is copied. */
int gv_model_loss_forward(struct gv_model *m, const struct gv_batch *b,
    float *logp, float *entropy, struct gv_error *e) GV_USE_RESULT;
int gv_model_loss_backward(struct gv_model *m, const struct gv_batch *b,
    const float *g, struct gv_error *e) GV_USE_RESULT;

/* The same without waiting: logp and entropy, best of gvk_host_alloc(), are
 * there after gv_model_sync().  At most two batches are on the device: a third
 * waits for the first. */
int gv_model_queue_loss(struct gv_model *m, const struct gv_batch *b,
    bool backward, float *logp, float *entropy,
    struct gv_error *e) GV_USE_RESULT;

/* Copies the next batch to the device while the one before is being worked on.
 * The next call that runs a batch must be given this one. */
int gv_model_feed(struct gv_model *m, const struct gv_batch *b,
    struct gv_error *e) GV_USE_RESULT;

/* ... or may be any other after this. */
void gv_model_unfeed(struct gv_model *m);

/* The logits of the rows in b->out, left in device memory: F32 (M,V), valid
 * until the next call.  With b->kv_row the keys and values of the batch go
 * into the cache first.  Doesn't wait. */
int gv_model_logits(struct gv_model *m, const struct gv_batch *b,
    float **logits, struct gv_error *e) GV_USE_RESULT;

/* Waits for all work; a device's failure is GV_ERR_DEVICE. */
int gv_model_sync(struct gv_model *m, struct gv_error *e) GV_USE_RESULT;

/* Floating-point operations of a batch (forward, or with backward as the
 * trained parts need it), for reports. */
double gv_model_flops(
    const struct gv_model *m, const struct gv_batch *b, bool backward);

/* Opens a backend by --device; GV_ERR_DEVICE with its reason, GV_ERR_NOMEM if
 * it was the host that had no memory or threads for one. */
int gv_backend_open(struct gvk **k, const char *device, int64_t threads,
    struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
