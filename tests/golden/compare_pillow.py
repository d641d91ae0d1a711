#!/usr/bin/env python3
"""Compares lib/image and lib/resize with Pillow.

usage: compare_pillow.py [BUILD_DIR [SEED [ROUNDS]]]
       compare_pillow.py BUILD_DIR --files FILE|DIR ...
       compare_pillow.py BUILD_DIR --time FILE ...
       compare_pillow.py BUILD_DIR --fast FILE|DIR ...

Random pictures: every decoded and every resized pixel must be the same.

Files, or all JPEGs and PNGs under directories: a line for each that differs,
with the number of pixels and the largest difference, and for each that only
one of both reads; then the sums.  What is compared: the decoded pixels, with
alpha dropped and over white, and those of 256x256, by gv_maker_make() and with
each instruction set that the machine has.

Times: CPU time a picture to 256x256 pixels, bicubic, ours and Pillow's by
turns in one thread; medians of the rounds.

Fast: how far `gv-decode --fast` is from the exact pixels, at sizes where it does
something.

Needs a built tree, a C compiler, Pillow >= 10 and numpy; `make check` does not
run it.
"""
import ctypes
import io
import os
import random
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import zlib

import numpy as np
import PIL
from PIL import Image, ImageFile, ImageOps

build = sys.argv[1] if len(sys.argv) > 1 else "build"
mode = sys.argv[2] if sys.argv[2:3] else ""
files = sys.argv[3:] if mode in ("--files", "--time", "--fast") else None
if files:
    del sys.argv[2:]
seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 300
ImageFile.MAXBLOCK = 1 << 22  # for the encoder
rnd = random.Random(seed)
nprnd = np.random.default_rng(seed)
FILTERS = [Image.BICUBIC, Image.BILINEAR, Image.LANCZOS]
SUBSAMPLING = {"4:4:4": 0, "4:2:2": 1, "4:2:0": 2}


class Error(ctypes.Structure):
    _fields_ = [("code", ctypes.c_int), ("errno", ctypes.c_int),
                ("msg", ctypes.c_char * 512)]


class Gv(ctypes.Structure):
    _fields_ = [("width", ctypes.c_int32), ("height", ctypes.c_int32),
                ("px", ctypes.c_void_p)]


class Rule(ctypes.Structure):
    _fields_ = [("height", ctypes.c_int32), ("width", ctypes.c_int32),
                ("fit", ctypes.c_int), ("filter", ctypes.c_int),
                ("edge", ctypes.c_int32), ("fill", ctypes.c_uint8 * 3),
                ("fast", ctypes.c_bool)]


class Limits(ctypes.Structure):
    _fields_ = [("max_pixels", ctypes.c_uint64), ("max_side", ctypes.c_uint32),
                ("max_scans", ctypes.c_uint), ("max_bytes", ctypes.c_uint64),
                ("max_seconds", ctypes.c_double), ("lenient", ctypes.c_bool),
                ("over", ctypes.c_bool), ("under", ctypes.c_uint8 * 3)]


def load():
    so = os.path.join(tempfile.mkdtemp(), "image.so")
    objs = [f"{build}/lib/{n}.o" for n in
            "err mem io image image_jpeg image_png fit resize "
            "resize_pass ycc".split()]
    subprocess.check_call(["cc", "-shared", "-o", so, *objs,
                           "-ljpeg", "-lpng16", "-lm"])
    return ctypes.CDLL(so)


lib = load()


def limits(over):
    lim = Limits()
    lib.gv_image_limits_default(ctypes.byref(lim))
    lim.max_pixels, lim.over = 1 << 28, over
    return lim


def make(data, w, h, over, fast=False):
    out = np.full((h, w, 3), 0xA5, np.uint8)
    size, rule, e = (ctypes.c_int32 * 2)(), Rule(h, w, fast=fast), Error()
    m = ctypes.c_void_p()
    if lib.gv_maker_open(ctypes.byref(m), ctypes.byref(rule),
                         ctypes.byref(limits(over)), ctypes.byref(e)) or \
       lib.gv_maker_make(m, ctypes.c_void_p(out.ctypes.data), size, data,
                         ctypes.c_size_t(len(data)), ctypes.byref(e)):
        raise ValueError(e.msg.decode())
    lib.gv_maker_close(ctypes.byref(m))
    return out


