#!/usr/bin/env python3
"""What gv-model export and join write, in transformers and in GhostVis.

    compare_export.py [-b BIN] [-p PARITY] [MODEL.gguf]

exports every model of tests/golden/family as a whole and in parts, joins a
decoder and a tower and takes them apart again, and prints for each directory

    keys     missing and unexpected ones when transformers' class loads it
    weights  largest difference to the model that it came from, in transformers
    results  relative error (norm over norm) of GhostVis on that directory
             against transformers on it, in F32: logits of 24 tokens, or
             features of two images
    golden   for whole models, whether tests/unit/parity.t passes on them

A GGUF file is exported, too, and compared likewise but for the weights.  Exits
with 1 if a key is missing or unexpected, a weight differs, or an error is above
1e-5.  Needs transformers, torch, msgpack, msgpack-numpy, safetensors.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np  # noqa: E402
import torch  # noqa: E402
import transformers as tf  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, ".."))
from stream import Writer, read  # noqa: E402

TEXT = "qwen2 qwen2-yarn qwen3 qwen3-64 llama2 llama3 smollm2 llama-linear mistral"
TEXT = TEXT.split() + ["nanochat"]
TOWER = ["siglip", "siglip2", "clip", "clip-both"]
BOTH = ["llava", "llava-siglip", "idefics2", "idefics3", "smolvlm"]
CLASS = {
    "siglip_vision_model": tf.SiglipVisionModel,
    "clip_vision_model": tf.CLIPVisionModel,
    "siglip": tf.SiglipModel,
    "clip": tf.CLIPModel,
}
bad = 0


def gv(o, program, *args):
    """Runs a program; what it writes to its standard output."""
    p = subprocess.run(
        [os.path.join(o.bin, program), *args], stdout=subprocess.PIPE
    )
    if p.returncode:
        sys.exit(f"{program} {' '.join(args)} failed")
    return p.stdout


def config(d):
    with open(f"{d}/config.json") as f:
        return json.load(f)


def vocabulary(d):
    """As many tokens as the model of a fixture has, each a character."""
    c = config(d)
    c = c.get("text_config", c)
    tokens = {chr(0x100 + i): i for i in range(c.get("vocab_size", 50))}
    byte = {"type": "ByteLevel", "add_prefix_space": False}
    byte |= {"trim_offsets": True, "use_regex": False}
    with open(f"{d}/tokenizer.json", "w") as f:
        model = {"type": "BPE", "vocab": tokens, "merges": []}
        json.dump(
            {
                "version": "1.0",
                "normalizer": None,
                "pre_tokenizer": byte,
                "decoder": byte,
                "added_tokens": [],
                "model": model,
            },
            f,
        )


def load(d):
    """The class for a directory; the model in F32, and how it was loaded."""
    kind = CLASS.get(config(d)["model_type"])
    if not kind and "vision_config" in config(d):
        kind = tf.AutoModelForImageTextToText
    kind = kind or tf.AutoModelForCausalLM
    m, info = kind.from_pretrained(
        d, dtype=torch.float32, output_loading_info=True
    )
    keys = [len(info["missing_keys"]), len(info["unexpected_keys"])]
    return m.eval(), keys


def inner(name):
    """A parameter's name within its part."""
    for head in ("language_model.", "text_model.", "vision_tower."):
        name = name.split(head)[-1]
    return name.removeprefix("model.").removeprefix("vision_model.")


def farthest(part, whole):
    """The largest difference of weights of the same name, in the part."""
    name = str if type(part) is type(whole) else inner
    theirs = whole.state_dict()
    if isinstance(whole, (tf.CLIPModel, tf.SiglipModel)) and name is inner:
        theirs = {k: v for k, v in theirs.items() if k.startswith("vision")}
    theirs = {name(k): v for k, v in theirs.items()}
    return max(
        (v - theirs[name(k)]).abs().max().item() if name(k) in theirs else 9
        for k, v in part.state_dict().items()
    )


def relative(a, b):
    a, b = (torch.as_tensor(x).double() for x in (a, b))
    return ((a - b).norm() / b.norm()).item()


def logits(o, d, m, work):
    """Our logits of some tokens against those of transformers."""
    V = m.get_input_embeddings().weight.shape[0]
    rng = np.random.default_rng(7)
    ids = rng.integers(3, min(V, 48), 24, dtype=np.int32)
    with open(f"{work}/ids.gv", "wb") as f:
        fields = [("tokens", "I32", ["T"]), ("image_at", "I32", ["M"])]
        w = Writer(f, "tokens", fields, [])
        w.rec("p", {"tokens": ids, "image_at": np.zeros(0, np.int32)})
        w.end()
    args = ["-m", d, "--device", "cpu", "--logits", "0", f"{work}/ids.gv"]
    out = gv(o, "gv-rollout", *args)
    ours = next(x for x in read(out) if x["gv"] == "rec")["logits"]
    with torch.no_grad():
        theirs = m(input_ids=torch.tensor(ids)[None].long()).logits[0]
    return relative(np.array(ours), theirs)


