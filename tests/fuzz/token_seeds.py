#!/usr/bin/env python3
"""Makes the first files of tests/fuzz/corpus/{vocab,token,lines}: a small
vocabulary of every kind that is read and some that must be refused, merges
with text, lines for every template.

    python3 tests/fuzz/token_seeds.py

What a fuzzer found is added beside them by hand, under the name of what it is.
"""

import base64
import json
import os
import struct

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus")
QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
         r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
CLIP = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def put(target, name, data):
    os.makedirs(os.path.join(HERE, target), exist_ok=True)
    with open(os.path.join(HERE, target, name), "wb") as f:
        f.write(data if isinstance(data, bytes) else data.encode())


def alphabet():
    own = [*range(0x21, 0x7f), *range(0xa1, 0xad), *range(0xae, 0x100)]
    rest = [b for b in range(256) if b not in own]
    return {**{b: chr(b) for b in own},
            **{b: chr(256 + i) for i, b in enumerate(rest)}}


def bpe(merges, first, **more):
    vocab = dict.fromkeys(first)
    for a, b in merges:
        vocab[a + b] = None
    return {"type": "BPE", "vocab": {t: i for i, t in enumerate(vocab)},
            "merges": [f"{a} {b}" for a, b in merges], **more}


def added(text, i, **more):
    return {"id": i, "content": text, "single_word": False, "lstrip": False,
            "rstrip": False, "normalized": False, "special": True, **more}


def split(pattern, **more):
    return {"type": "Split", "pattern": {"Regex": pattern},
            "behavior": "Isolated", "invert": False, **more}


LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}
FULL = {"type": "ByteLevel", "add_prefix_space": False}
TH = [("t", "h"), ("th", "e"), ("Ġ", "the"), ("e", "r"), ("a", "a"),
      ("aa", "aa")]
BYTES = [chr(c) for c in range(0x21, 0x7f)] + ["Ġ", "Ċ", "ĉ", "č", "Ã", "©"]


def sequence(*parts):
    return {"type": "Sequence", "pretokenizers": list(parts)}


def jsons():
    def one(name, model, cut, **more):
        put("vocab", name + ".json", json.dumps(
            {"model": model, "pre_tokenizer": cut, **more},
            ensure_ascii=False, separators=(",", ":")))

    one("qwen2", bpe(TH, BYTES), sequence(split(QWEN2), LEVEL),
        normalizer={"type": "NFC"},
        added_tokens=[added("<|endoftext|>", 200), added(
            "<think>", 201, special=False, normalized=True)])
    one("gpt2", bpe(TH, BYTES, ignore_merges=True), FULL)
    one("smollm", bpe(TH, BYTES), sequence(
        {"type": "Digits", "individual_digits": True}, FULL))
    one("chain", bpe(TH, BYTES), sequence(
        split(r"\p{N}{1,3}"), split("[\u4e00-\u9fa5]+"),
        split(r"[!-/][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|\s+"),
        LEVEL))
    one("regex", bpe(TH, BYTES), sequence(split(r"(?i:a+b?|\w+)$|\S"), LEVEL))
    one("cycle", {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "": 3},
                  "merges": [["a", "b"], ["ab", ""], ["", "ab"]]}, FULL)
    one("twice", {"type": "BPE", "vocab": {"a": 0, "b": 0}, "merges": []}, FULL)
    one("far", {"type": "BPE", "vocab": {"a": 1 << 40}, "merges": []}, FULL)
    one("wordpiece", {"type": "WordPiece", "vocab": {"a": 0}}, FULL)
    end = [c + "</w>" for c in alphabet().values()]
    one("clip", bpe([("t", "h"), ("th", "e</w>"), ("'", "s</w>")],
                    [*alphabet().values(), *end], end_of_word_suffix="</w>",
                    unk_token="<|endoftext|>"),
        sequence(split(CLIP, behavior="Removed", invert=True), FULL),
        normalizer={"type": "Sequence", "normalizers": [
            {"type": "NFC"}, {"type": "Replace", "pattern": {"Regex": r"\s+"},
                              "content": " "}, {"type": "Lowercase"}]},
        added_tokens=[added("<|startoftext|>", 600, normalized=True),
                      added("<|endoftext|>", 601)])
    back = {"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "},
        {"type": "ByteFallback"}, {"type": "Fuse"}]}
    first = ["<unk>", *(f"<0x{b:02X}>" for b in range(256)), "\u2581", "t",
             "h", "e", "a"]
    model = bpe([("t", "h"), ("\u2581", "th"), ("\u2581th", "e"), ("a", "a"),
                 ("\u2581", "\u2581")], first, byte_fallback=True,
                unk_token="<unk>", fuse_unk=True)
    one("llama2", model, None, decoder=back, normalizer={
        "type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "\u2581"},
            {"type": "Replace", "pattern": {"String": " "},
             "content": "\u2581"}]})
    one("metaspace", model, {"type": "Metaspace", "replacement": "\u2581",
                             "prepend_scheme": "first", "split": False},
        decoder=back)


