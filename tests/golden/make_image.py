#!/usr/bin/env python3
"""Makes tests/golden/image/: what Pillow says about decoding and resizing.

usage: make_image.py DIR

decode.txt: one picture a line: file, width, height, CRC-32 of the RGB bytes of
ImageOps.exif_transpose(Image.open(file)).convert("RGB").
resize.txt: width, height, pattern, seed -> new width, new height, filter,
CRC-32; patterns are those of pattern() below, which tests/unit/resize.c makes
again.  Made with Pillow 11.3.0 (libjpeg-turbo 3.1.1) and cjpeg
of libjpeg-turbo 2.1.5; everything is seeded, so a second run gives the same
files.
"""
import io
import os
import struct
import subprocess
import sys
import zlib

import PIL
from PIL import Image, ImageOps

sys.path.insert(0, os.path.dirname(__file__))
out = sys.argv[1]
FILTERS = {"bicubic": Image.BICUBIC, "bilinear": Image.BILINEAR,
           "lanczos": Image.LANCZOS}


def noise(n, seed):
    """n bytes of a linear congruential generator's top byte."""
    s, b = seed, bytearray(n)
    for i in range(n):
        s = (s * 1664525 + 1013904223) & 0xffffffff
        b[i] = s >> 24
    return bytes(b)


