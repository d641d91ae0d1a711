#!/usr/bin/env python3
"""Makes tests/golden/image/fit.txt: what transformers' processors do to
pictures of other proportions.

usage: make_fit.py DIR

Lines: width, height, pattern, seed -> fit, side, edge, filter, CRC-32 of the
side x side x 3 bytes that CLIPImageProcessorPil (squash, crop) and
LlavaImageProcessorPil (pad) give before they rescale; patterns are those of
make_image.py.  Padding has LLaVA's colour, 122 116 104.  Made with
transformers 5.23.0, Pillow 11.3.0 and numpy 2.4.6; Pillow 13 takes rows
before columns in some cases (gv-decode(1), BUGS).
"""
import importlib.util
import os
import sys
import zlib

import numpy as np
import transformers
from transformers.models.clip.image_processing_pil_clip import (
    CLIPImageProcessorPil,
)
from transformers.models.llava.image_processing_pil_llava import (
    LlavaImageProcessorPil,
)

FILTERS = ["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"]


def source(name):
    """A function of make_image.py, which is a program, not a module."""
    path = os.path.join(os.path.dirname(__file__), "make_image.py")
    text = open(path).read().split("\nos.makedirs(")[0]
    spec = importlib.util.spec_from_loader("make_image", None)
    module = importlib.util.module_from_spec(spec)
    module.__file__ = path
    exec(compile(text, path, "exec"), module.__dict__)
    return getattr(module, name)


def processed(im, fit, side, edge, resample):
    kind = LlavaImageProcessorPil if fit == "pad" else CLIPImageProcessorPil
    size = {"shortest_edge": edge}
    if fit == "squash":
        size = {"height": side, "width": side}
    p = kind(
        size=size,
        crop_size={"height": side, "width": side},
        do_center_crop=fit != "squash",
        resample=resample,
        do_rescale=False,
        do_normalize=False,
    )
    more = {"do_pad": True} if fit == "pad" else {}
    y = p(im, return_tensors="np", **more)["pixel_values"][0]
    assert y.shape == (3, side, side) and y.dtype == np.uint8, (y.dtype, y.shape)
    return np.ascontiguousarray(y.transpose(1, 2, 0)).tobytes()


def cases():
    sizes = [(1, 1), (2, 1), (1, 9), (7, 5), (5, 7), (17, 13), (64, 64),
             (33, 48), (48, 33), (100, 75), (75, 101), (3, 90), (90, 3),
             (331, 257), (256, 341)]
    sides = [(8, 8), (7, 7), (7, 10), (24, 24), (1, 1), (5, 6), (33, 33)]
    n = 0
    for i, (w, h) in enumerate(sizes):
        for fit in "crop", "pad", "squash":
            for k in range(3):
                side, edge = sides[n % len(sides)]
                if fit == "squash":
                    edge = 0
                kind = ("noise", "hard", "smooth")[n % 3]
                yield w, h, kind, i + 1, fit, side, edge, (n // 3 + 2 * k) % 6
                n += 1


if __name__ == "__main__":
    pattern = source("pattern")
    with open(os.path.join(sys.argv[1], "fit.txt"), "w") as t:
        for w, h, kind, seed, fit, side, edge, f in cases():
            b = processed(pattern(w, h, kind, seed), fit, side, edge, f)
            print(w, h, kind, seed, fit, side, edge, FILTERS[f],
                  "%08x" % zlib.crc32(b), file=t)
    print("make_fit: transformers", transformers.__version__)
