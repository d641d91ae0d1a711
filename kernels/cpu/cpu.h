/* Inside the CPU backend: every file is compiled once an instruction set, and
 * CPU(name) gives a symbol the suffix of the one it is compiled for.
 *
 * Rules: storage is float.  Work is split into parts that depend on the shape
 * only, never on the number of threads, so that results don't either.
 * Reductions run in a fixed order.  Loops over channels are written so that
 * the compiler vectorises them (`#pragma omp simd`).
 */
#ifndef GVK_CPU_H
#define GVK_CPU_H

#include "backend.h"

#define CPU_PASTE2(name, isa) gvk_cpu_##name##_##isa
#define CPU_PASTE(name, isa) CPU_PASTE2(name, isa)
#define CPU(name) CPU_PASTE(name, GVK_ISA)

/* Every op of the backend, CPU(linear), CPU(rope), ... */
#define X(name, params, args) void CPU(name) params;
GVK_OPS(X)
#undef X
size_t CPU(attention_bwd_ws)(const struct gvk *k, const struct gvk_attn *a,
    int64_t Nq);
size_t CPU(xent_ws)(const struct gvk *k, int64_t N, int64_t C, int64_t V);
size_t CPU(sample_ws)(const struct gvk *k, int64_t B, int64_t V);

extern const struct gvk_ops CPU(ops); /* table.c */

static inline int64_t
cpu_min(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

#endif