def ranks():
    token = [bytes([b]) for b in range(256)] + [
        b"th", b"the", b" the", b"aa", b"aaaa", b"aaaaa", b"he", b"\xc3\xa9"]

    def lines(t):
        return b"".join(base64.b64encode(s) + b" %d\n" % i for i, s in t)

    put("vocab", "ranks", lines(list(enumerate(token))))
    put("vocab", "ranks-order", lines(list(enumerate(token))[::-1]))
    put("vocab", "ranks-twice", lines([*enumerate(token), (300, b"th")]))
    put("vocab", "ranks-missing", lines(list(enumerate(token))[1:]))
    put("vocab", "sentencepiece", b"\n\x0e\n\x05<unk>\x15\0\0\0\0\x18\x02")
    put("vocab", "clip", "#version: 0.2\nt h\nth e</w>\ni n\na a\naa a</w>\n")


def text(s):
    s = s if isinstance(s, bytes) else s.encode()
    return struct.pack("<Q", len(s)) + s


def gguf():
    def pair(key, kind, data):
        return text(key) + struct.pack("<I", kind) + data

    def strings(key, list_):
        return pair(key, 9, struct.pack("<IQ", 8, len(list_)) +
                    b"".join(text(s) for s in list_))

    tokens = [*BYTES, "th", "the", "<|im_start|>"]
    kinds = [1] * (len(tokens) - 1) + [3]
    for pre in ("qwen2", "smollm", "llama-bpe", "other"):
        pairs = [
            pair("general.architecture", 8, text("llama")),
            pair("tokenizer.ggml.model", 8, text("gpt2")),
            pair("tokenizer.ggml.pre", 8, text(pre)),
            strings("tokenizer.ggml.tokens", tokens),
            pair("tokenizer.ggml.token_type", 9,
                 struct.pack("<IQ", 5, len(kinds)) +
                 struct.pack(f"<{len(kinds)}i", *kinds)),
            strings("tokenizer.ggml.merges", ["t h", "th e"]),
            pair("tokenizer.ggml.eos_token_id", 4, struct.pack("<I", 5))]
        put("vocab", f"{pre}.gguf", b"GGUF" + struct.pack(
            "<IQQ", 3, 0, len(pairs)) + b"".join(pairs))


def companions():
    turn = "<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n"
    put("vocab", "template-chatml", "{% for m in messages %}{{'" + turn +
        "'}}{% endfor %}")
    put("vocab", "template-system", "{% if 1 %}{{'<|im_start|>system\\nYou are "
        "it.<|im_end|>\\n'}}{% endif %}{% for m in messages %}{{'" + turn +
        "'}}{% endfor %}")
    put("vocab", "template-llama", "{% for m in messages %}{{'<|start_header_id"
        "|>' + m.role + m.content | trim + '<|eot_id|>'}}{% endfor %}")
    put("vocab", "config", "[" + json.dumps({
        "eos_token": "<|im_end|>", "bos_token": {"content": "<s>"},
        "add_bos_token": True, "image_token": "<|image|>",
        "model_max_length": 10 ** 30,
        "chat_template": [{"name": "default", "template": turn}]}))


