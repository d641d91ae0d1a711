#!/usr/bin/env python3
"""Compares ids with the reference tokenizers, string by string.

    V/bin/pip install tokenizers==0.23.3 tiktoken==0.14.0 \\
        transformers==5.23.0 msgpack==1.2.4
    V/bin/python tests/golden/compare_tokens.py [-n FUZZ] [-t TEXT] [-r NAME]
        PATH ...

run in the repository's root after `make` ($B: the build directory).  A PATH is
what gv-tokenize -m takes, and its reference

    tokenizer.json                  tokenizers
    *.tiktoken, tokenizer.model     tiktoken (the latter as Llama 3's)
    bpe_simple_vocab_16e6.txt.gz    transformers' CLIPTokenizer
    *.gguf                          tokenizers, with SmolLM2's pre-tokenizer

or by -r, of a directory that has a tokenizer.json and what NAME reads, too:

    sentencepiece     SentencePiece (0.2.3), of its tokenizer.model
    slow, slow-new    transformers' (4.57.6; and ftfy 6.3.1) own Python: its
                      LlamaTokenizer, legacy or not, of the tokenizer.model;
                      CLIPTokenizer, of vocab.json and merges.txt
    open_clip         OpenCLIP's SimpleTokenizer (3.3.0, with ftfy)

Without a PATH, small vocabularies of every kind are made here.  The strings are
TEXT and this repository's sources by the piece of 64 kB, random characters of
every block of Unicode (20 MB), Unicode's own tests of normalisation (Debian's
unicode-data), every string up to length 3 over a nasty alphabet, FUZZ (10^6)
strings of nasty parts, and random bytes, which only have to come back.  Last
gv-tokenize itself reads those of one line, as lines and as JSON, in two
threads.  Prints how many strings there were and how many differ; exits with 1
if any do.

Full-size vocabularies are in packages: cl100k_base, p50k_base, o200k_base and
DeepSeek's in litellm, Llama 3's in llama-models, CLIP's in open_clip_torch; of
Llama 2's tokenizer.model the pieces and scores are in the source package of
llama-cpp-python (ggml-vocab-llama-spm.gguf).

For the two of CLIP in Python text is cleaned first, as they do it themselves,
for us, too.  Left out for them are strings that cleaning again would change,
with a character that has come since Python's Unicode, with a capital sigma,
which Python lowers by what follows, and with U+017F and U+0345, which their
regex takes for the letters s and iota.  Left out for slow-new are strings that
begin with a blank, before which it puts another, as tokenizers doesn't.
"""
import argparse
import base64
import bz2
import ctypes
import glob
import gzip
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import unicodedata

from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models,
                        normalizers, pre_tokenizers, trainers)

B = os.environ.get('B', 'build')
NASTY = ("a", "S", "t", "'", " ", "  ", "\t", "\n", "\r", "\0", "1", "\u0663",
         "\u00bd", ".", "-", "<|x|>", "<s>", "\u00a0", "\u0085", "\u2028",
         "\u3000", "\u180e", "\u200b", "\ufeff", "\u017f", "\u212a", "\u00e9",
         "e\u0301", "\u0301", "\u0316", "\u05b0", "\u0344", "\u0958",
         "\u1100", "\u1161", "\u11a8", "\uac00", "\u212b", "\ufb01", "\u4e2d",
         "\u2581", "\U0001f642", "\U0001f3fd", "\U00010d4a", "\U0002ebf0",
         "\U0010ffff", "\ufffd", "the", " the", "I", "\u0130")
CLIP = (r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+"
        r"|[\p{N}]|[^\s\p{L}\p{N}]+")
DEEPSEEK = (r'\p{N}{1,3}', '[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+',
            r'[!"#$%&\'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+'
            '|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*'
            r'|\s*[\r\n]+|\s+(?!\S)|\s+')
O200K = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*"
         r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+"
         r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
         r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


class Error(ctypes.Structure):
    _fields_ = [('code', ctypes.c_int), ('sys_errno', ctypes.c_int),
                ('msg', ctypes.c_char * 512)]


