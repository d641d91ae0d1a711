#!/usr/bin/env python3
"""Streams with stock msgpack and msgpack-numpy: gv-stream(5) in Python.

    stream.py read <stream      checks it, prints a line of JSON a record
    stream.py write N >stream   writes N records with every kind of field
"""
import json
import sys
import zlib

import msgpack
import msgpack_numpy
import numpy as np

WIRE = {"BOOL": "|b1", "U8": "|u1", "I8": "|i1", "I32": "<i4", "I64": "<i8",
        "F16": "<f2", "BF16": "<u2", "F32": "<f4", "F64": "<f8",
        "F8_E4M3": "|u1"}


def read(data):
    """Yields every object of a stream after checking its frame."""
    unpacker = msgpack.Unpacker(object_hook=msgpack_numpy.decode,
                                max_buffer_size=2**30 + 2**20)
    unpacker.feed(data)
    at = head = recs = 0
    obj = {"gv": "end"}
    for obj in unpacker:
        end = unpacker.tell()
        assert end % 64 == 0 and not any(obj["pad"])
        assert zlib.crc32(data[at:end - 9]) == obj["crc"], "crc"
        if obj["gv"] == "head":
            head, recs, fields = at, 0, obj["fields"]
        elif obj["gv"] == "rec":
            assert obj["n"] == recs
            recs += 1
            for f in fields:
                if f["dtype"] == "plain":
                    continue
                a = obj[f["name"]]
                assert a.dtype == np.dtype(WIRE[f["dtype"]])
                assert a.ndim == len(f["shape"])
                where = data.index(a.tobytes(), at) if a.size else 0
                assert a.size < 8 or where % 64 == 0
        else:
            assert (obj["recs"], obj["bytes"]) == (recs, at - head)
        yield obj
        at = end
    assert obj["gv"] == "end" and at == len(data), "cut"


class Writer:
    def __init__(self, out, kind, fields, prog):
        self.out, self.fields, self.recs, self.at = out, fields, 0, 0
        self.put({"gv": "head", "ver": 1, "kind": kind, "fields": [
            {"name": n, "dtype": t, "shape": s, "unit": ""}
            for n, t, s in fields], "prog": prog})

    def tensor(self, a, at):
        b = msgpack.packb({b"nd": True, b"type": a.dtype.str, b"kind": b"",
                           b"shape": list(a.shape), b"pad": b"",
                           b"data": b""})[:-2 - 6 - 2]
        pad = -(at + len(b) + 2 + 6 + 5) % 64
        return (b + msgpack.packb(bytes(pad)) + msgpack.packb(b"data") +
                b"\xc6" + a.nbytes.to_bytes(4, "big") + a.tobytes())

    def put(self, obj):
        # a map's header, and then its pairs one by one
        b = msgpack.Packer().pack_map_header(len(obj) + 2)
        for k, v in obj.items():
            b += msgpack.packb(k)
            b += (self.tensor(v, len(b)) if isinstance(v, np.ndarray)
                  else msgpack.packb(v))
        b += msgpack.packb("pad")
        b += msgpack.packb(bytes(-(len(b) + 2 + 9) % 64))
        b += msgpack.packb("crc") + b"\xce" + zlib.crc32(b).to_bytes(4, "big")
        self.out.write(b)
        self.at += len(b)

    def rec(self, key, values):
        self.put({"gv": "rec", "n": self.recs, "key": key} |
                 {n: values[n] for n, _, _ in self.fields})
        self.recs += 1

    def end(self):
        self.put({"gv": "end", "recs": self.recs, "bad": 0, "bytes": self.at})


def write(out, n):
    names = [t for t in WIRE if t not in ("BF16", "F8_E4M3")]
    w = Writer(out, "python", [(t.lower(), t, ["T", 2]) for t in names] +
               [("meta", "plain", [])],
               [{"name": "stream.py", "ver": "1", "args": [], "digests": {}}])
    for i in range(n):
        a = np.arange(2 * i, dtype=np.float64).reshape(i, 2)
        w.rec("k%d" % i, {t.lower(): a.astype(WIRE[t]) for t in names} |
              {"meta": {"i": i, "list": [1.5, None, "é", -2**40]}})
    w.end()


if __name__ == "__main__":
    if sys.argv[1:2] == ["write"]:
        write(sys.stdout.buffer, int(sys.argv[2]))
    else:
        for o in read(sys.stdin.buffer.read()):
            print(json.dumps({k: v.tolist() if isinstance(v, np.ndarray)
                              else v for k, v in o.items() if k != "pad"},
                             ensure_ascii=False))
