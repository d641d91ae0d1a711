#!/usr/bin/env python3
"""Compares the speed of encoding with other exact tokenizers, in one run.

    V/bin/pip install tokenizers==0.23.3 tiktoken==0.14.0 gigatoken==0.10.0 \\
        quicktok-v1==0.4.0 bpe-openai==0.1.4 rs-bpe==0.1.0
    V/bin/python tests/bench/token_peers.py DIR TEXT [MB]

run in the repository's root after `make` ($B: the build directory).  DIR has a
tokenizer.json whose ids are in the order of its merges, as Qwen's are; TEXT is
read to MB (8) megabytes and cut into documents of about 4 kB.  Two vocabularies
are compared: DIR's with tokenizers, tiktoken, gigatoken and, since that has it
built in, quicktok if DIR's is Qwen3's; and cl100k_base with tiktoken, quicktok
and those that have only that: bpe-openai, which is GitHub's crate bpe, and
rs-bpe.  What isn't installed is left out.

Each encoder is given the same documents with one thread, in turns; rates are of
CPU time of the process, in MB/s (10^6 bytes): the first pass of a new encoder,
and the fastest of three later ones.  Each gives what it gives its users: lists,
tokenizers' objects, an array (gigatoken, quicktok and ours).  The ids of each
document are compared with ours, in the first pass and in the last.  Exits with
1 if they differ.
"""
import argparse
import ctypes
import gzip
import importlib.metadata
import importlib.resources
import json
import os
import sys
import tempfile
import time

os.environ['TOKENIZERS_PARALLELISM'] = 'false'
os.environ['RAYON_NUM_THREADS'] = '1'
sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'golden'))

from compare_tokens import QWEN2, Ours  # noqa: E402

RUNS = 4
QWEN3 = 151643  # tokens, without those that are added
CL100K = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+"
          r"| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s")


class Gv:
    name = 'ours'
    package = None

    def __init__(self, path):
        self.o = Ours(path)

    def run(self, docs):
        o, size = self.o, ctypes.c_size_t
        ids, e = ctypes.byref(o.ids), ctypes.byref(o.e)
        o.ids.n = 0
        ends = []
        for d in docs:
            if o.lib.gv_encode(o.t, d, size(len(d)), False, ids, e):
                sys.exit(o.e.msg.decode())
            ends.append(o.ids.n)
        return ends

    def ids(self, ends):
        return [self.o.ids.id[a:b] for a, b in zip([0, *ends], ends)]


class Peer:
    """Encodes documents as text, a list of ids each."""
    text = True

    @property
    def package(self):
        return f'{self.name} {importlib.metadata.version(self.name)}'

    def ids(self, got):
        return got


class Tokenizers(Peer):
    name = 'tokenizers'

    def __init__(self, path):
        from tokenizers import Tokenizer
        self.t = Tokenizer.from_file(f'{path}/tokenizer.json')

    def run(self, docs):
        return self.t.encode_batch_fast(docs, add_special_tokens=False)

    def ids(self, got):
        return [d.ids for d in got]


class Tiktoken(Peer):
    name = 'tiktoken'

    def __init__(self, path, ranks=None, pattern=QWEN2):
        import tiktoken
        self.t = tiktoken.Encoding('x', pat_str=pattern, special_tokens={},
                                   mergeable_ranks=ranks or read_ranks(path))

    def run(self, docs):
        return [self.t.encode_ordinary(d) for d in docs]


class Gigatoken(Peer):
    name = 'gigatoken'
    text = False

    def __init__(self, path):
        import gigatoken
        self.t = gigatoken.Tokenizer(f'{path}/tokenizer.json')

    def run(self, docs):
        return self.t.encode_batch(docs, parallel=False)

    def ids(self, got):
        return got.to_list()


class Quicktok(Peer):
    name = 'quicktok-v1'

    def __init__(self, encoding):
        import quicktok
        self.t = quicktok.get_encoding(encoding)

    def run(self, docs):
        return self.t.encode_batch(docs, 1, False)

    def ids(self, got):
        ids, ends = got[0].tolist(), got[1].tolist()
        return [ids[a:b] for a, b in zip(ends, ends[1:])]