class Ids(ctypes.Structure):
    _fields_ = [('id', ctypes.POINTER(ctypes.c_int32)),
                ('n', ctypes.c_size_t), ('cap', ctypes.c_size_t)]


class Ours:
    """libgv's tokenizer; the archive is linked into a library for this."""
    lib = None

    def __init__(self, path):
        if not Ours.lib:
            so = os.path.join(tempfile.mkdtemp(), 'gv.so')
            subprocess.check_call(
                ['cc', '-shared', '-pthread', '-o', so, '-Wl,--whole-archive',
                 f'{B}/lib/libgv.a', '-Wl,--no-whole-archive',
                 f'{B}/lib/libgvk.a'] +
                '-lmsgpackc -ljansson -lutf8proc -lpcre2-8 -ljpeg -lpng16 -lz '
                '-lnettle -ldl -lm'.split())
            Ours.lib = ctypes.CDLL(so)
        self.t, self.e, self.ids = ctypes.c_void_p(), Error(), Ids()
        if self.lib.gv_tokenizer_open(ctypes.byref(self.t), path.encode(),
                                      ctypes.byref(self.e)):
            sys.exit(self.e.msg.decode())

    def gguf_json(self, path):
        """The tokenizer.json that a GGUF file is read as."""
        load = ctypes.CDLL('libjansson.so.4').json_dumps
        load.restype = ctypes.c_void_p
        g, o, c = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
        if self.lib.gv_gguf_open(ctypes.byref(g), path.encode(),
                                 ctypes.byref(self.e)) or \
                self.lib.gv_gguf_tokenizer(g, ctypes.byref(o), ctypes.byref(c),
                                           ctypes.byref(self.e)):
            sys.exit(self.e.msg.decode())
        return json.loads(ctypes.string_at(load(o, ctypes.c_size_t(0))))

    def encode(self, s, specials=True):
        self.ids.n = 0
        if self.lib.gv_encode(self.t, s, ctypes.c_size_t(len(s)), specials,
                              ctypes.byref(self.ids), ctypes.byref(self.e)):
            sys.exit(self.e.msg.decode())
        return self.ids.id[:self.ids.n]

    def decode(self, ids, specials):
        a = (ctypes.c_int32 * max(1, len(ids)))(*ids)
        p, n = ctypes.c_void_p(), ctypes.c_size_t()
        if self.lib.gv_decode(self.t, a, ctypes.c_size_t(len(ids)), specials,
                              ctypes.byref(p), ctypes.byref(n),
                              ctypes.byref(self.e)):
            sys.exit(self.e.msg.decode())
        s = ctypes.string_at(p, n.value)
        self.lib.gv_free(p)
        return s


# ---- references

class Reference:
    """What most of them are like."""
    specials = True     # in text they are tokens
    decodes = True      # as we do, that is
    bytes = False       # whatever goes in comes back

    def clean(self, s):
        return s

    def skip(self, s):
        return False


class HF(Reference):
    def __init__(self, t):
        self.t = t
        self.marks = [a.content for a in t.get_added_tokens_decoder().values()]
        self.clip = t.model.end_of_word_suffix == '</w>'
        self.bytes = not (
            self.clip or t.model.byte_fallback or 'NFC' in str(t.normalizer)
        ) and len(set(t.get_vocab()) &
                  set(pre_tokenizers.ByteLevel.alphabet())) == 256

    def encode(self, s):
        return self.t.encode(s, add_special_tokens=False).ids

    def decode(self, ids):
        s = self.t.decode(ids, skip_special_tokens=False)
        return s.replace('</w>', ' ').rstrip(' ') if self.clip else s


