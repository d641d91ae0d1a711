/* Rows that several blocks share: a cluster of P blocks (sm_90), which see each
 * other's shared memory, or for P = 1 a block alone, on any device.
 *
 * A kernel with P > 1 is declared with CLUSTER(P) and launched with a grid that
 * P divides; row b belongs to the blocks bP .. bP + P - 1.  A block's shared
 * memory lives until it ends, so row_sync() stands between the last look into
 * another's and the end.
 */
#ifndef GVK_CUDA_CLUSTER_CUH
#define GVK_CUDA_CLUSTER_CUH

#include "cuda.h"

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
#define CLUSTER(P) __cluster_dims__(P, 1, 1)
#else
#define CLUSTER(P) /* compiled for these, never launched there with P > 1 */
#endif

/* All threads of the row's blocks, in order: what each wrote before to shared
 * memory, the others see behind it. */
template <int P>
static __device__ __forceinline__ void
row_sync(void)
{
#if __CUDA_ARCH__ >= 900
	if (P > 1) {
		asm volatile("barrier.cluster.arrive.release.aligned;\n"
			     "barrier.cluster.wait.acquire.aligned;" ::
				 : "memory");
		return;
	}
#endif
	__syncthreads();
}

/* The object at this address of shared memory, in block `part` of the row. */
template <int P, class T>
static __device__ __forceinline__ const T *
row_peer(const T *here, int part)
{
#if __CUDA_ARCH__ >= 900
	if (P > 1) {
		const T *there;

		asm("mapa.u64 %0, %1, %2;" : "=l"(there) : "l"(here), "r"(part));
		return there;
	}
#endif
	(void)part;
	return here;
}

#endif
