#!/usr/bin/env python3
"""Holds gv-tokenize's chat templates against transformers' apply_chat_template.

    python3 -m venv V
    V/bin/pip install transformers==5.23.0 tokenizers==0.23.3 jinja2 msgpack
    V/bin/python tests/golden/make_chat.py TEMPLATES [-n N]
    V/bin/python tests/golden/make_chat.py --model DIR --template NAME [-n N]

makes tests/golden/chat, or with -n compares about N random conversations a
template; with --model, those of one model and its own vocabulary.  It is to be
run in the repository's root after `make`.  TEMPLATES is a directory with the
chat templates of the models as they publish them, which are not ours to keep
here: qwen2.5.jinja, qwen3.jinja, qwen2-vl.jinja, smollm2.jinja, llama3.jinja,
llama3.1.jinja, llava-hf.jinja, smolvlm.jinja; one that is missing is left out.
Files made:

    FAMILY/                 small vocabularies with the families' special tokens
    cases.json              conversations and their ids

A conversation is rendered by Jinja and tokenized as one text by transformers,
and by gv-tokenize from its parts.  Texts never spell a special token, since
there the two differ on purpose.
"""
import argparse
import json
import os
import random
import subprocess
import sys
import tempfile

import msgpack
import transformers
from transformers.models.smolvlm.processing_smolvlm import (
    get_image_prompt_string)

OUT = 'tests/golden/chat'
TOKENS = 'tests/golden/tokens'
B = os.environ.get('B', 'build')
CHATML = ['<|endoftext|>', '<|im_start|>', '<|im_end|>']
FAMILY = {  # vocabulary to start from, special tokens, other added tokens
    'qwen': ('qwen2', CHATML + ['<|vision_start|>', '<|vision_end|>',
                                '<|image_pad|>'],
             ['<tool_call>', '</tool_call>', '<tool_response>',
              '</tool_response>', '<think>', '</think>']),
    'llama3': ('llama3', ['<|begin_of_text|>', '<|end_of_text|>',
                          '<|start_header_id|>', '<|end_header_id|>',
                          '<|eom_id|>', '<|eot_id|>'], []),
    'llava': ('llama2', ['<s>', '</s>', '<image>'], []),
    'smol': ('gpt2', CHATML + ['<image>', '<end_of_utterance>', '<global-img>',
                               '<fake_token_around_image>'] +
             [f'<row_{i}_col_{k}>' for i in (1, 2) for k in (1, 2, 3)], []),
}
NAMES = {'llama3': {'bos_token': '<|begin_of_text|>'},
         'llava': {'bos_token': '<s>', 'eos_token': '</s>'},
         'smol': {'image_token': '<image>'}}
VICUNA = ("{% if messages[0].role != 'system' %}{{ 'A chat between a curious "
          "user and an artificial intelligence assistant. The assistant gives "
          "helpful, detailed, and polite answers to the user\\'s questions. ' "
          "}}{% endif %}{% for m in messages %}"
          "{% if m.role == 'user' %}{{ 'USER: ' }}"
          "{% elif m.role == 'assistant' %}{{ 'ASSISTANT: ' }}{% endif %}"
          "{% for c in m.content %}{% if c.type == 'image' %}{{ '<image>\\n' }}"
          "{% endif %}{% endfor %}"
          "{% for c in m.content %}{% if c.type == 'text' %}{{ c.text }}"
          "{% endif %}{% endfor %}"
          "{{ '</s>' if m.role == 'assistant' else ' ' }}{% endfor %}"
          "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}")
# name of the template: family, whether content is a list, tools and thoughts
FORM = {'smollm2': ('smol', 0, 0, 0), 'qwen2.5': ('qwen', 0, 1, 0),
        'qwen3': ('qwen', 0, 1, 1), 'qwen2-vl': ('qwen', 2, 0, 0),
        'llama3': ('llama3', 0, 0, 0), 'llama3.1': ('llama3', 0, 1, 0),
        'llava': ('llava', 1, 0, 0), 'llava-hf': ('llava', 1, 0, 0),
        'smolvlm': ('smol', 1, 0, 0)}
OURS = {'qwen2-vl': 'chatml'}  # what it is called here


