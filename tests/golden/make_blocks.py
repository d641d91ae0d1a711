"""Writes tests/golden/blocks/blocks.safetensors: random blocks of each quantised
type that lib/blocks.c reads, with the numbers that the gguf package (made with
0.19.0, numpy 2.4.6) says they are.

	python3 tests/golden/make_blocks.py

Scales are made sane first, else most would be infinite.
"""
import os

import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType as Q
from gguf.quants import dequantize
from safetensors.numpy import save_file

rng = np.random.default_rng(20261123)
out = {}
for q, scales in ((Q.Q4_0, [0]), (Q.Q4_1, [0, 2]), (Q.Q8_0, [0]),
                  (Q.Q6_K, [208])):
    _, size = GGML_QUANT_SIZES[q]
    raw = rng.integers(0, 256, (6, size), dtype=np.uint8)
    for at in scales:
        d = (rng.standard_normal(6) * 0.1).astype(np.float16)
        raw[:, at:at + 2] = d.view(np.uint8).reshape(6, 2)
    out[q.name + ".raw"] = raw
    out[q.name + ".is"] = dequantize(raw, q).astype(np.float32)
path = os.path.join(os.path.dirname(__file__), "blocks", "blocks.safetensors")
save_file(out, path)
