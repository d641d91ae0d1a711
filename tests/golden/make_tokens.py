#!/usr/bin/env python3
"""Makes tests/golden/tokens: what Hugging Face tokenizers say about text.

    python3 -m venv V; V/bin/pip install tokenizers==0.23.3 jinja2==3.1.6 \
        tiktoken==0.14.0
    V/bin/python tests/golden/make_tokens.py [QWEN3_DIR]

run in the repository's root after `make`.  The text is made here from seed 1,
so nothing is copied from anywhere.  Files:

    corpus.txt      text to learn vocabularies from
    merges.txt      what tokenizers' BpeTrainer learns from it
    NAME/           small vocabularies: one for each way to cut
    nasty.json      strings that the generator of test strings mixes in
    blocks.txt      hashes of the ids of 1000 generated strings each
    cases.json      strings with their ids, to read
    chat.json       conversations: the rendered template and its ids
"""
import base64
import json
import os
import subprocess
import sys
import tempfile

import jinja2
import tiktoken
import tokenizers
from tiktoken_ext import openai_public
from tokenizers import Regex, Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers as pre
from tokenizers import trainers

OUT = 'tests/golden/tokens'
B = os.environ.get('B', 'build')
QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
         r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
LLAMA3 = QWEN2.replace(r'|\p{N}|', r'|\p{N}{1,3}|')
REGEX = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,2}"
         r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+")
O200K = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*"
         r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+"
         r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
CHAIN = (r'[!-/][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+'
         r'| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+')
CLIP = (r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+"
        r"|[\p{N}]|[^\s\p{L}\p{N}]+")
NASTY = ["'", "'s", "'S", "'\u017f", "'re", "'LL", "'Ve", "'K", '\u212a',
         '\u017f', ' ', '  ', '\t', '\n', '\r', '\r\n', '\n\n', '\u00a0',
         '\u0085', '\u2028', '\u3000', '\u180e', '\u200b', '\ufeff', '\0',
         '\x7f', 'a', 'the', ' the', 'Z', 'e\u0301', '\u00e9', '\u0301',
         '\u0316', '\u0334', '\u05b0\u05bc', '\u0323\u0307', '\u0344',
         '\u0958', '\u1ab0\u1abf', '\u1100\u1161\u11a8', '\uac00\u11a8',
         '\u212b', '\ufb01', '\U00011935\U00011930', '\U00010d4a',
         '\U0002ebf0', '1', '12', '\u0663', '\u00bd', '\u2167', '\u4e2d',
         '\u6587\u3002', '\U0001f642', '\U0001f44d\U0001f3fd', '!', '...',
         '-', '_', '<|im_start|>', '<|im_end|>', '<|x|>', '<think>', '<|',
         '|>', '<|im_st', '<', '  <|x|> ']


class Random:
    """splitmix64; tests/unit/token.c has the same."""

    def __init__(self, seed):
        self.s = seed

    def __call__(self, n):
        m = 2**64 - 1
        self.s = (self.s + 0x9e3779b97f4a7c15) & m
        z = self.s
        z = ((z ^ z >> 30) * 0xbf58476d1ce4e5b9) & m
        z = ((z ^ z >> 27) * 0x94d049bb133111eb) & m
        return (z ^ z >> 31) % n


def string(r):
    """A test string; tests/unit/token.c makes the same."""
    kind, n, s = r(5), 1 + r(24), ''
    if kind == 0:
        return ''.join(NASTY[r(len(NASTY))] for _ in range(n))
    if kind == 1:
        lo = [0x20, 0x80, 0x800, 0xe000]
        hi = [0x7f, 0x800, 0xd800, 0x20000]
        for _ in range(n):
            k = r(4)
            s += chr(lo[k] + r(hi[k] - lo[k]))
        return s
    if kind == 2:
        base = r(0x200) * 0x100
        for _ in range(n):
            c = base + r(256)
            s += chr(ord('?') if 0xd800 <= c < 0xe000 else c)
        return s
    if kind == 3:
        some = "etaoinshrdlu ETA  \n\t.,'0123456789"
        return ''.join(some[r(len(some))] for _ in range(4 * n))
    return NASTY[r(len(NASTY))] * (8 * n)