def decode(data, over=False):
    im, e = Gv(), Error()
    if lib.gv_image_decode(ctypes.byref(im), data, ctypes.c_size_t(len(data)),
                           ctypes.byref(limits(over)), ctypes.byref(e)):
        raise ValueError(e.msg.decode())
    n = im.width * im.height * 3
    a = np.frombuffer(ctypes.string_at(im.px, n), np.uint8)
    a = a.reshape(im.height, im.width, 3)
    lib.gv_image_free(ctypes.byref(im))
    return a


def resize(a, w, h, f, isa=0):
    a = np.ascontiguousarray(a)
    out = np.full((h, w, 3), 0xA5, np.uint8)
    im = Gv(a.shape[1], a.shape[0], a.ctypes.data)
    rule, e = Rule(h, w, 0, f), Error()
    if lib.gv_image_resize_isa(ctypes.c_void_p(out.ctypes.data),
                               ctypes.byref(im), ctypes.byref(rule),
                               ctypes.c_int(isa), ctypes.byref(e)):
        raise ValueError(e.msg.decode())
    return out


def versions():
    """Of the inner loops, those that this machine has."""
    for isa, name in enumerate(("C", "AVX2", "AVX-512"), 1):
        try:
            resize(np.zeros((1, 1, 3), np.uint8), 1, 1, 0, isa)
        except ValueError:
            continue
        yield isa, name