class Tiktoken(Reference):
    bytes = True

    def __init__(self, path):
        import tiktoken
        from tiktoken_ext import openai_public as known
        with open(path, 'rb') as f:
            ranks = {base64.b64decode(a): int(b) for a, b in
                     (x.split() for x in f if x.strip())}
        known.load_tiktoken_bpe = lambda *_, **__: ranks
        name = os.path.basename(path).split('.')[0]
        if name != 'tokenizer':
            make = known.ENCODING_CONSTRUCTORS[name]()
        else:
            first = ['begin_of_text', 'end_of_text', 'reserved_special_token_0',
                     'reserved_special_token_1', 'finetune_right_pad_id',
                     'step_id', 'start_header_id', 'end_header_id', 'eom_id',
                     'eot_id', 'python_tag', 'image']
            first += [f'reserved_special_token_{i}' for i in range(2, 246)]
            make = {'name': 'llama3', 'mergeable_ranks': ranks,
                    'pat_str': QWEN2.replace(r'\p{N}|', r'\p{N}{1,3}|'),
                    'special_tokens': {f'<|{t}|>': len(ranks) + i
                                       for i, t in enumerate(first)}}
        self.t = tiktoken.Encoding(**make)
        self.marks = list(make['special_tokens'])

    def encode(self, s):
        return self.t.encode(s, allowed_special='all')

    def decode(self, ids):
        return self.t.decode(ids)


class SentencePiece(Reference):
    specials = False

    def __init__(self, path):
        import sentencepiece
        self.t = sentencepiece.SentencePieceProcessor(
            model_file=f'{path}/tokenizer.model')
        self.marks = []

    def encode(self, s):
        return self.t.encode(s)

    def decode(self, ids):
        return self.t.decode(ids)


class Cleaning(Reference):
    """OpenAI's code for CLIP, that two others have taken over."""
    specials = decodes = False

    def skip(self, s):
        return self.clean(s) != s or any(
            c in '\u017f\u0345\u03a3' or unicodedata.category(c) == 'Cn'
            for c in s)

    def encode(self, s):
        return self.t.encode(s)


class OpenClip(Cleaning):
    def __init__(self, path):
        import importlib.util
        # tokenizer.py alone: the package wants torch
        spec = importlib.util.find_spec('open_clip')
        where = os.path.join(spec.submodule_search_locations[0], 'tokenizer.py')
        spec = importlib.util.spec_from_file_location('clip_tokenizer', where)
        self.module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.module)
        self.t = self.module.SimpleTokenizer()
        self.marks = ['<start_of_text>', '<end_of_text>']

    def clean(self, s):
        return self.module._clean_whitespace(s)


class SlowClip(Cleaning):
    specials = True

    def __init__(self, path):
        from transformers import CLIPTokenizer
        self.t = CLIPTokenizer(f'{path}/vocab.json', f'{path}/merges.txt')
        self.marks = list(self.t.get_added_vocab())

    def clean(self, s):
        return ' '.join(self.t.fix_text(s).split())

    def encode(self, s):
        return self.t.encode(s, add_special_tokens=False)


class SlowLlama(Reference):
    decodes = False

    def __init__(self, path, legacy):
        from transformers import LlamaTokenizer
        self.t = LlamaTokenizer(f'{path}/tokenizer.model', legacy=legacy)
        self.marks = list(self.t.get_added_vocab())
        self.legacy = legacy

    def skip(self, s):
        return not self.legacy and s[:1] in (' ', '\u2581')

    def encode(self, s):
        return self.t.encode(s, add_special_tokens=False)


def named(name, path):
    if name == 'sentencepiece':
        return SentencePiece(path)
    if name == 'open_clip':
        return OpenClip(path)
    if os.path.exists(f'{path}/merges.txt'):
        return SlowClip(path)
    return SlowLlama(path, name == 'slow')


def clip(path):
    from transformers import CLIPTokenizer
    with gzip.open(path, 'rt', encoding='utf-8') as f:
        lines = f.read().split('\n')[1:49152 - 256 - 2 + 1]
    merges = [tuple(x.split()) for x in lines]
    own = [*range(33, 127), *range(161, 173), *range(174, 256)]
    vocab = [chr(b) for b in own] + [chr(256 + i) for i in range(68)]
    vocab += [x + '</w>' for x in vocab] + [''.join(x) for x in merges]
    vocab += ['<|startoftext|>', '<|endoftext|>']
    t = CLIPTokenizer(vocab={x: i for i, x in enumerate(vocab)}, merges=merges)
    return HF(Tokenizer.from_str(t.backend_tokenizer.to_str()))