def corpus(r):
    """Words of many scripts with a frequency of about 1 / rank."""
    scripts = ['etaoinshrdlucmfwypvbgkqjxz', 'оеаинтсрвлкмдп', 'αοιετσνηυρ',
               '的一是不了人我在有他', 'のにはをたがで', 'אבגדהוזח', 'นรอก']
    ends = ['. ', ', ', ' ', ' ', ' ', ' ', ' ', '\n', ".\n\n", "'s ", ' = ',
            '();\n\t', ' 12', ' 2026', '! ']
    words = []
    for i in range(400):
        abc = scripts[r(len(scripts)) if r(5) == 0 else 0]
        w = ''.join(abc[min(r(len(abc)), r(len(abc)))]
                    for _ in range(1 + r(8)))
        words.append(w.capitalize() if r(8) == 0 else w)
    out = []
    while sum(map(len, out)) < 24000:
        out.append(words[int(400 ** (r(10**6) / 1e6)) - 1] + ends[r(len(ends))])
    return ''.join(out) + '\n'


def learn(text, size, cut, nfc):
    t = Tokenizer(models.BPE())
    if nfc:
        t.normalizer = normalizers.NFC()
    t.pre_tokenizer = cut
    t.train_from_iterator([text], trainers.BpeTrainer(
        vocab_size=size, min_frequency=2, show_progress=False,
        initial_alphabet=pre.ByteLevel.alphabet()))
    return t


def behind(*patterns):
    return pre.Sequence([
        *(pre.Split(Regex(p), 'isolated') for p in patterns),
        pre.ByteLevel(add_prefix_space=False, use_regex=False)])


def small(text, name):
    """A vocabulary: how it cuts, and a peculiarity."""
    cut = {'qwen2': behind(QWEN2), 'llama3': behind(LLAMA3),
           'regex': behind(REGEX), 'o200k': behind(O200K),
           'chain': behind(r'\p{N}{1,3}', '[\u4e00-\u9fa5\u3040-\u30ff]+',
                           CHAIN),
           'smollm': pre.Sequence([
               pre.Digits(individual_digits=True),
               pre.ByteLevel(add_prefix_space=False)]),
           'gpt2': pre.ByteLevel(add_prefix_space=False)}[name]
    t = learn(text, 700, cut, name == 'qwen2')
    if name == 'llama3':  # a token that only ignore_merges reaches
        o = json.loads(t.to_str())
        o['model']['ignore_merges'] = True
        o['model']['vocab']['Ġzqzqzq'] = len(o['model']['vocab'])
        t = Tokenizer.from_str(json.dumps(o))
    t.decoder = decoders.ByteLevel()
    add = tokenizers.AddedToken
    t.add_special_tokens([add('<|im_start|>', special=True, normalized=False),
                          add('<|im_end|>', special=True,
                              normalized=name == 'gpt2')])
    t.add_tokens([add('<think>', normalized=name != 'regex'),
                  add('<|x|>', normalized=False), add('  <|', normalized=True)])
    o = json.loads(t.to_str())
    if name == 'gpt2':
        o['model']['merges'] = [' '.join(m) for m in o['model']['merges']]
    os.makedirs(f'{OUT}/{name}', exist_ok=True)
    with open(f'{OUT}/{name}/tokenizer.json', 'w', encoding='utf-8') as f:
        json.dump(o, f, ensure_ascii=False, separators=(',', ':'))
        f.write('\n')
    return Tokenizer.from_file(f'{OUT}/{name}/tokenizer.json')


def marked(text, name):
    """A vocabulary of SentencePiece's kind, its mark from the normaliser
    (llama2) or from a pre-tokeniser (metaspace)."""
    mark, add = '\u2581', tokenizers.AddedToken
    t = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True,
                             unk_token='<unk>'))
    t.pre_tokenizer = pre.Metaspace(prepend_scheme='always')
    t.train_from_iterator([text], trainers.BpeTrainer(
        vocab_size=640, min_frequency=2, show_progress=False,
        special_tokens=['<unk>'] + [f'<0x{i:02X}>' for i in range(256)]))
    o = json.loads(t.to_str())
    o['added_tokens'] = o['added_tokens'][:1]
    if name == 'metaspace':  # nothing to fall back to for one byte
        v = o['model']['vocab']
        v['zqzq'] = v.pop('<0xE4>')
    t = Tokenizer.from_str(json.dumps(o))
    if name == 'llama2':
        t.pre_tokenizer = None
        t.normalizer = normalizers.Sequence([
            normalizers.Prepend(mark), normalizers.Replace(' ', mark)])
    else:
        t.pre_tokenizer = pre.Metaspace(prepend_scheme='first', split=False)
    t.decoder = decoders.Sequence([
        decoders.Replace(mark, ' '), decoders.ByteFallback(), decoders.Fuse(),
        decoders.Strip(' ', 1, 0)])
    t.add_special_tokens([add('<|im_start|>', special=True, normalized=False),
                          add('<|im_end|>', special=True, normalized=False)])
    t.add_tokens([add('<think>', normalized=True),
                  add('<|x|>', normalized=False)])
    os.makedirs(f'{OUT}/{name}', exist_ok=True)
    with open(f'{OUT}/{name}/tokenizer.json', 'w', encoding='utf-8') as f:
        f.write(t.to_str() + '\n')
    return Tokenizer.from_file(f'{OUT}/{name}/tokenizer.json')


