/* The table of the CPU backend's ops for one instruction set. */
#include "cpu.h"

const struct gvk_ops CPU(ops) = {
#define X(name, params, args) .name = CPU(name),
    GVK_OPS(X)
#undef X
	.attention_bwd_ws = CPU(attention_bwd_ws),
    .xent_ws = CPU(xent_ws),
    .sample_ws = CPU(sample_ws),
};