def picture(w, h):
    """Noise, or something smooth with hard edges."""
    if rnd.random() < .4:
        return nprnd.integers(0, 256, (h, w, 3), dtype=np.uint8)
    y, x = np.mgrid[0:h, 0:w]
    k = nprnd.uniform(0, .3, 6)
    a = np.stack([127 + 127 * np.sin(k[2 * c] * x + k[2 * c + 1] * y)
                  for c in range(3)], -1)
    a[(x // 7 + y // 5) % 4 == 0] = nprnd.integers(0, 256, 3)
    return a.astype(np.uint8)


def same(what, got, want):
    if got.shape != want.shape or not np.array_equal(got, want):
        n = "shapes" if got.shape != want.shape else int((got != want).sum())
        sys.exit(f"compare_pillow: {what} (seed {seed}): {n} differ, "
                 f"{got.shape} {want.shape}")


def reference(data, over=False):
    im = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if over and (im.mode in ("LA", "RGBA", "PA") or "transparency" in im.info):
        im = im.convert("RGBA")
        im = Image.alpha_composite(
            Image.new("RGBA", im.size, (255, 255, 255, 255)), im)
    return np.asarray(im.convert("RGB"))


def resized(a, w, h):
    """As Pillow up to 12.1 does it in one call: columns first."""
    return np.asarray(Image.fromarray(a).resize((w, a.shape[0]), Image.BICUBIC)
                      .resize((w, h), Image.BICUBIC))


def side():
    return rnd.choice([1, 2, 3, rnd.randint(1, 20), rnd.randint(1, 90),
                       rnd.randint(1, 700)])


def check_resize():
    for i in range(rounds):
        w, h, ow, oh = side(), side(), side(), side()
        if i % 5 == 0:
            ow = w
        if i % 7 == 0:
            oh = h
        a, f = picture(w, h), rnd.randrange(3)
        # Up to 12.1 one call is the same; from 12.2 on Pillow may resize rows
        # first where the height shrinks much more than the width.
        want = np.asarray(Image.fromarray(a).resize((ow, h), FILTERS[f])
                          .resize((ow, oh), FILTERS[f]))
        for isa, name in versions():
            same(f"resize {w}x{h} to {ow}x{oh} filter {f} {name}",
                 resize(a, ow, oh, f, isa), want)
    return rounds


def check_jpeg():
    for i in range(rounds):
        a = picture(side(), side())
        mode = rnd.choice(["L", "RGB", "RGB", "RGB", "CMYK"])
        opt = {"quality": rnd.randint(5, 100),
               "progressive": rnd.random() < .4,
               "optimize": rnd.random() < .3}
        if mode == "RGB":
            opt["subsampling"] = rnd.choice(list(SUBSAMPLING.values()))
            opt["keep_rgb"] = opt["subsampling"] == 0 and rnd.random() < .2
        if rnd.random() < .3:
            opt["restart_marker_blocks"] = rnd.randint(1, 9)
        exif = Image.Exif()
        if rnd.random() < .5:
            exif[0x0112] = rnd.randint(0, 9)
            opt["exif"] = exif
        f = io.BytesIO()
        Image.fromarray(a).convert(mode).save(f, "JPEG", **opt)
        data = f.getvalue()
        want = reference(data)
        same(f"jpeg {a.shape} {mode} {opt}", decode(data), want)
        same(f"jpeg made {a.shape} {mode} {opt}", make(data, 41, 33, False),
             resized(want, 41, 33))
    return rounds


def chunk(t, d):
    return struct.pack(">I", len(d)) + t + d + struct.pack(
        ">I", zlib.crc32(t + d))


def adam7(w, h, bits, raw_row):
    """The seven passes of an interlaced picture, unfiltered."""
    out = b""
    for x0, y0, dx, dy in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8),
                           (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
                           (0, 1, 1, 2)):
        for y in range(y0, h, dy):
            xs = range(x0, w, dx)
            if len(xs):
                out += b"\0" + pack(bits, [raw_row(y)[x] for x in xs])
    return out


def pack(bits, px):
    """Pixels given as whole numbers of `bits` bits, most significant first."""
    n = 0
    for p in px:
        n = n << bits | p
    pad = -len(px) * bits % 8
    return (n << pad).to_bytes((len(px) * bits + pad) // 8, "big")


def check_png():
    kinds = [(0, d, 1) for d in (1, 2, 4, 8, 16)] + \
        [(3, d, 1) for d in (1, 2, 4, 8)] + \
        [(2, 8, 3), (2, 16, 3), (4, 8, 2), (4, 16, 2), (6, 8, 4), (6, 16, 4)]
    for i in range(rounds):
        ctype, depth, samples = kinds[i % len(kinds)]
        w, h = rnd.randint(1, 40), rnd.randint(1, 40)
        bits = depth * samples
        rows = [[rnd.getrandbits(bits) for _ in range(w)] for _ in range(h)]
        inter = rnd.random() < .4
        if inter:
            raw = adam7(w, h, bits, lambda y: rows[y])
        else:
            raw = b"".join(b"\0" + pack(bits, r) for r in rows)
        extra = b""
        if ctype == 3:
            n = rnd.randint(1, 1 << depth)
            extra += chunk(b"PLTE", nprnd.bytes(3 * n))
            if rnd.random() < .4:
                extra += chunk(b"tRNS", nprnd.bytes(rnd.randint(1, n)))
        elif ctype == 0 and rnd.random() < .3:
            extra += chunk(b"tRNS", b"\0\1")
        elif ctype == 2 and rnd.random() < .3:
            extra += chunk(b"tRNS", b"\0\1\0\2\0\3")
        if rnd.random() < .5:
            e = struct.pack(">2sHIHHHIHHI", b"MM", 42, 8, 1, 0x112, 3, 1,
                            rnd.randint(0, 9), 0, 0)
            extra += chunk(b"eXIf", e)
        data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(
            ">IIBBBBB", w, h, depth, ctype, 0, 0, inter)) + \
            chunk(b"gAMA", b"\0\0\x86\xa0") + extra + \
            chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
        same(f"png {w}x{h} type {ctype} depth {depth} interlaced {inter}",
             decode(data), reference(data))
        same(f"png over white {w}x{h} type {ctype} depth {depth} {extra}",
             decode(data, True), reference(data, True))
        same(f"png made {w}x{h} type {ctype} depth {depth} {extra}",
             make(data, 41, 33, True),
             resized(reference(data, True), 41, 33))
    return rounds


def names():
    for f in files:
        if not os.path.isdir(f):
            yield f
            continue
        for d, _, fs in sorted(os.walk(f)):
            yield from (os.path.join(d, n) for n in sorted(fs)
                        if n.lower().endswith((".jpg", ".jpeg", ".png")))


def attempt(f, *args):
    try:
        return f(*args), ""
    except Exception as e:  # whatever Pillow raises
        return None, str(e) or type(e).__name__


def check_files():
    """Counts: files, the same, differing, and read by one or none of both."""
    n = {"files": 0, "same": 0, "differ": 0, "only Pillow": 0, "only we": 0,
         "neither": 0}
    pixels = different = 0
    for name in names():
        with open(name, "rb") as f:
            data = f.read()
        n["files"] += 1
        lines = []
        for what, over in (("decode", False), ("white", True)):
            got, ours = attempt(decode, data, over)
            want, theirs = attempt(reference, data, over)
            if got is None or want is None:
                kind = ("neither" if got is want else
                        "only Pillow" if got is None else "only we")
                lines = [f"{kind}: {ours} | {theirs}"]
                break
            if got.shape != want.shape:
                lines.append(f"{what}: {got.shape}, not {want.shape}")
                continue
            far = np.abs(got.astype(int) - want).max(-1)
            pixels += far.size
            different += int((far > 0).sum())
            if far.any():
                lines.append(f"{what}: {(far > 0).sum()} of {far.size} pixels"
                             f", by up to {far.max()}")
            small = resized(got, 256, 256)
            far = np.abs(make(data, 256, 256, over).astype(int) - small).max()
            if far:
                lines.append(f"{what}: made ones differ by up to {far}")
            lines += [f"{what}: resized by {isa_name}, some differ"
                      for isa, isa_name in versions()
                      if (resize(got, 256, 256, 0, isa) != small).any()]
        else:
            kind = "differ" if lines else "same"
        n[kind] += 1
        for line in lines:
            print(f"{name}: {line}")
    print(f"compare_pillow: Pillow {PIL.__version__}:", *(
        f"{v} {k}," for k, v in n.items()),
        f"{different} of {pixels} pixels differ")


def check_times():
    datas = [open(f, "rb").read() for f in files]
    m, e, rule = ctypes.c_void_p(), Error(), Rule(256, 256, 0, 0)
    size, out = (ctypes.c_int32 * 2)(), np.empty((256, 256, 3), np.uint8)
    lib.gv_maker_open(ctypes.byref(m), ctypes.byref(rule), None,
                      ctypes.byref(e))
    times = {"ours": [], "Pillow": []}
    for _ in range(31):
        t = time.process_time()
        for d in datas:
            lib.gv_maker_make(m, ctypes.c_void_p(out.ctypes.data), size, d,
                              ctypes.c_size_t(len(d)), ctypes.byref(e))
        times["ours"].append(time.process_time() - t)
        t = time.process_time()
        for d in datas:
            im = Image.open(io.BytesIO(d)).convert("RGB")
            im.resize((256, 256), Image.BICUBIC)
        times["Pillow"].append(time.process_time() - t)
    ours, theirs = (1e3 * statistics.median(v) / len(datas)
                    for v in times.values())
    print(f"{len(datas)} pictures: {ours:.3f} ms, Pillow {PIL.__version__} "
          f"{theirs:.3f} ms: x{theirs / ours:.2f}")


def check_fast():
    for size in (64, 128, 256, 384):
        n, worst, means, share, psnr = 0, 0, [], [], []
        for name in names():
            with open(name, "rb") as f:
                data = f.read()
            if data[:2] != b"\xff\xd8":
                continue
            got, _ = attempt(make, data, size, size, False, True)
            want, _ = attempt(make, data, size, size, False)
            if got is None or (got == want).all():
                continue
            far = np.abs(got.astype(int) - want)
            n += 1
            worst = max(worst, int(far.max()))
            means.append(far.mean())
            share.append((far > 4).mean())
            psnr.append(10 * np.log10(255 ** 2 / (far ** 2).mean()))
        if n:
            print(f"{size}x{size}: {n} pictures differ; samples by "
                  f"{np.mean(means):.2f} on average ({max(means):.2f} in the "
                  f"worst picture), {100 * np.mean(share):.2f} % "
                  f"({100 * max(share):.2f} %) by more than 4, at most "
                  f"{worst}; PSNR {np.mean(psnr):.1f} ({min(psnr):.1f}) dB")


def main():
    if mode == "--time":
        check_times()
        return
    if mode == "--fast":
        check_fast()
        return
    if files:
        Image.MAX_IMAGE_PIXELS = None
        check_files()
        return
    n = check_resize() + check_jpeg() + check_png()
    print(f"compare_pillow: {n} pictures, Pillow {PIL.__version__}, "
          f"seed {seed}: every pixel the same")


main()