def reference(path, ours):
    if os.path.isdir(path):
        for name in ('tokenizer.json', '*.tiktoken', 'tokenizer.model',
                     '*.txt.gz'):
            path = (glob.glob(f'{path}/{name}') or [path])[0]
    if path.endswith('.gguf'):
        o = ours.gguf_json(path)
        o['pre_tokenizer'] = {'type': 'Sequence', 'pretokenizers': [
            {'type': 'Digits', 'individual_digits': True},
            {'type': 'ByteLevel', 'add_prefix_space': False,
             'trim_offsets': True, 'use_regex': True}]}
        return HF(Tokenizer.from_str(json.dumps(o)))
    if path.endswith('.gz'):
        return clip(path)
    if path.endswith('.json'):
        return HF(Tokenizer.from_file(path))
    return Tiktoken(path)


# ---- vocabularies

def train(path, text, kind):
    """A small vocabulary of a kind, learned by tokenizers itself."""
    specials = ['<s>', '<|x|>']
    if kind in ('llama2', 'first', 'always', 'never'):
        t = Tokenizer(models.BPE(byte_fallback=True, unk_token='<unk>',
                                 fuse_unk=True))
        t.decoder = decoders.Sequence([
            decoders.Replace('\u2581', ' '), decoders.ByteFallback(),
            decoders.Fuse(),
            *([decoders.Strip(' ', 1, 0)] if kind != 'never' else [])])
        first = ['<unk>'] + [f'<0x{i:02X}>' for i in range(256)]
        tr = trainers.BpeTrainer(vocab_size=3000, show_progress=False,
                                 special_tokens=first, min_frequency=2)
        # learned with words apart, as SentencePiece does
        t.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme='never')
        t.train_from_iterator(text, tr)
        if kind == 'llama2':
            t.pre_tokenizer = None
            t.normalizer = normalizers.Sequence([
                normalizers.Prepend('\u2581'),
                normalizers.Replace(' ', '\u2581')])
        else:
            t.pre_tokenizer = pre_tokenizers.Metaspace(
                prepend_scheme=kind, split=kind == 'always')
        # only <unk> is a special token: the bytes are the model's
        state = json.loads(t.to_str())
        state['added_tokens'] = state['added_tokens'][:1]
        t = Tokenizer.from_str(json.dumps(state))
    elif kind == 'clip':
        t = Tokenizer(models.BPE(end_of_word_suffix='</w>',
                                 continuing_subword_prefix='',
                                 unk_token='<|endoftext|>'))
        t.normalizer = normalizers.Sequence([
            normalizers.NFC(), normalizers.Replace(Regex(r'\s+'), ' '),
            normalizers.Lowercase()])
        t.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Split(Regex(CLIP), 'removed', invert=True),
            pre_tokenizers.ByteLevel(False)])
        t.decoder = decoders.ByteLevel()
        byte = sorted(pre_tokenizers.ByteLevel.alphabet())
        t.train_from_iterator(text, trainers.BpeTrainer(
            vocab_size=3000, show_progress=False, min_frequency=2,
            end_of_word_suffix='</w>', initial_alphabet=byte,
            special_tokens=['<|endoftext|>', *(b + '</w>' for b in byte)]))
        state = json.loads(t.to_str())
        state['added_tokens'] = state['added_tokens'][:1]
        t = Tokenizer.from_str(json.dumps(state))
    else:
        t = Tokenizer(models.BPE(ignore_merges=kind == 'llama3'))
        tr = trainers.BpeTrainer(
            vocab_size=3000, show_progress=False, min_frequency=2,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
        cut = {'qwen2': [QWEN2], 'o200k': [O200K], 'deepseek': DEEPSEEK,
               'llama3': [QWEN2.replace(r'\p{N}|', r'\p{N}{1,3}|')]}.get(kind)
        if kind == 'smollm2':
            t.pre_tokenizer = pre_tokenizers.Sequence([
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False)])
        elif cut:
            t.pre_tokenizer = pre_tokenizers.Sequence([
                *(pre_tokenizers.Split(Regex(p), 'isolated') for p in cut),
                pre_tokenizers.ByteLevel(False, use_regex=False)])
        else:
            t.pre_tokenizer = pre_tokenizers.ByteLevel(False)
        if kind == 'qwen2':
            t.normalizer = normalizers.NFC()
        t.decoder = decoders.ByteLevel()
        t.train_from_iterator(text, tr)
    t.add_special_tokens([AddedToken(s, normalized=False) for s in specials])
    t.add_tokens([AddedToken('the<', normalized=kind == 'qwen2')])
    os.makedirs(path)
    t.save(f'{path}/tokenizer.json')