class BpeOpenai(Peer):
    name = 'bpe-openai'

    def __init__(self, path):
        import bpe_openai
        self.t = bpe_openai.get_encoding('cl100k_base')

    def run(self, docs):
        return [self.t.encode_ordinary(d) for d in docs]


class RsBpe(Peer):
    name = 'rs-bpe'

    def __init__(self, path):
        from rs_bpe import openai
        self.t = openai.cl100k_base()

    def run(self, docs):
        return [self.t.encode(d) for d in docs]


def read_ranks(path):
    """The vocabulary of a tokenizer.json by bytes: its ids are the ranks."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    other = [b for b in range(256) if b not in shown]
    byte = {chr(b): b for b in shown}
    byte.update({chr(256 + i): b for i, b in enumerate(other)})
    with open(f'{path}/tokenizer.json', encoding='utf-8') as f:
        vocab = json.load(f)['model']['vocab']
    return {bytes(byte[c] for c in k): v for k, v in vocab.items()}


def documents(path, most):
    with open(path, 'rb') as f:
        text = f.read(most).decode('utf-8', 'ignore')
    docs, at = [], 0
    while at < len(text):
        end = text.find('\n', at + 4000) + 1 or len(text)
        docs.append(text[at:end])
        at = end
    return docs


def compare(title, makers, docs):
    """Rates of all that can be made; how many differ from the first."""
    raw = [d.encode() for d in docs]
    size = sum(map(len, raw)) / 1e6
    peers, first, best, ids = [], {}, {}, {}
    for name, make in makers:
        try:
            peers.append(make())
        except ImportError:
            print(f'{name} is not installed')
    for run in range(RUNS):
        for p in peers:
            given = docs if getattr(p, 'text', False) else raw
            start = time.process_time()
            got = p.run(given)
            took = time.process_time() - start
            if not run:
                first[p.name] = took
            else:
                best[p.name] = min(took, best.get(p.name, took))
            if run in (0, RUNS - 1):
                ids.setdefault(p.name, []).append(p.ids(got))
    want, bad = ids['ours'][0], 0
    print(f'{title}, {len(docs)} documents, {size:.1f} MB, '
          f'{sum(map(len, want))} ids')
    print(f'{"":18} {"first":>8} {"later":>8} {"ours/its first":>15} '
          f'{"later":>8}  ids')
    for p in peers:
        same = all(x == want for x in ids[p.name])
        bad += not same
        f, b = first[p.name], best[p.name]
        print(f'{p.package or p.name:18} {size / f:8.1f} {size / b:8.1f} '
              f'{f / first["ours"]:15.1f} {b / best["ours"]:8.1f}  '
              f'{"the same" if same else "DIFFER"}')
    return bad


def cl100k(tmp):
    """The rank file, out of a package that carries it."""
    source = importlib.resources.files('bpe_openai') / 'data'
    packed = (source / 'cl100k_base.tiktoken.gz').read_bytes()
    path = os.path.join(tmp, 'cl100k_base.tiktoken')
    with open(path, 'wb') as f:
        f.write(gzip.decompress(packed))
    return path


def main():
    a = argparse.ArgumentParser()
    a.add_argument('dir')
    a.add_argument('text')
    a.add_argument('mb', type=float, nargs='?', default=8)
    o = a.parse_args()
    docs = documents(o.text, int(o.mb * 1e6))
    makers = [(k.name, lambda k=k: k(o.dir))
              for k in (Gv, Tokenizers, Tiktoken, Gigatoken)]
    if len(read_ranks(o.dir)) == QWEN3:
        makers.append(('quicktok-v1', lambda: Quicktok('qwen3')))
    bad = compare(o.dir, makers, docs)
    try:
        from tiktoken.load import load_tiktoken_bpe
        with tempfile.TemporaryDirectory() as tmp:
            path = cl100k(tmp)
            ranks = load_tiktoken_bpe(path)
            bad += compare('cl100k_base', [
                ('ours', lambda: Gv(path)),
                ('tiktoken', lambda: Tiktoken(path, ranks, CL100K)),
                ('quicktok-v1', lambda: Quicktok('cl100k_base')),
                ('bpe-openai', lambda: BpeOpenai(path)),
                ('rs-bpe', lambda: RsBpe(path))], docs)
    except ImportError:
        print('without tiktoken and bpe-openai there is no cl100k_base')
    return bad > 0


if __name__ == '__main__':
    sys.exit(main())