def vocabulary(family):
    base, special, added = FAMILY[family]
    with open(f'{TOKENS}/{base}/tokenizer.json', encoding='utf-8') as f:
        o = json.load(f)
    o['added_tokens'] = [a for a in o['added_tokens']
                         if a['content'] == '<unk>']
    for i, text in enumerate(special + added):
        o['added_tokens'].append({
            'id': len(o['model']['vocab']) + i, 'content': text,
            'single_word': False, 'lstrip': False, 'rstrip': False,
            'normalized': False, 'special': text in special})
    return o


class Form:
    """A template with a vocabulary, in a directory that both sides open."""

    def __init__(self, name, text, family, dir_, lists, tools, thoughts):
        self.name, self.lists = name, lists
        self.tools, self.thoughts, self.dir = tools, thoughts, dir_
        self.bos = []
        special = FAMILY[family][1]
        config = {'chat_template': text,
                  'tokenizer_class': 'PreTrainedTokenizerFast'}
        config.update(NAMES.get(family, {}))
        with open(f'{dir_}/tokenizer_config.json', 'w', encoding='utf-8') as f:
            json.dump(config, f)
        with open(f'{dir_}/tokenizer.json', 'w', encoding='utf-8') as f:
            json.dump(vocabulary(family), f, ensure_ascii=False)
        self.t = transformers.PreTrainedTokenizerFast(
            tokenizer_file=f'{dir_}/tokenizer.json',
            **{k: v for k, v in config.items() if k != 'tokenizer_class'})
        if family == 'llava':  # the tokenizer puts it there, not the template
            self.bos = [self.t.convert_tokens_to_ids('<s>')]
        self.special = special

    def ids(self, c, prompt, how):
        text = self.t.apply_chat_template(
            c['messages'], tools=c.get('tools'), tokenize=False,
            add_generation_prompt=prompt, **how)
        if self.name == 'smolvlm':  # as its processor does
            first, *rest = text.split('<image>')
            tiles = c.get('tiles') or [[0, 0]] * len(rest)
            text = first + ''.join(
                get_image_prompt_string(*grid, 1, '<fake_token_around_image>',
                                        '<image>', '<global-img>') + s
                for grid, s in zip(tiles, rest))
        return self.bos + self.t.encode(text, add_special_tokens=False)


# ---- conversations -----------------------------------------------------------

WORDS = ['the', 'shape', 'is', 'a', 'circle', 'Which', 'colour?', '42', '3.14',
         "it's", 'caf\u00e9', 'cafe\u0301', '\u4e2d\u6587', '\U0001f642', 'x',
         '\u00a0', '\u3000', '\t', '\n', '\n\n', ' ', '  ', '<', '|', '<|im',
         '>', '{"a": 1}', "{{ 'x' }}", '\u0301', '/', '\\', '"', "'",
         'USER:', '#']


def text(r, most=12):
    n = r.randrange(most)
    s = ''.join(r.choice(WORDS) + r.choice(['', ' ', ' '])
                for _ in range(n))
    edge = ['', '', '', ' ', '\n', '\n\n', '  ', '\u3000', '\x1f']
    return r.choice(edge) + s + r.choice(edge)


def value(r, deep=2):
    k = r.randrange(9 if deep else 6)
    if k == 0:
        return r.choice([None, True, False])
    if k == 1:
        return r.choice([0, -7, 12345678901, r.randrange(1000)])
    if k == 2:
        return r.choice([0.5, -1e-5, 1e16, 1.0, 123456.789, 1e-4, 3e22, -0.0,
                         r.random(), r.random() * 10.0 ** r.randrange(-20, 20)])
    if k < 6:
        return text(r, 4) + r.choice(['', '\x01', '\x7f', '\u2028', '\b\f'])
    if k == 6:
        return [value(r, deep - 1) for _ in range(r.randrange(3))]
    return {f'k{i}': value(r, deep - 1) for i in range(r.randrange(4))}


def function(r):
    f = {'name': r.choice(['add', 'get_weather', 'f\u00fc']),
         'description': text(r, 5), 'parameters': value(r, 3)}
    return {'type': 'function', 'function': f} if r.randrange(3) else f


def content(r, form, images):
    if not form.lists or (form.lists == 2 and r.randrange(2)):
        return text(r)
    parts = [{'type': 'text', 'text': text(r)} for _ in range(r.randrange(3))]
    for _ in range(r.choice([0, 0, 1, 2]) if images else 0):
        parts.insert(r.randrange(len(parts) + 1), {'type': 'image'})
    return parts or [{'type': 'text', 'text': text(r)}]