# ---- strings

def pieces(files):
    for name in files:
        with open(name, 'rb') as f:
            while True:
                s = f.read(65536)
                if not s:
                    break
                yield s.decode('utf-8', 'replace')


def lines(files):
    for s in pieces(files):
        yield from s.split('\n')


def blocks(total):
    """Characters of one block of 256 at a time, of any length."""
    r, n = random.Random(1), 0
    while n < total:
        base = r.randrange(0x1100 if r.random() < .3 else 0x300) * 256
        s = ''.join(chr(c) for c in
                    (base + r.randrange(256)
                     for _ in range(r.randrange(1, 200)))
                    if not 0xd800 <= c < 0xe000)
        if r.random() < .5:
            s = ' '.join(s[i:i + 7] for i in range(0, len(s), 7))
        n += len(s.encode())
        yield s


def normalisation():
    for name in glob.glob('/usr/share/unicode/NormalizationTest.txt*') + \
            [os.environ.get('NORMALIZATION_TEST', '')]:
        if not os.path.exists(name):
            continue
        with (bz2.open if name.endswith('bz2') else open)(
                name, 'rt', encoding='utf-8') as f:
            for line in f:
                if line[0] not in '#@\n':
                    for field in line.split(';')[:5]:
                        yield ''.join(chr(int(c, 16)) for c in field.split())


def short():
    for n in range(4):
        for s in itertools.product(NASTY, repeat=n):
            yield ''.join(s)


def fuzz(n):
    r = random.Random(2)
    for _ in range(n):
        k = r.random()
        if k < .6:
            s = ''.join(r.choice(NASTY) for _ in range(r.randrange(1, 24)))
        elif k < .8:
            s = r.choice(NASTY) * r.randrange(1, 80)
        else:
            s = ''.join(chr(r.choice((r.randrange(0x20, 0x7f),
                                      r.randrange(0x80, 0x800),
                                      r.randrange(0x800, 0xd800),
                                      r.randrange(0xe000, 0x20000))))
                        for _ in range(r.randrange(1, 24)))
        yield s


# ---- comparing

def compare(name, what, ours, theirs, strings, bar):
    n = size = bad = back = 0
    for s in strings:
        s = theirs.clean(s)
        if theirs.skip(s):
            continue
        b = s.encode()
        got = ours.encode(b, theirs.specials)
        want = theirs.encode(s)
        n += 1
        size += len(b)
        if got != want:
            bad += 1
            if bad <= bar:
                print(f'  {s[:60]!r}\n    ours   {got[:24]}\n'
                      f'    theirs {want[:24]}')
        if not theirs.decodes:
            continue
        said = ours.decode(got, True)
        if said.decode('utf-8', 'replace') != theirs.decode(want) or \
                (theirs.bytes and said != b):
            back += 1
            if back <= bar:
                print(f'  decoded {s[:60]!r}: {said[:60]!r}')
    print(f'{name:12} {what:14} {n:8} strings {size / 1e6:7.1f} MB: '
          f'{bad} differ' +
          (f', {back} decoded otherwise' if theirs.decodes else ''), flush=True)
    return bad + back


