#!/usr/bin/env python3
"""A model directory in GhostVis and in transformers, end to end.

    compare_hf.py [-b BIN] [-n TOKENS] [-d DEVICE] DIR PROMPT [IMAGE]

takes a directory that both can read (Qwen2, Qwen3, Llama, Mistral, nanochat,
LLaVA, Idefics2/3, SmolVLM; of a ghostvis model what gv-model export writes) and
prints how far apart they are in

    ids      of the prompt as plain text (gv-tokenize --text)
    pixels   of the image after resizing and normalisation (gv-decode -m)
    logits   of every position of the prompt (gv-rollout --logits 0)
    greedy   text that follows (gv-rollout --temperature 0)

A special token that PROMPT spells is that token to transformers and, for
safety, text to gv-tokenize: its ids differ then, and what follows is compared
on those of transformers.

Nothing is downloaded.  transformers computes in F32 on the CPU; so does
GhostVis unless -d says cuda, where it stores BF16 and errors of 1e-2 are usual.
Exits with 1 if something is further apart than rounding explains.

Needs transformers, torch, msgpack and msgpack-numpy, and Pillow for an image.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np  # noqa: E402
import torch  # noqa: E402
import transformers as tf  # noqa: E402
from stream import Writer, read  # noqa: E402


def arguments():
    here = os.path.dirname(os.path.abspath(__file__))
    o = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    o.add_argument("-b", "--bin", default=os.path.join(here, "../build/bin"))
    o.add_argument("-n", "--tokens", type=int, default=64)
    o.add_argument("-d", "--device", default="cpu")
    o.add_argument("dir")
    o.add_argument("prompt")
    o.add_argument("image", nargs="?")
    return o.parse_args()


def gv(o, program, *args):
    """Runs a program; its output, as records if that is a stream."""
    p = subprocess.run(
        [os.path.join(o.bin, program), *args], stdout=subprocess.PIPE
    )
    if p.returncode:
        sys.exit(f"{program} failed")
    return [x for x in read(p.stdout) if x["gv"] == "rec"]


# ---- transformers ----------------------------------------------------------


def reference(o):
    """Its model in F32, tokenizer, and inputs of the prompt."""
    cfg = tf.AutoConfig.from_pretrained(o.dir)
    if not o.image:
        tok = tf.AutoTokenizer.from_pretrained(o.dir)
        kind = tf.AutoModelForCausalLM
        if hasattr(cfg, "vision_config"):
            kind = tf.AutoModelForImageTextToText
        inputs = tok(o.prompt, return_tensors="pt")
    else:
        from PIL import Image

        proc = tf.AutoProcessor.from_pretrained(o.dir)
        tok, kind = proc.tokenizer, tf.AutoModelForImageTextToText
        more = {}
        if hasattr(proc.image_processor, "do_image_splitting"):
            more["do_image_splitting"] = False
        mark = getattr(proc, "image_token", None) or "<image>"
        inputs = proc(
            text=f"{mark}\n{o.prompt}",
            images=[Image.open(o.image).convert("RGB")],
            return_tensors="pt",
            **more,
        )
    model = kind.from_pretrained(o.dir, dtype=torch.float32).eval()
    inputs.pop("token_type_ids", None)
    return model, tok, inputs


# ---- the parts -------------------------------------------------------------


def compare_ids(o, tok, work):
    """Plain text, without what begins or ends a document."""
    path = f"{work}/prompt.jsonl"
    with open(path, "w") as f:
        json.dump({"text": o.prompt}, f)
    ours = gv(o, "gv-tokenize", "-m", o.dir, "--text", path)[0]
    ours = ours["tokens"].tolist()
    theirs = tok(o.prompt, add_special_tokens=False).input_ids
    n = len(theirs)
    same = any(ours[i : i + n] == theirs for i in (0, 1))
    print(f"ids      {n} tokens, {'the same' if same else 'others'}")
    if not same:
        print(f"         ours   {ours}\n         theirs {theirs}")
    return same


def compare_pixels(o, inputs, work):
    path = f"{work}/image.jsonl"
    with open(path, "w") as f:
        json.dump({"id": "p", "image": os.path.abspath(o.image)}, f)
    out = f"{work}/image.gv"
    gv(o, "gv-decode", "-m", o.dir, "-o", out, path)
    with open(out, "rb") as f:
        ours = next(x for x in read(f.read()) if x["gv"] == "rec")["image"]
    pre = tf.AutoImageProcessor.from_pretrained(o.dir)
    x = (ours / 255.0 - pre.image_mean) / pre.image_std
    y = inputs["pixel_values"].numpy()
    y = y.reshape(-1, *y.shape[-3:]).transpose(0, 2, 3, 1)
    if x.shape != y.shape:
        print(f"pixels   ours {x.shape}, theirs {y.shape}")
        return False
    d = np.abs(x - y).max() * np.min(pre.image_std) * 255
    print(f"pixels   {x.shape[1]} x {x.shape[2]}, at most {d:.2f} of 255 apart")
    return d < 1.5


def write_prompt(o, inputs, image_id, work):
    """The reference's ids as a stream; where they hold an image, joined with
    its pixels."""
    ids = inputs["input_ids"][0].numpy().astype(np.int32)
    first = (ids == image_id) & (np.roll(ids, 1) != image_id)
    at = np.flatnonzero(first).astype(np.int32) if o.image else []
    path = f"{work}/prompt.gv"
    with open(path, "wb") as f:
        w = Writer(
            f,
            "tokens",
            [("tokens", "I32", ["T"]), ("image_at", "I32", ["M"])],
            [],
        )
        w.rec("p", {"tokens": ids, "image_at": np.array(at, np.int32)})
        w.end()
    if not o.image:
        return path
    both = f"{work}/both.gv"
    gv(o, "gv-paste", "-o", both, path, f"{work}/image.gv")
    return both


def compare_logits(o, model, inputs, path):
    more = ["--device", o.device, "--logits", "0", path]
    rec = gv(o, "gv-rollout", "-m", o.dir, *more)[0]
    ours = torch.from_numpy(np.array(rec["logits"])).double()
    with torch.no_grad():
        theirs = model(**inputs).logits[0].double()
    d = ((ours - theirs).norm() / theirs.norm()).item()
    top = (ours.argmax(-1) == theirs.argmax(-1)).double().mean().item()
    print(
        f"logits   {tuple(ours.shape)}, relative error {d:.2e}, at most "
        f"{(ours - theirs).abs().max().item():.2e}, same largest {top:.1%}"
    )
    return d < (1e-4 if o.device == "cpu" else 0.05)


def compare_greedy(o, model, tok, inputs, path):
    n = inputs["input_ids"].shape[1]
    rec = gv(
        o,
        "gv-rollout",
        "-m",
        o.dir,
        "--device",
        o.device,
        "--temperature",
        "0",
        "--max-tokens",
        str(o.tokens),
        path,
    )[0]
    ours = rec["tokens"].tolist()[n:]
    with torch.no_grad():
        theirs = model.generate(
            **inputs,
            max_new_tokens=o.tokens,
            do_sample=False,
            repetition_penalty=1.0,
        )[0][n:].tolist()
    same = 0
    while same < min(len(ours), len(theirs)) and ours[same] == theirs[same]:
        same += 1
    print(f"greedy   {same} of {len(theirs)} ids the same")
    print(f"         ours   {tok.decode(ours)!r}")
    print(f"         theirs {tok.decode(theirs)!r}")
    return ours == theirs or o.device != "cpu"


def main():
    o = arguments()
    tf.utils.logging.set_verbosity_error()
    tf.utils.logging.disable_progress_bar()
    model, tok, inputs = reference(o)
    image_id = getattr(model.config, "image_token_id", None)
    with tempfile.TemporaryDirectory() as work:
        good = [compare_ids(o, tok, work)]
        if o.image:
            good.append(compare_pixels(o, inputs, work))
        path = write_prompt(o, inputs, image_id, work)
        good.append(compare_logits(o, model, inputs, path))
        good.append(compare_greedy(o, model, tok, inputs, path))
    sys.exit(not all(good))


if __name__ == "__main__":
    main()
