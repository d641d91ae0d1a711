#!/usr/bin/env python3
"""Makes tests/golden/image/tiles.txt: how transformers' processors divide
pictures into tiles.

usage: make_tiles.py DIR
       make_tiles.py --compare GV-DECODE [PICTURE ...]

Lines: width, height, pattern, seed, the side of a tile, "split LONGEST" or
"grid RxC,RxC,..." -> rows, columns, squares, CRC-32 of their bytes, as
Idefics3ImageProcessorPil and LlavaNextImageProcessorPil give them before they
rescale; patterns are those of make_image.py.  The second form compares a built
gv-decode on pictures of any kind instead.  Made with transformers 5.23.0,
Pillow 11.3.0 and numpy 2.4.6; Pillow 13 takes rows before columns in some cases
(gv-decode(1), BUGS).
"""
import random
import subprocess
import sys
import zlib

import numpy as np
from make_fit import source
from PIL import Image, ImageOps
from transformers.models.idefics3.image_processing_pil_idefics3 import (
    Idefics3ImageProcessorPil,
)
from transformers.models.llava_next.image_processing_pil_llava_next import (
    LlavaNextImageProcessorPil,
)
from transformers.models.smolvlm.image_processing_pil_smolvlm import (
    SmolVLMImageProcessorPil,
)

PLAIN = {"do_rescale": False, "do_normalize": False}
LLAVA = [(1, 2), (2, 1), (2, 2), (3, 1), (1, 3)]


def split(im, side, longest, kind=Idefics3ImageProcessorPil):
    p = kind(size={"longest_edge": longest}, max_image_size={"longest_edge": side},
             return_row_col_info=True, do_pad=True, **PLAIN)
    y = p([[im]], return_tensors="np")
    return y["rows"][0][0], y["cols"][0][0], y["pixel_values"][0]


def grid(im, side, grids):
    p = LlavaNextImageProcessorPil(
        size={"shortest_edge": side}, crop_size={"height": side, "width": side},
        image_grid_pinpoints=[[r * side, c * side] for r, c in grids], **PLAIN)
    y = p(im, return_tensors="np")["pixel_values"][0]
    return y


def chosen(im, side, grids):
    from transformers.image_processing_utils import select_best_resolution
    h, w = select_best_resolution(
        im.size[::-1], [[r * side, c * side] for r, c in grids])
    return h // side, w // side


def squares(im, side, way, arg, kind=Idefics3ImageProcessorPil):
    """Rows, columns and (n, side, side, 3) bytes."""
    if way == "split":
        rows, cols, y = split(im, side, int(arg), kind)
    else:
        grids = [tuple(map(int, g.split("x"))) for g in arg.split(",")]
        rows, cols = chosen(im, side, grids)
        y = grid(im, side, grids)
    assert y.shape[1:] == (3, side, side), y.shape
    z = np.ascontiguousarray(y.transpose(0, 2, 3, 1))
    assert (z == z.astype(np.uint8)).all()
    return rows, cols, z.astype(np.uint8)


def ways():
    r = random.Random(7)
    text = ",".join("%dx%d" % g for g in LLAVA)
    many = ",".join("%dx%d" % (a, b) for a in range(1, 7) for b in range(1, 7)
                    if a * b > 1 and a * b < 10)
    for side in 8, 13, 24:
        yield side, "grid", text
        yield side, "grid", many
        yield side, "split", str(4 * side)
        yield side, "split", str(r.randrange(side, 6 * side))
    yield 512, "split", "2048"


def make(where):
    pattern = source("pattern")
    sizes = [(1, 1), (2, 1), (1, 9), (17, 13), (24, 24), (33, 48), (100, 75),
             (75, 101), (3, 90), (90, 3), (331, 257), (13, 39), (8, 16)]
    with open(where + "/tiles.txt", "w") as f:
        for i, (w, h) in enumerate(sizes):
            for j, (side, way, arg) in enumerate(ways()):
                if side == 512 and (w, h) != (331, 257):
                    continue
                kind = ("noise", "hard", "smooth")[(i + j) % 3]
                rows, cols, y = squares(
                    pattern(w, h, kind, i + 1), side, way, arg)
                print(w, h, kind, i + 1, side, way, arg, rows, cols, len(y),
                      "%08x" % zlib.crc32(y.tobytes()), file=f)


def compare(program, paths):
    bad = n = total = 0
    for path in paths:
        im = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
        for side, way, arg in ((336, "grid", ",".join("%dx%d" % g for g in LLAVA)),
                               (364, "split", "1456"), (512, "split", "2048")):
            kind = SmolVLMImageProcessorPil if side == 512 else Idefics3ImageProcessorPil
            rows, cols, y = squares(im, side, way, arg, kind)
            how = ["--longest", arg] if way == "split" else ["--grids", arg]
            out = subprocess.run(
                [program, "-s", str(side), "--fit", "tile", "--filter",
                 "lanczos" if way == "split" else "bicubic", *how,
                 "--background", "none", path], capture_output=True, check=True).stdout
            n += 1
            total += y.size // 3
            if y.tobytes() not in out:
                bad += 1
                print("differs:", path, side, way, rows, cols)
    print("%d pictures, %d ways, %d pixels, %d differ" % (len(paths), n, total, bad))
    return bad


if __name__ == "__main__":
    if sys.argv[1] == "--compare":
        sys.exit(compare(sys.argv[2], sys.argv[3:]) != 0)
    make(sys.argv[1])