def compiled():
    """Changes to a compiled form: where, how, a byte."""
    for name, edits in {
            "none": [], "size": [(172, 2, 7)], "mask": [(176, 2, 1)],
            "byte": [(1 << 23 | 700, 0, 99)], "cut": [(9000, 3, 0)],
            "token": [(1345, 2, 2)], "later": [(40000, 1, 3), (5000, 2, 5)],
            "end": [(270000, 2, 2)], "digest": [(1270, 0, 0)]}.items():
        put("vocab", "compiled-" + name, b"gv-tokenizer" + b"".join(
            struct.pack("<I", at)[:3] + bytes([how, b]) for at, how, b in edits))


def merges():
    words = ("the 123 It's   \n\n x=42;\r\n \u00e9e\u0301 \u4e2d aaaaaaaaab <s>"
             "a <s>> THE<n>")
    sides = b"thhe\x80eaa\x83\x83aa\x84a x"
    for cut in range(13):
        for flags in (0, 1, 2, 4, 8) if cut < 6 else (0, 1 | 8 | 16, 8 | 32):
            put("token", f"{cut}-{flags}", bytes(
                [cut, flags, len(sides) // 2]) + sides + words.encode())
    put("token", "letters", bytes([0, 0, 3]) + b"aa\x80\x80\x81a" + b"a" * 1500)
    put("token", "broken", bytes([0, 2, 1]) + b"\xc3\xa9" +
        b"\xff\xfe a\xc3\xa9\xcc\x81\xed\xa0\x80\0 b")


def lines():
    ask = [{"role": "user", "content": "What is <|im_end|>?"}]
    turns = [{"role": "system", "content": "Be brief."}, *ask,
             {"role": "assistant", "content": "A token."},
             {"role": "user", "content": [
                 {"type": "image"}, {"type": "text", "text": "And this?"}]},
             {"role": "assistant", "content": "A cat."}]
    tools = [*ask, {"role": "assistant", "content": "", "tool_calls": [
        {"type": "function", "function": {
            "name": "add", "arguments": {"a": 1, "b": [2.5, None]}}}]},
        {"role": "tool", "content": "3"},
        {"role": "assistant", "reasoning_content": "So 3.",
         "content": [{"type": "text", "text": "It's "},
                     {"type": "python", "text": "1+2"},
                     {"type": "python_output", "text": "3"}]}]
    function = [{"type": "function", "function": {
        "name": "add", "parameters": {"type": "object"}}}]
    chat = "\n".join(json.dumps(x) for x in (
        {"id": "q", "messages": turns, "image": "1.png"},
        {"messages": tools, "tools": function}, {"messages": ask},
        {"conversations": [ask + turns[2:3], turns], "image": ["1.png"]},
        {"messages": []}))
    for form in range(10):
        for mode in range(2):
            put("lines", f"{'prompt' if mode else 'chat'}-{form}",
                bytes([mode, form, 2, 0]) + chat.encode())
    for what in (4, 8, 16, 32, 64, 128):
        put("lines", f"asked-{what}", bytes([what | 1, 2, 10, 0]) +
            chat.encode())
    put("lines", "answers", bytes([1, 1, 1, 0]) + json.dumps(
        {"messages": ask, "answers": ["yes", "no"], "task": "vqa",
         "options": ["a", "b"]}).encode())
    put("lines", "short", bytes([0, 0, 1, 9]) + chat.encode())
    put("lines", "text", bytes([2, 0, 0, 0]) + b"\n".join(
        (b'{"text": "a\\u0000b"}', b'{"text": "\\ud83d"}', b'{"text": 1}',
         b'{"text": "caf\\u00e9 \\ud83d\\ude42"}', b'[]', b'{"id": 3}')))
    put("lines", "plain", bytes([3, 0, 0, 40]) +
        b"The user\0's\n\n \n\xff\xc3\xa9<|im_start|>\n")


for make in (jsons, ranks, gguf, companions, compiled, merges, lines):
    make()