def program(name, path, ours, theirs, strings):
    """What gv-tokenize writes for strings of one line, but for what it puts
    before and behind a document.  Special tokens in these are text."""
    import msgpack
    want, bad, size = {}, 0, 0
    with tempfile.TemporaryDirectory() as d:
        files = [f'{d}/a.txt', f'{d}/b.jsonl']
        with open(files[0], 'wb') as text, open(files[1], 'w') as lines:
            for i, s in enumerate(strings, 1):
                s = theirs.clean(s)
                if set(s) & set('\n\r\0') or not s.strip() or theirs.skip(s) \
                        or any(m in s for m in theirs.marks):
                    s = 'a'
                want[str(i)] = theirs.encode(s)
                size += len(s.encode())
                text.write(s.encode() + b'\n')
                json.dump({'id': str(i), 'text': s}, lines)
                lines.write('\n')
        for f in files:
            out = subprocess.run(
                [f'{B}/bin/gv-tokenize', '-m', path, '--text', '--threads', '2',
                 f], stdout=subprocess.PIPE, check=True).stdout
            u = msgpack.Unpacker(max_buffer_size=2**31)
            u.feed(out)
            got = {str(r['key']):
                   list(memoryview(r['tokens'][b'data']).cast('i'))
                   for r in u if r['gv'] == 'rec'}
            cut = slice(0, len(want['1']) - len(got['1']) or None)
            bad += sum(got.get(k, [])[cut] != w for k, w in want.items())
    print(f'{name:12} {"gv-tokenize":14} {len(want):8} strings '
          f'{2 * size / 1e6:7.1f} MB: {bad} differ', flush=True)
    return bad


def random_bytes(name, ours, theirs):
    r, bad = random.Random(3), 0
    if not theirs.bytes:
        return 0
    for _ in range(2000):
        s = r.randbytes(r.randrange(1, 2000))
        bad += ours.decode(ours.encode(s), True) != s
    print(f'{name:12} {"random bytes":14}     2000 strings     2.0 MB: '
          f'{bad} do not come back', flush=True)
    return bad


def main():
    a = argparse.ArgumentParser()
    a.add_argument('-n', type=int, default=10**6)
    a.add_argument('-t', action='append', default=[])
    a.add_argument('-m', type=float, default=20, help='MB of Unicode')
    a.add_argument('-k', help='kinds to train',
                   default='qwen2,gpt2,llama3,smollm2,o200k,deepseek,clip,'
                   'llama2,first,always,never')
    a.add_argument('-r', choices=['sentencepiece', 'slow', 'slow-new',
                                  'open_clip'], help='another reference')
    a.add_argument('--show', type=int, default=3)
    a.add_argument('path', nargs='*')
    o = a.parse_args()
    code = sorted(glob.glob('lib/*.[ch]') + glob.glob('kernels/**/*.c*',
                                                      recursive=True))
    code = list(pieces(code))
    dirs, bad = list(o.path), 0
    if not dirs:
        tmp = tempfile.mkdtemp()
        text = [*pieces(sorted(glob.glob('man/man*/*'))), *code[:60]]
        for kind in o.k.split(','):
            dirs.append(f'{tmp}/{kind}')
            train(dirs[-1], text, kind)
    for d in dirs:
        name = os.path.basename(os.path.normpath(d))[:12]
        ours = Ours(d)
        theirs = named(o.r, d) if o.r else reference(d, ours)
        start = time.time()
        for what, strings in (
                ('text', pieces(o.t)), ('code', code),
                ('unicode', blocks(o.m * 1e6)),
                ('normalisation', normalisation()),
                ('short', short()), ('fuzz', fuzz(o.n))):
            bad += compare(name, what, ours, theirs, strings, o.show)
        bad += random_bytes(name, ours, theirs)
        bad += program(name, d, ours, theirs,
                       itertools.chain(lines(o.t), fuzz(o.n // 10)))
        print(f'{name:12} {time.time() - start:.0f} s')
    return bad > 0


if __name__ == '__main__':
    sys.exit(main())
