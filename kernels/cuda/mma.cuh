/* A warp's matrix product of bf16 (mma m16n8k16), for rows read straight from
 * global memory: z (16,8) += a (16,k) b (8,k)^T over 32 k.
 *
 * Lane 4 r + t holds z of rows r and r + 8, columns 2t and 2t + 1, in this
 * order.  Of a it has rows r and r + 8, of b row r, and of each the 16 bytes at
 * column 8 t.  The hardware wants other columns in a lane, but a sum over k may
 * take them in any order, as long as a and b agree.
 */
#ifndef GVK_CUDA_MMA_CUH
#define GVK_CUDA_MMA_CUH

#include "cuda.h"

/* One instruction: 16 k, of which a lane has two words a row. */
static __device__ __forceinline__ void
mma16(float (&z)[4], unsigned lo0, unsigned hi0, unsigned lo1, unsigned hi1, unsigned b0,
    unsigned b1)
{
	asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
	    "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
	    : "+f"(z[0]), "+f"(z[1]), "+f"(z[2]), "+f"(z[3])
	    : "r"(lo0), "r"(hi0), "r"(lo1), "r"(hi1), "r"(b0), "r"(b1));
}

static __device__ __forceinline__ void
mma32(float (&z)[4], const uint4 lo, const uint4 hi, const uint4 b)
{
	mma16(z, lo.x, hi.x, lo.y, hi.y, b.x, b.y);
	mma16(z, lo.z, hi.z, lo.w, hi.w, b.z, b.w);
}

#endif