def pattern(w, h, kind, seed):
    """noise; only 0 and 255 (overshoots clip); a smooth one with edges."""
    if kind == "smooth":
        b = bytearray()
        for y in range(h):
            for x in range(w):
                for c in range(3):
                    edge = 96 if (x // 9 + y // 6 + seed) % 3 == c else 0
                    b.append((x * (c + 1) + y * (3 - c) + edge) & 255)
        b = bytes(b)
    else:
        b = noise(w * h * 3, seed)
        if kind == "hard":
            b = bytes(255 if v & 128 else 0 for v in b)
    return Image.frombytes("RGB", (w, h), b)


def resize_cases():
    sizes = [(1, 1, 1, 2), (1, 1, 7, 5), (2, 1, 1, 1), (1, 9, 1, 4),
             (3, 3, 2, 2), (4, 4, 3, 5), (5, 3, 16, 16), (6, 7, 6, 3),
             (7, 6, 3, 6), (17, 13, 5, 29), (64, 64, 64, 64),
             (64, 64, 224, 224), (65, 63, 64, 64), (640, 480, 256, 256),
             (331, 257, 64, 64), (200, 300, 384, 384), (1, 700, 64, 64),
             (700, 1, 64, 64), (900, 3, 16, 48), (3, 900, 48, 16),
             (33, 47, 1, 1), (255, 256, 256, 255), (128, 128, 1, 200),
             (100, 75, 101, 76), (480, 640, 336, 336)]
    for i, (w, h, ow, oh) in enumerate(sizes):
        for j, f in enumerate(FILTERS):
            kind = ("noise", "hard", "smooth")[(i + j) % 3]
            yield w, h, kind, i + 1, ow, oh, f


def make_resize():
    with open(os.path.join(out, "resize.txt"), "w") as t:
        for w, h, kind, seed, ow, oh, f in resize_cases():
            im = pattern(w, h, kind, seed)
            # two calls: the order of the passes does not depend on Pillow
            im = im.resize((ow, h), FILTERS[f]).resize((ow, oh), FILTERS[f])
            print(w, h, kind, seed, ow, oh, f,
                  "%08x" % zlib.crc32(im.tobytes()), file=t)


def save(name, data):
    with open(os.path.join(out, name), "wb") as f:
        f.write(data)


def jpeg(name, im, **opt):
    f = io.BytesIO()
    im.save(f, "JPEG", **opt)
    save(name, f.getvalue())
    return f.getvalue()


def cjpeg(name, im, *args):
    f = io.BytesIO()
    im.save(f, "PPM")
    save(name, subprocess.run(["cjpeg", *args], input=f.getvalue(), check=True,
                              stdout=subprocess.PIPE).stdout)


def adobe(data, transform):
    """The same file with another colour transform in its Adobe marker."""
    at = data.index(b"\xff\xee\x00\x0eAdobe")
    return data[:at + 15] + bytes([transform]) + data[at + 16:]


def make_jpeg():
    im = pattern(37, 27, "smooth", 1)
    for s in ("4:4:4", "4:2:2", "4:2:0"):
        jpeg("base-%s.jpg" % s.replace(":", ""), im, subsampling=s)
    cjpeg("base-440.jpg", im, "-sample", "1x2")
    cjpeg("base-411.jpg", im, "-sample", "4x1")
    cjpeg("base-410.jpg", im, "-sample", "4x2")
    cjpeg("odd-sampling.jpg", im, "-sample", "2x2,1x2,2x1")
    cjpeg("arithmetic.jpg", im, "-arithmetic")
    cjpeg("rgb.jpg", im, "-rgb")
    jpeg("progressive.jpg", im, progressive=True, quality=90)
    jpeg("optimised.jpg", im, optimize=True, quality=30)
    jpeg("restart.jpg", im, restart_marker_blocks=2)
    jpeg("best.jpg", im, quality=100)
    jpeg("grey.jpg", im.convert("L"))
    jpeg("grey-progressive.jpg", im.convert("L"), progressive=True)
    c = jpeg("cmyk.jpg", im.convert("CMYK"))
    save("ycck.jpg", adobe(c, 2))
    at = c.index(b"\xff\xee\x00\x0e")
    save("cmyk-plain.jpg", c[:at] + c[at + 16:])
    jpeg("one.jpg", pattern(1, 1, "noise", 3))
    exif = Image.Exif()
    exif[0x0112] = 6
    jpeg("turned.jpg", im, exif=exif, subsampling=2)


def chunk(t, d):
    return struct.pack(">I", len(d)) + t + d + struct.pack(
        ">I", zlib.crc32(t + d))


PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4),
          (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def png(name, ctype, depth, interlaced, extra=b"", w=13, h=11):
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[ctype]
    bits = depth * samples
    raw = iter(noise(w * h * bits // 8 + w * h + 8, 7 * ctype + depth))
    px = [[int.from_bytes(bytes(next(raw) for _ in range((bits + 7) // 8)),
                          "big") & ((1 << bits) - 1)
           for _ in range(w)] for _ in range(h)]
    data = b""
    for x0, y0, dx, dy in PASSES if interlaced else ((0, 0, 1, 1),):
        for y in range(y0, h, dy):
            row = px[y][x0::dx]
            if not row:
                continue
            n = 0
            for p in row:
                n = n << bits | p
            pad = -len(row) * bits % 8
            data += b"\0" + (n << pad).to_bytes(
                (len(row) * bits + pad) // 8, "big")
    save(name, b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(
        ">IIBBBBB", w, h, depth, ctype, 0, 0, interlaced)) + extra +
        chunk(b"IDAT", zlib.compress(data, 9)) + chunk(b"IEND", b""))


def make_png():
    for d in (1, 2, 4, 8, 16):
        png("grey%d.png" % d, 0, d, 0)
        png("grey%d-i.png" % d, 0, d, 1, chunk(b"tRNS", b"\0\1"))
    for d in (1, 2, 4, 8):
        full = chunk(b"PLTE", noise(3 << d, d))
        png("palette%d.png" % d, 3, d, 0, full)
        png("palette%d-i.png" % d, 3, d, 1,
            full + chunk(b"tRNS", b"\0\x80"))
    png("palette-short.png", 3, 8, 0, chunk(b"PLTE", noise(15, 5)))
    for d in (8, 16):
        png("rgb%d.png" % d, 2, d, 0)
        png("rgb%d-i.png" % d, 2, d, 1,
            chunk(b"gAMA", struct.pack(">I", 100000)) +
            chunk(b"tRNS", bytes(6)))
        png("greyalpha%d.png" % d, 4, d, 0)
        png("rgba%d.png" % d, 6, d, 0)
        png("rgba%d-i.png" % d, 6, d, 1)
    f = io.BytesIO()
    pattern(60, 50, "smooth", 2).save(f, "PNG")
    save("filtered.png", f.getvalue())


def make_decode():
    make_jpeg()
    make_png()
    names = sorted(n for n in os.listdir(out) if not n.endswith(".txt"))
    with open(os.path.join(out, "decode.txt"), "w") as t:
        for n in names:
            im = Image.open(os.path.join(out, n))
            im = ImageOps.exif_transpose(im).convert("RGB")
            print(n, *im.size, "%08x" % zlib.crc32(im.tobytes()), file=t)


os.makedirs(out, exist_ok=True)
make_resize()
make_decode()
print("make_image: Pillow", PIL.__version__)
