#!/usr/bin/env python3
"""Makes the first files of tests/fuzz/corpus/{picture,exif,tar,resize}: small
ones of every kind that the readers know, and some that they must refuse.

    python3 tests/fuzz/seeds.py        # Pillow 12, libjpeg-turbo's cjpeg 2.1

What a fuzzer found is added beside them by hand, under the name of what it is.
"""

import io
import os
import random
import struct
import subprocess
import tarfile
import zlib

from PIL import Image

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus")


def put(target, name, data):
    os.makedirs(os.path.join(HERE, target), exist_ok=True)
    with open(os.path.join(HERE, target, name), "wb") as f:
        f.write(data)


def picture(w, h, mode="RGB", seed=1):
    r = random.Random(seed)
    im = Image.new("RGB", (w, h))
    im.putdata([(x * 9 % 256, y * 7 % 256, r.randrange(256) // 4)
                for y in range(h) for x in range(w)])
    return im.convert(mode)


def saved(im, **how):
    f = io.BytesIO()
    im.save(f, **how)
    return f.getvalue()


def cjpeg(im, *args):
    return subprocess.run(["cjpeg", *args], input=saved(im, format="PPM"),
                          stdout=subprocess.PIPE, check=True).stdout


def exif(order, entries, first=8):
    o = "<" if order == b"II" else ">"
    b = order + struct.pack(o + "HI", 42, first) + b"\0" * (first - 8)
    b += struct.pack(o + "H", len(entries))
    for tag, kind, count, value in entries:
        b += struct.pack(o + "HHI", tag, kind, count)
        b += struct.pack(o + ("HH" if kind == 3 else "I"),
                         *((value, 0) if kind == 3 else (value,)))
    return b + b"\0\0\0\0"


def chunk(kind, data):
    return (struct.pack(">I", len(data)) + kind + data +
            struct.pack(">I", zlib.crc32(kind + data)))


def pictures():
    im = picture(13, 9)
    for s in "1x1", "2x1", "1x2", "2x2", "4x1":
        put("picture", f"{s}.jpg", cjpeg(im, "-sample", s))
    put("picture", "progressive.jpg", cjpeg(im, "-progressive"))
    put("picture", "arithmetic.jpg", cjpeg(im, "-arithmetic"))
    put("picture", "restart.jpg", cjpeg(im, "-restart", "1"))
    put("picture", "rgb.jpg", cjpeg(im, "-rgb"))
    put("picture", "grey.jpg", saved(im.convert("L"), format="JPEG"))
    put("picture", "cmyk.jpg", saved(im.convert("CMYK"), format="JPEG"))
    for k in 3, 6, 8:
        put("picture", f"turned{k}.jpg",
            saved(im, format="JPEG",
                  exif=b"Exif\0\0" + exif(b"MM", [(0x112, 3, 1, k)])))
    put("picture", "cut.jpg", cjpeg(im)[:-30])
    for mode in "1", "L", "P", "LA", "RGB", "RGBA":
        data = picture(7, 5, "L" if mode == "LA" else mode)
        put("picture", f"{mode.lower()}.png",
            saved(data.convert(mode), format="PNG"))
    put("picture", "grey16.png",
        saved(Image.new("I;16", (5, 4), 300), format="PNG"))
    put("picture", "keyed.png",
        saved(picture(7, 5), format="PNG", transparency=(0, 0, 0)))
    put("picture", "turned.png",
        saved(picture(7, 5), format="PNG", exif=exif(b"II", [(0x112, 3, 1, 5)])))
    rows = b"".join(b"\4" + bytes(range(12)) for _ in range(3))
    head = b"\x89PNG\r\n\x1a\n"
    for name, depth, kind, lace, data in (
            ("laced.png", 8, 2, 1, b"\0\1\2\3" * 40), ("rows.png", 8, 2, 0, rows),
            ("fat.png", 8, 2, 0, rows + bytes(1 << 16)), ("short.png", 8, 2, 0, rows[:20]),
            ("rgb16.png", 16, 2, 0, (b"\1" + bytes(24)) * 3)):
        put("picture", name, head
            + chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 3, depth, kind, 0, 0, lace))
            + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b""))
    put("picture", "wide.png", head + chunk(
        b"IHDR", struct.pack(">IIBBBBB", 1 << 30, 1 << 30, 8, 2, 0, 0, 0)))
    put("picture", "webp", b"RIFF\x1a\0\0\0WEBPVP8 ")
    put("picture", "empty", b"")


def exifs():
    for order in b"II", b"MM":
        for k in range(10):
            put("exif", f"{order.decode()}{k}", exif(order, [(0x112, 3, 1, k)]))
    put("exif", "long", exif(b"II", [(0x112, 4, 1, 6)]))
    put("exif", "later", exif(b"MM", [(0x10f, 4, 1, 6), (0x112, 3, 1, 6)], 20))
    put("exif", "two", exif(b"MM", [(0x112, 3, 2, 3), (0x112, 3, 1, 6)]))
    put("exif", "far", b"II*\0\xff\xff\xff\xff")


def tars():
    def member(t, name, data):
        info = tarfile.TarInfo(name)
        info.size = len(data)
        t.addfile(info, io.BytesIO(data))

    for name, form in (("ustar", tarfile.USTAR_FORMAT),
                       ("gnu", tarfile.GNU_FORMAT), ("pax", tarfile.PAX_FORMAT)):
        f = io.BytesIO()
        with tarfile.open(fileobj=f, mode="w", format=form) as t:
            t.addfile(tarfile.TarInfo("d"))
            member(t, "d/a.jpg", b"\xff\xd8\xff\xd9")
            member(t, "d/a.json", b'{"id": 1}')
            member(t, "d/b.png", b"\x89PNG\r\n\x1a\n")
            member(t, "d/b.txt", b"text")
            if form != tarfile.USTAR_FORMAT:
                member(t, "e/" + "long" * 40 + ".jpg", b"x" * 600)
        put("tar", name, f.getvalue().rstrip(b"\0") + bytes(1536))
    put("tar", "cut", f.getvalue()[:1300])
    put("tar", "gzip", b"\x1f\x8b\x08\0")
    put("tar", "empty", b"")


def resizes():
    r = random.Random(3)
    for i, (h, w, H, W) in enumerate(((9, 9, 9, 9), (23, 3, 2, 22), (1, 1, 23, 23),
                                      (23, 23, 1, 1), (22, 16, 11, 12), (11, 12, 23, 7))):
        for f in range(6):
            put("resize", f"{i}{f}", bytes((h, w, H, W, f, i % 3, 0, 0))
                + bytes(r.choice((0, 255, r.randrange(256))) for _ in range(97)))


pictures()
exifs()
tars()
resizes()
