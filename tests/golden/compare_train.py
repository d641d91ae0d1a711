#!/usr/bin/env python3
"""Compares learned vocabularies with those of Hugging Face's BpeTrainer.

    V/bin/pip install tokenizers==0.23.3
    V/bin/python tests/golden/compare_train.py [-v N] [-s FAMILY ...] TEXT HELD

run in the repository's root after `make` ($B: the build directory).  Both learn
N (32768) ids from TEXT, for every family of split patterns or those that are
named.  Prints a line for each: whether the merges are the same or which one
differs first, bytes of HELD a token by either, in how many of HELD's pieces of
4 kB gv-tokenize and tokenizers give other ids by the file that gv-tokenize
wrote, and seconds of the processor, seconds of the clock and memory that
learning took.  Exits with 1 if bytes a token are more than 0.1 % apart or ids
differ.
"""
import argparse
import json
import os
import sys
import tempfile
import time

from compare_tokens import B, O200K, QWEN2, Ours
from tokenizers import (Regex, Tokenizer, models, normalizers, pre_tokenizers,
                        trainers)

N = 32768
GPT2 = pre_tokenizers.ByteLevel(add_prefix_space=False)
LLAMA3 = QWEN2.replace(r'\p{N}|', r'\p{N}{1,3}|')  # cl100k_base's ids, too


def split(pattern):
    return pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(pattern), 'isolated'),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


FAMILIES = {
    'qwen2': (normalizers.NFC(), split(QWEN2)),
    'llama3': (None, split(LLAMA3)),
    'cl100k': (None, split(LLAMA3)),
    'o200k': (None, split(O200K)),
    'gpt2': (None, GPT2),
    'smollm': (None, pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True), GPT2])),
}


def read(path):
    with open(path, newline='', encoding='utf-8') as f:
        return f.read()


def learn(family, vocab, text, path):
    """Their side, in a process of its own."""
    t = Tokenizer(models.BPE())
    normalizer, t.pre_tokenizer = FAMILIES[family]
    if normalizer:
        t.normalizer = normalizer
    t.train_from_iterator(iter([read(text)]), trainers.BpeTrainer(
        vocab_size=vocab, min_frequency=2, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    os.makedirs(path)
    t.save(f'{path}/tokenizer.json')


def run(*command):
    """What a command took: seconds of the processor, of the clock, MB."""
    start = time.monotonic()
    child = os.posix_spawn(command[0], command, os.environ)
    _, status, used = os.wait4(child, 0)
    if status:
        sys.exit(f'{" ".join(command)} failed')
    return (f'{used.ru_utime + used.ru_stime:.2f} s cpu, '
            f'{time.monotonic() - start:.2f} s, {used.ru_maxrss >> 10} MB')


def merges(path):
    with open(f'{path}/tokenizer.json', encoding='utf-8') as f:
        found = json.load(f)['model']['merges']
    return [m.split(' ') if isinstance(m, str) else m for m in found]


def compare(family, args, top):
    """Prints the line of a family; whether all is well."""
    ours, hf = f'{top}/{family}', f'{top}/{family}.hf'
    took = run(f'{B}/bin/gv-tokenize', 'train', '--vocab', str(args.vocab),
               '--template', 'none', '--split', family, '-o', ours, args.text)
    took_hf = run(sys.executable, __file__, '-v', str(args.vocab), '-s',
                  family, '--save', hf, args.text, args.held)
    a, b = merges(ours), merges(hf)
    first = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y),
                 None if len(a) == len(b) else min(len(a), len(b)))
    same = Tokenizer.from_file(f'{ours}/tokenizer.json')
    other = Tokenizer.from_file(f'{hf}/tokenizer.json')
    encoder, held = Ours(ours), read(args.held)
    n = [0, 0]
    differ = 0
    for i in range(0, len(held), 4096):
        s = held[i:i + 4096]
        ids = encoder.encode(s.encode())
        differ += ids != same.encode(s).ids
        n[0] += len(ids)
        n[1] += len(other.encode(s).ids)
    size = len(held.encode())
    print(f'{family:8} merges {"the same" if first is None else first}, '
          f'bytes a token {size / n[0]:.4f} and {size / n[1]:.4f}, '
          f'{differ} pieces differ; learned in {took} and {took_hf}',
          flush=True)
    return not differ and abs(n[0] / n[1] - 1) <= .001


def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    p.add_argument('-v', '--vocab', type=int, default=N)
    p.add_argument('-s', '--split', nargs='+', choices=FAMILIES,
                   default=list(FAMILIES))
    p.add_argument('--save', help=argparse.SUPPRESS)
    p.add_argument('text')
    p.add_argument('held')
    args = p.parse_args()
    if args.save:
        learn(args.split[0], args.vocab, args.text, args.save)
        return 0
    with tempfile.TemporaryDirectory() as top:
        return 0 if all([compare(f, args, top) for f in args.split]) else 1


if __name__ == '__main__':
    sys.exit(main())