def features(o, d, m, work):
    """Our features of two images against the layer that config.json names."""
    c, s = config(d), m.config.image_size
    px = np.random.default_rng(8).integers(0, 256, (2, s, s, 3), np.uint8)
    with open(f"{work}/px.gv", "wb") as f:
        shape = [("image", "U8", ["N", s, s, 3]), ("image_size", "I32", ["N", 2])]
        w = Writer(f, "images", shape, [])
        w.rec("p", {"image": px, "image_size": np.full((2, 2), s, np.int32)})
        w.end()
    out = gv(o, "gv-encode-vision", "-m", d, "--device", "cpu", "--stage",
             "encoder", "--dtype", "f32", f"{work}/px.gv")  # fmt: skip
    ours = next(x for x in read(out) if x["gv"] == "rec")["features"]
    with open(f"{d}/preprocessor_config.json") as f:
        pre = json.load(f)
    x = (px / 255.0 - pre["image_mean"]) / pre["image_std"]
    x = torch.tensor(x, dtype=torch.float32).permute(0, 3, 1, 2)
    clip = c["model_type"] == "clip_vision_model"
    layer = c.get("vision_feature_layer", -1)
    with torch.no_grad():
        h = m(x, output_hidden_states=True).hidden_states[layer]
        if c.get("vision_post_norm", not clip and layer == -1):
            norm = dict(m.named_modules())
            h = norm[next(k for k in norm if k.endswith("post_layernorm"))](h)
    return relative(np.array(ours), h[:, 1:] if clip else h)


def report(what, keys, weights, error, golden=""):
    global bad
    wrong = sum(keys) or weights or not (error <= 1e-5) or golden == "FAILS"
    bad += bool(wrong)
    print(
        f"{what:28} keys {keys[0]} {keys[1]}  weights {weights:g}  "
        f"results {error:.2e}  {golden}{' <--' if wrong else ''}",
        flush=True,
    )


def check(o, what, d, source, work, golden=None):
    m, keys = load(d)
    kind, error = config(d)["model_type"], 0.0
    if kind in ("siglip_vision_model", "clip_vision_model"):
        error = features(o, d, m, work)
    elif kind not in ("siglip", "clip"):
        error = logits(o, d, m, work)
    verdict = ""
    if golden and os.path.exists(golden) and o.parity:
        name = os.path.basename(d)
        shutil.copy(golden, d)
        env = dict(os.environ, GV_FAMILY=os.path.dirname(d))
        p = subprocess.run([o.parity, name], env=env, stdout=subprocess.PIPE)
        verdict = "FAILS" if p.returncode else "golden passes"
    report(what, keys, farthest(m, source) if source else 0, error, verdict)


def family(o, name, work):
    src, out = f"{work}/src/{name}", f"{work}/out/{name}"
    shutil.copytree(os.path.join(HERE, "family", name), src)
    vocabulary(src)
    source, _ = load(src)
    golden = f"{src}/golden.safetensors"
    gv(o, "gv-model", "export", src, "-o", out, "-q")
    check(o, name, out, source, work, golden)
    gv(o, "gv-model", "export", out, "-o", out, "-q", "--dtype", "f32",
       "--shard-size", "20k")  # fmt: skip
    check(o, name + " f32, shards", out, source, work, golden)
    parts = ["language"] * (name in BOTH) + ["vision"] * (name not in TEXT)
    for p in parts:
        gv(o, "gv-model", "export", src, "--part", p, "-o", out, "-q")
        check(o, f"{name} {p}", out, source, work)


def joined(o, text, tower, work):
    both, out = f"{work}/both", f"{work}/part"
    gv(o, "gv-model", "join", f"{work}/src/{text}", f"{work}/src/{tower}",
       "-o", both, "-q", "--resampler", "none")  # fmt: skip
    for part, name in (("language", text), ("vision", tower)):
        source, _ = load(f"{work}/src/{name}")
        gv(o, "gv-model", "export", both, "--part", part, "-o", out, "-q")
        m, keys = load(out)
        if part == "language":  # one token more
            V = source.get_input_embeddings().weight.shape[0]
            assert m.get_input_embeddings().weight.shape[0] == V + 1
            source.resize_token_embeddings(V + 1)
            weights = 0  # checked by tests/unit/join.c
            error = logits(o, out, m, work)
        else:
            weights = farthest(m, source)
            error = features(o, out, m, work)
        report(f"{text}+{tower} {part}", keys, weights, error)


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("-b", "--bin", default=os.path.join(HERE, "../../build/bin"))
    p.add_argument("-p", "--parity", help="build/tests/unit/parity.t")
    p.add_argument("gguf", nargs="?")
    o = p.parse_args()
    tf.utils.logging.set_verbosity_error()
    tf.utils.logging.disable_progress_bar()
    print(f"torch {torch.__version__}, transformers {tf.__version__}")
    with tempfile.TemporaryDirectory() as work:
        os.mkdir(f"{work}/out")
        for name in TEXT + TOWER + BOTH:
            if os.path.isdir(os.path.join(HERE, "family", name)):
                family(o, name, work)
        joined(o, "llama3", "siglip", work)
        joined(o, "qwen3", "clip", work)
        if o.gguf:
            gv(o, "gv-model", "export", o.gguf, "-o", f"{work}/gguf", "-q")
            check(o, os.path.basename(o.gguf), f"{work}/gguf", None, work)
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