def clip(text, name):
    """CLIP's: ends of words are marked."""
    add = tokenizers.AddedToken
    t = Tokenizer(models.BPE(end_of_word_suffix='</w>', unk_token='<|im_end|>',
                             continuing_subword_prefix=''))
    t.normalizer = normalizers.Sequence([
        normalizers.NFC(), normalizers.Replace(Regex(r'\s+'), ' '),
        normalizers.Lowercase()])
    t.pre_tokenizer = pre.Sequence([
        pre.Split(Regex(CLIP), 'removed', invert=True),
        pre.ByteLevel(add_prefix_space=False)])
    byte = sorted(pre.ByteLevel.alphabet())
    t.train_from_iterator([text], trainers.BpeTrainer(
        vocab_size=900, min_frequency=2, show_progress=False,
        end_of_word_suffix='</w>', initial_alphabet=byte,
        special_tokens=['<|im_end|>', *(b + '</w>' for b in byte)]))
    o = json.loads(t.to_str())
    o['added_tokens'] = []
    t = Tokenizer.from_str(json.dumps(o))
    t.decoder = decoders.ByteLevel()
    t.add_special_tokens([add('<|im_start|>', special=True, normalized=True),
                          add('<|im_end|>', special=True, normalized=False)])
    os.makedirs(f'{OUT}/{name}', exist_ok=True)
    with open(f'{OUT}/{name}/tokenizer.json', 'w', encoding='utf-8') as f:
        json.dump(json.loads(t.to_str()), f, ensure_ascii=False,
                  separators=(',', ':'))
        f.write('\n')
    return Tokenizer.from_file(f'{OUT}/{name}/tokenizer.json')


class Ranks:
    """tiktoken's cl100k_base with ranks of our own."""

    def __init__(self, text, name):
        t = learn(text, 700, behind(QWEN2), False)
        byte = {c: b for b, c in zip(
            [*range(33, 127), *range(161, 173), *range(174, 256)],
            map(chr, [*range(33, 127), *range(161, 173), *range(174, 256)]))}
        rest = [b for b in range(256) if b not in byte.values()]
        byte.update({chr(256 + i): b for i, b in enumerate(rest)})
        ranks = {bytes(byte[c] for c in s): i
                 for s, i in t.get_vocab().items()}
        make = openai_public.ENCODING_CONSTRUCTORS
        openai_public.load_tiktoken_bpe = lambda *_, **__: ranks
        self.t = tiktoken.Encoding(**make['cl100k_base']())
        os.makedirs(f'{OUT}/{name}', exist_ok=True)
        with open(f'{OUT}/{name}/cl100k_base.tiktoken', 'wb') as f:
            for s, i in sorted(ranks.items(), key=lambda x: x[1]):
                f.write(base64.b64encode(s) + b' %d\n' % i)
        self.encode_special_tokens = False

    def encode(self, s, add_special_tokens):
        class Ids:
            ids = (self.t.encode(s, disallowed_special=())
                   if self.encode_special_tokens else
                   self.t.encode(s, allowed_special='all'))
        return Ids

    def encode_batch(self, list_, add_special_tokens):
        return [self.encode(s, add_special_tokens) for s in list_]


def fnv(h, v):
    for b in (v & 0xffffffff).to_bytes(4, 'little'):
        h = ((h ^ b) * 0x100000001b3) & (2**64 - 1)
    return h


def blocks(name, t, count, f):
    """`count` blocks of 1000 strings, specials read as such or as text."""
    for plain in (0, 1):
        t.encode_special_tokens = bool(plain)
        r = Random(7)
        for b in range(count):
            h = 0xcbf29ce484222325
            for e in t.encode_batch([string(r) for _ in range(1000)],
                                    add_special_tokens=False):
                for i in e.ids:
                    h = fnv(h, i)
                h = fnv(h, -1)
            print(name, plain, b, f'{h:016x}', file=f)
    t.encode_special_tokens = False


