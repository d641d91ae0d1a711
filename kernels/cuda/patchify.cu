/* Images cut into patches, a row each, with the channels normalised.
 *
 *	one block a patch; thread t: elements t, t + 256, ... of the row
 *	(channel, y, x), each from its byte of the image
 *
 * Bound by memory: 3 bytes an element (1 read, 2 written).  Writes are whole
 * lines; the bytes of a patch line are read three times, once a channel, from
 * the first-level cache.  The next rung: 16 bytes a load and store, or the
 * normalisation folded into the patch embedding's weight.
 */
#include "cuda.h"

#define THREADS 256

struct patchify {
	bf16 *y;
	const uint8_t *image;
	float mul[3], add[3];
	int64_t H, W;
	unsigned down, across, p; /* patches of an image, and a side */
};

static __global__ void
__launch_bounds__(THREADS) patchify_kernel(struct patchify a)
{
	unsigned p = a.p, size = p * p;
	unsigned j = blockIdx.x % a.across, line = blockIdx.x / a.across;
	unsigned i = line % a.down;
	int64_t b = line / a.down;
	const uint8_t *top = a.image + ((b * a.H + (int64_t)i * p) * a.W + (int64_t)j * p) * 3;
	bf16 *y = a.y + (int64_t)blockIdx.x * 3 * size;

	for (unsigned e = threadIdx.x; e < 3 * size; e += THREADS) {
		unsigned c = e / size, in = e - c * size;
		unsigned row = in / p, column = in - row * p;
		float mul = c == 0 ? a.mul[0] : c == 1 ? a.mul[1] : a.mul[2];
		float add = c == 0 ? a.add[0] : c == 1 ? a.add[1] : a.add[2];
		uint8_t v = top[(row * a.W + column) * 3 + c];

		y[e] = to_b((float)v * mul + add);
	}
}

void
gvk_cuda_patchify(struct gvk_stream *s, void *y, const uint8_t *image, const float *mul_host,
    const float *add_host, int64_t B, int64_t H, int64_t W, int64_t p)
{
	int64_t down = H / p, across = W / p;
	struct patchify a = {(bf16 *)y, image, {mul_host[0], mul_host[1], mul_host[2]},
	    {add_host[0], add_host[1], add_host[2]}, H, W, (unsigned)down, (unsigned)across,
	    (unsigned)p};

	assert(p < 32768);
	if (B <= 0 || down <= 0 || across <= 0)
		return;
	cuda_of(s);
	CUDA_LAUNCH(s, patchify_kernel, cuda_blocks(B * down * across, 1), THREADS, 0, a);
}