def assistant(r, form):
    m = {'role': 'assistant', 'content': content(r, form, False)}
    if form.thoughts:
        k = r.randrange(6)
        if k == 0:
            m['reasoning_content'] = text(r)
        if k == 1:
            m['content'] = ('<think>' + text(r) + '</think>' + text(r))
        if k == 2:
            m['content'] = text(r) + '</think>\n\n' + text(r) + r.choice(
                ['', '</think>', '<think>'])
    if form.tools and r.randrange(3) == 0:
        n = 1 if form.name == 'llama3.1' else 1 + r.randrange(3)
        calls = [{'name': r.choice(['add', 'f\u00fc']),
                  'arguments': r.choice([{}, '{"a": 1}', value(r, 1)])}
                 for _ in range(n)]
        m['tool_calls'] = [
            {'type': 'function', 'function': c}
            if form.name == 'llama3.1' or r.randrange(2) else c for c in calls]
        m['content'] = r.choice(['', m['content'], m['content']])
    return m


def conversation(r, form):
    messages = []
    if r.randrange(3) == 0:
        messages.append({'role': 'system', 'content': content(r, form, False)})
    for _ in range(1 + r.randrange(5)):
        k = r.randrange(12)
        if k < 5:
            messages.append({'role': 'user', 'content': content(r, form, True)})
        elif k < 9:
            messages.append(assistant(r, form))
        elif k < 11 and form.tools:
            messages += [{'role': 'tool', 'content': text(r)}
                         for _ in range(1 + r.randrange(2))]
        elif k == 11:
            messages.append({'role': 'system',
                             'content': content(r, form, False)})
        elif form.thoughts:
            messages.append({'role': 'user', 'content': '<tool_response>'
                             + text(r) + '</tool_response>'})
    c = {'messages': messages or [{'role': 'user', 'content': content(
        r, form, True)}]}
    if form.tools and r.randrange(2):
        c['tools'] = [function(r) for _ in range(1 + r.randrange(2))]
    return c


def plain(form, c):
    """No special token is spelled, and this the template can write at all."""
    s = json.dumps(c, ensure_ascii=False)
    if any(x in s for x in form.special):
        return False
    if form.name == 'llama3.1' and c.get('tools'):
        first = c['messages'][c['messages'][0]['role'] == 'system':]
        return bool(first) and isinstance(first[0].get('content'), str)
    return True


def conversations(form, seed, n):
    r = random.Random(seed)
    out = []
    while len(out) < n:
        c = conversation(r, form)
        if plain(form, c):
            out.append(c)
    return out


# ---- comparing ---------------------------------------------------------------

def field(rec, name):
    data = rec[name][b'data']
    return [int.from_bytes(data[i:i + 4], 'little', signed=True)
            for i in range(0, len(data), 4)]