CASES = ["Hello world", "it's IT'S I'll we\u2019re", "  two  spaces ",
         "a\n\n  b\r\n\tc  ", "1234567 3.14", "caf\u00e9 cafe\u0301",
         "'\u017f'\u212a", "\u4e2d\u6587 \U0001f642!",
         "<|im_start|>user<|im_end|> <think>", " zqzqzq", ""]
CHATS = [
    [{'role': 'user', 'content': 'Which shape?'},
     {'role': 'assistant', 'content': 'a circle'}],
    [{'role': 'system', 'content': 'Be brief.'},
     {'role': 'user', 'content': [{'type': 'image'},
                                  {'type': 'text', 'text': 'Colour?'}]},
     {'role': 'assistant', 'content': '\nblue'},
     {'role': 'user', 'content': [{'type': 'text', 'text': 'And '},
                                  {'type': 'text', 'text': 'here? '},
                                  {'type': 'image'}, {'type': 'image'}]},
     {'role': 'assistant', 'content': [{'type': 'text', 'text': 'red '},
                                       {'type': 'text', 'text': 'one'}]}],
    [{'role': 'user', 'content': ''}, {'role': 'assistant', 'content': ''}],
]
TOOL = [{'role': 'user', 'content': '6*7?'},
        {'role': 'assistant', 'content': [
            {'type': 'text', 'text': 'Let me see '},
            {'type': 'python', 'text': '6*7'},
            {'type': 'python_output', 'text': '42'},
            {'type': 'text', 'text': 'it is 42'}]}]


def chats():
    """Our own chat templates, through Jinja and tokenizers."""
    env = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    out = []
    for name in 'nano', 'chatml':
        with tempfile.TemporaryDirectory() as d:
            subprocess.run([f'{B}/bin/gv-tokenize', 'train', '-v', '700',
                            '--template', name, '-o', d,
                            f'{OUT}/corpus.txt'], check=True)
            t = Tokenizer.from_file(f'{d}/tokenizer.json')
            with open(f'{d}/tokenizer_config.json', encoding='utf-8') as f:
                tmpl = env.from_string(json.load(f)['chat_template'])
        for m in CHATS + ([TOOL] if name == 'nano' else []):
            for prompt in False, True:
                text = tmpl.render(messages=m, add_generation_prompt=prompt)
                ids = t.encode(text, add_special_tokens=False).ids
                out.append({'template': name, 'prompt': prompt,
                            'messages': m, 'text': text, 'ids': ids})
    return out


def main():
    os.makedirs(OUT, exist_ok=True)
    text = corpus(Random(1))
    with open(f'{OUT}/corpus.txt', 'w', encoding='utf-8', newline='') as f:
        f.write(text)
    t = learn(text, 600, behind(QWEN2), True)
    with open(f'{OUT}/merges.txt', 'w', encoding='utf-8') as f:
        for a, b in json.loads(t.to_str())['model']['merges']:
            print(a, b, file=f)
    with open(f'{OUT}/nasty.json', 'w', encoding='utf-8') as f:
        json.dump(NASTY, f)
        f.write('\n')
    cases = []
    with open(f'{OUT}/blocks.txt', 'w', encoding='utf-8') as f:
        for name in ('qwen2', 'gpt2', 'llama3', 'regex', 'smollm', 'o200k',
                     'chain', 'llama2', 'metaspace', 'clip', 'cl100k'):
            t = {'llama2': marked, 'metaspace': marked, 'clip': clip,
                 'cl100k': Ranks}.get(name, small)(text, name)
            blocks(name, t, 4, f)
            cases += [[name, s, t.encode(s, add_special_tokens=False).ids]
                      for s in CASES]
        if len(sys.argv) > 1:
            t = Tokenizer.from_file(f'{sys.argv[1]}/tokenizer.json')
            blocks('qwen3', t, 20, f)
            cases += [['qwen3', s, t.encode(s, add_special_tokens=False).ids]
                      for s in CASES]
    for name, list_ in ('cases', cases), ('chat', chats()):
        with open(f'{OUT}/{name}.json', 'w', encoding='utf-8') as f:
            f.write('[\n' + ',\n'.join(map(json.dumps, list_)) + '\n]\n')
    print(f'tokenizers {tokenizers.__version__}, seed 1')


main()
