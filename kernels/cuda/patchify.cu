/* Images cut into patches, a row each, with the channels normalised.
 *
 *	one block: p lines of an image, up to ACROSS patches of them
 *	image  |p x 3|p x 3| ...   ->  shared memory, 16 bytes at a time
 *	y      |row of patch j|row of patch j + 1| ...   E elements at a time
 *
 * Both sides of a block are contiguous in memory.  Bound by memory: 3 bytes an
 * element (1 read, 2 written).  Lines in shared memory are 48 bytes modulo 128
 * apart, so that the patch lines that a warp reads lie in different banks.
 * Sides other than 14 and 16, and images whose lines are not multiples of 16
 * bytes, take a block a patch and its bytes one by one.  On an H100 (November
 * 2026) 94 % of a copy's speed for p = 16, 82 % for p = 14.
 * The next rung is the normalisation folded into the patch embedding's weight.
 */
#include "cuda.h"

#define THREADS 256
#define ACROSS  32 /* patches a block, at most */
#define FEW     8 /* for few images; a multiple of 8 keeps the alignment */

struct patchify {
	bf16 *y;
	const uint8_t *image;
	float mul[3], add[3];
	int64_t H, W;
	unsigned down, across, p; /* patches of an image, and a side */
	unsigned tile, per_line; /* patches of a block; blocks of a line of patches */
};

static __device__ __forceinline__ float
normal(const struct patchify &a, uint8_t v, unsigned c)
{
	float mul = c == 0 ? a.mul[0] : c == 1 ? a.mul[1] : a.mul[2];
	float add = c == 0 ? a.add[0] : c == 1 ? a.add[1] : a.add[2];

	return (float)v * mul + add;
}

/* For 3 W a multiple of 16.  E divides P^2, and E stored elements at a time
 * keep the alignment of y; a line of a patch ends at a
 * multiple of `together` only. */
template <unsigned P, unsigned E>
static __global__ void
__launch_bounds__(THREADS) lines_kernel(struct patchify a)
{
	constexpr unsigned together = E % 8 == 0 && P % 8 == 0   ? 8
				      : E % 2 == 0 && P % 2 == 0 ? 2
								 : 1;
	constexpr unsigned size = P * P, longest = ACROSS * P * 3 / 16 * 16;
	constexpr unsigned pitch = (longest + 79) / 128 * 128 + 48;
	__shared__ __align__(16) uint8_t pixel[P * pitch];
	unsigned part = blockIdx.x % a.per_line, line = blockIdx.x / a.per_line;
	unsigned j = part * a.tile, count = a.across - j < a.tile ? a.across - j : a.tile;
	unsigned i = line % a.down, chunks = (count * P * 3 + 15) / 16;
	int64_t b = line / a.down;
	const uint8_t *top = a.image + ((b * a.H + (int64_t)i * P) * a.W + (int64_t)j * P) * 3;
	struct alignas(E * sizeof(bf16)) out {
		bf16 x[E];
	} *y = reinterpret_cast<out *>(a.y + ((int64_t)line * a.across + j) * 3 * size);

	cuda_follow();
	for (unsigned e = threadIdx.x; e < P * chunks; e += THREADS) {
		unsigned row = e / chunks, chunk = e - row * chunks;

		*reinterpret_cast<uint4 *>(pixel + row * pitch + chunk * 16) =
		    *reinterpret_cast<const uint4 *>(top + row * a.W * 3 + chunk * 16);
	}
	__syncthreads();
	cuda_lead();
	for (unsigned e = threadIdx.x; e < count * 3 * size / E; e += THREADS) {
		unsigned patch = e * E / (3 * size), in = e * E - patch * 3 * size;
		unsigned c = in / size, row = (in - c * size) / P;
		unsigned column = in - c * size - row * P;
		out o;

#pragma unroll
		for (unsigned k = 0; k < E; k++) {
			o.x[k] =
			    to_b(normal(a, pixel[row * pitch + (patch * P + column) * 3 + c], c));
			column++;
			if ((k + 1) % together == 0 && column == P) {
				column = 0;
				row++;
			}
		}
		y[e] = o;
	}
}

/* For any side and any image. */
static __global__ void
__launch_bounds__(THREADS) patch_kernel(struct patchify a)
{
	unsigned p = a.p, size = p * p;
	unsigned j = blockIdx.x % a.across, line = blockIdx.x / a.across;
	unsigned i = line % a.down;
	int64_t b = line / a.down;
	const uint8_t *top = a.image + ((b * a.H + (int64_t)i * p) * a.W + (int64_t)j * p) * 3;
	bf16 *y = a.y + (int64_t)blockIdx.x * 3 * size;

	cuda_follow();
	for (unsigned e = threadIdx.x; e < 3 * size; e += THREADS) {
		unsigned c = e / size, in = e - c * size;
		unsigned row = in / p, column = in - row * p;

		y[e] = to_b(normal(a, top[(row * a.W + column) * 3 + c], c));
	}
}

void
gvk_cuda_patchify(struct gvk_stream *s, void *y, const uint8_t *image, const float *mul_host,
    const float *add_host, int64_t B, int64_t H, int64_t W, int64_t p)
{
	int64_t down = H / p, across = W / p, tile = B * down < 256 ? FEW : ACROSS;
	int64_t per_line = cuda_div_up(across, tile);
	struct patchify a = {(bf16 *)y, image, {mul_host[0], mul_host[1], mul_host[2]},
	    {add_host[0], add_host[1], add_host[2]}, H, W, (unsigned)down, (unsigned)across,
	    (unsigned)p, (unsigned)tile, (unsigned)per_line};
	bool lines = W % 16 == 0 && (uintptr_t)image % 16 == 0 && cuda_vec8(y, 0);

	assert(p < 32768);
	if (B <= 0 || down <= 0 || across <= 0)
		return;
	cuda_of(s);
	if (lines && p == 16)
		CUDA_LAUNCH_SOON(
		    s, (lines_kernel<16, 8>), cuda_blocks(B * down * per_line, 1), THREADS, 0, a);
	else if (lines && p == 14)
		CUDA_LAUNCH_SOON(
		    s, (lines_kernel<14, 4>), cuda_blocks(B * down * per_line, 1), THREADS, 0, a);
	else
		CUDA_LAUNCH_SOON(s, patch_kernel, cuda_blocks(B * down * across, 1), THREADS, 0, a);
}