def ours(form, list_, prompt, how, template):
    """The ids of each, or None where gv-tokenize refuses."""
    args = [f'{B}/bin/gv-tokenize', '-m', form.dir, '--image-rows', '1',
            '--max-errors', str(len(list_)), '-q',
            '--prompt' if prompt else '--chat']
    if template:
        args += ['--template', template]
    if how.get('enable_thinking') is False:
        args.append('--no-thinking')
    if 'date_string' in how:
        args += ['--date', how['date_string']]
    lines = ''.join(json.dumps({'id': str(i), **c}) + '\n'
                    for i, c in enumerate(list_))
    run = subprocess.run(args, input=lines.encode(), check=False,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if run.returncode:
        sys.exit(run.stderr.decode())
    out = [None] * len(list_)
    u = msgpack.Unpacker(raw=False, strict_map_key=False,
                         max_buffer_size=2**31 - 1)
    u.feed(run.stdout)
    for rec in u:
        if rec['gv'] == 'rec':
            out[int(rec['key'])] = field(rec, 'tokens')
    return out, run.stderr.decode().splitlines()


def without_answer(c):
    return {**c, 'messages': c['messages'][:-1]
            if c['messages'][-1]['role'] == 'assistant' else c['messages']}


def compare(form, n, template):
    ways = [(False, {}), (True, {})]
    if form.thoughts:
        ways.append((True, {'enable_thinking': False}))
    if form.name == 'llama3.1':
        ways.append((False, {'date_string': '1 Jan 2027'}))
    total = differ = refused = 0
    for k, (prompt, how) in enumerate(ways):
        list_ = conversations(form, 1000 + k, n // len(ways))
        if prompt:
            list_ = [c for c in list_ if without_answer(c)['messages']]
        got, said = ours(form, list_, prompt, how, template)
        for i, c in enumerate(list_):
            ask = without_answer(c) if prompt else c
            try:
                want = form.ids(ask, prompt, how)
            except Exception as e:  # the template refuses
                want = None
                if got[i] is not None:
                    print(f'only transformers refuses: {e}: {json.dumps(c)}')
            total += 1
            if want is None and got[i] is None:
                refused += 1
            elif want != got[i]:
                differ += 1
                if differ < 4:
                    print('differs:', json.dumps(c), want, got[i], said[:1])
    print(f'{form.name}: {total} conversations, {differ} differ, '
          f'{refused} refused by both')
    return differ


# ---- golden files ------------------------------------------------------------

def golden(forms):
    cases = []
    for form in forms:
        list_ = conversations(form, 7, 5)
        if form.name in OURS:  # its system message is known by its text alone
            list_ = [c for c in conversations(form, 7, 30)
                     if c['messages'][0]['role'] == 'system'][:5]
        if form.name == 'smolvlm':
            list_.append({'tiles': [[2, 3], [0, 0], [1, 4]], 'messages': [
                {'role': 'user', 'content': [
                    {'type': 'image'}, {'type': 'text', 'text': 'One, '},
                    {'type': 'image'}, {'type': 'image'}]}]})
        for c in list_:
            for prompt, how in [(False, {}), (True, {})] + [
                    (True, {'enable_thinking': False})] * form.thoughts:
                ask = without_answer(c) if prompt else c
                if not ask['messages']:
                    continue
                cases.append({'template': OURS.get(form.name, form.name),
                              'family': FORM[form.name][0], 'prompt': prompt,
                              'no_thinking': bool(how), **ask,
                              'ids': form.ids(ask, prompt, how)})
    os.makedirs(OUT, exist_ok=True)
    for family in FAMILY:
        os.makedirs(f'{OUT}/{family}', exist_ok=True)
        with open(f'{OUT}/{family}/tokenizer.json', 'w',
                  encoding='utf-8') as f:
            json.dump(vocabulary(family), f, ensure_ascii=False,
                      separators=(',', ':'))
            f.write('\n')
        with open(f'{OUT}/{family}/tokenizer_config.json', 'w',
                  encoding='utf-8') as f:
            json.dump(NAMES.get(family, {}), f)
            f.write('\n')
    with open(f'{OUT}/cases.json', 'w', encoding='utf-8') as f:
        f.write('[\n' + ',\n'.join(
            json.dumps(c, separators=(',', ':')) for c in cases) + '\n]\n')
    print(f'{len(cases)} cases, transformers {transformers.__version__}')


def main():
    p = argparse.ArgumentParser()
    p.add_argument('templates', nargs='?')
    p.add_argument('-n', type=int, default=0)
    p.add_argument('--model')
    p.add_argument('--template', choices=list(FORM))
    a = p.parse_args()
    if bool(a.model) == bool(a.templates) or bool(a.model) != bool(a.template):
        p.error('either TEMPLATES, or --model with --template')
    if a.model:
        form = Form.__new__(Form)
        form.t = transformers.AutoTokenizer.from_pretrained(a.model)
        form.name, form.dir, form.bos = a.template, a.model, []
        _, form.lists, form.tools, form.thoughts = FORM[a.template]
        form.special = form.t.all_special_tokens
        return compare(form, a.n or 2000, None) > 0
    forms, made = [], []
    for name, (family, *kind) in FORM.items():
        path = f'{a.templates}/{name}.jinja'
        if name != 'llava' and not os.path.exists(path):
            print(f'{name}: no {path}')
            continue
        made.append(tempfile.TemporaryDirectory())
        body = VICUNA
        if name != 'llava':
            with open(path, encoding='utf-8') as f:
                body = f.read()
        forms.append(Form(name, body, family, made[-1].name, *kind))
    if not a.n:
        return golden(forms)
    # llava-hf's text is that of models which llava is written for
    return sum(compare(f, a.n, 'llava-hf' if f.name == 'llava-hf' else None)
               for f in forms) > 0


sys.exit(main())
