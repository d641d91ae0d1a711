#!/usr/bin/env python3
"""Makes tests/golden/family/: a tiny model of every family, and what
transformers says about it.

    python3 tests/golden/make_family.py [-d DIR] [NAME ...]

Each directory is what save_pretrained() writes: transformers' own class, its
own names of tensors, random weights in the type that the family ships in.
golden.safetensors beside it has a batch and its results, computed from these
weights in F64, one whole sequence at a time, by the model's own forward() with
token ids and pixels, so that what differs from it is the error of the code
under test:

    target, shared.*, flat.*    the batch, as in tests/golden/model
    pixels                      U8 (3,S,S,3)
    features, embeds            what the tower and the projector give
    logits, logp, entropy, loss of the trained rows
    grad.NAME                   under their names in the file
    hidden.K, vision.K          hidden_states[K] of the first whole sequence,
                                and of image 0
    greedy/prompt, greedy/ids   generate() in F32, with a cache; ~r in a prompt
                                is row r of image 0
    adam.NAME, adam/*           what ten steps move, of tensors that aren't
                                large; losses and norms
    bf16                        errors of transformers' BF16 for logits and all
                                gradients, norm of difference over norm

transformers computes norms and rotary tables in F32 whatever the type of the
model: highest() replaces those two by the same formulas in F64, and check()
proves that the unchanged model in F32 agrees.

Made with seed 20260404, Python 3.11.7, torch 2.15.0, transformers 5.23.0,
safetensors 0.8.0, numpy 2.4.6.
"""

import argparse
import copy
import glob
import json
import math
import os
import shutil

import numpy as np
import torch
import transformers as tf
from make_model import AvgPool, Batch, Perceiver, Projector, f32, fill, image
from safetensors.numpy import save_file
from safetensors.torch import load_file
from safetensors.torch import save_file as save_torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR
from transformers.models.idefics3.modeling_idefics3 import Idefics3Connector

SEED = 20260404
STEPS, WARMUP = 10, 3
LR = {"vision": 1e-3, "resampler": 2e-3, "projector": 3e-3, "language": 1.5e-3}
WD, BETA1, BETA2, EPS, MAX_NORM = 0.1, 0.9, 0.95, 1e-6, 0.5
NEW = 64  # tokens of greedy text
MOST = 800  # elements of a tensor whose moves are kept, without images


# ---- F64 where transformers insists on F32 ---------------------------------


def frequencies(cfg):
    """Rotary frequencies (D/2) and the factor of cosine and sine, in F64."""
    p = cfg.rope_parameters
    D = getattr(cfg, "head_dim", None)
    D = D or cfg.hidden_size // cfg.num_attention_heads
    i = torch.arange(0, D, 2, dtype=torch.float64)
    f, kind = p["rope_theta"] ** (-i / D), p["rope_type"]
    if kind == "default":
        return f, 1.0
    factor = p["factor"]
    if kind == "linear":
        return f / factor, 1.0
    old = p["original_max_position_embeddings"]
    if kind == "llama3":
        lo, hi = p["low_freq_factor"], p["high_freq_factor"]
        turns = old * f / (2 * math.pi)  # in the old context
        mix = ((turns - lo) / (hi - lo)).clamp(0, 1)
        return (1 - mix) * f / factor + mix * f, 1.0
    assert kind == "yarn"

    def dim(turns):
        return (
            D
            * math.log(old / (turns * 2 * math.pi))
            / (2 * math.log(p["rope_theta"]))
        )

    lo = max(math.floor(dim(p.get("beta_fast", 32))), 0)
    hi = min(math.ceil(dim(p.get("beta_slow", 1))), D - 1)
    hi += 0.001 if lo == hi else 0
    mix = ((torch.arange(D // 2).double() - lo) / (hi - lo)).clamp(0, 1)
    return f / factor * mix + f * (1 - mix), 0.1 * math.log(factor) + 1


def highest(model):
    """The same model in F64."""

    def rms(self, x):
        eps = getattr(self, "variance_epsilon", None) or self.eps
        y = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps)
        return y * self.weight if hasattr(self, "weight") else y

    def rotary(self, x, position_ids):
        f, scale = frequencies(self.config)
        a = position_ids[..., None].double() * f
        a = torch.cat([a, a], -1)
        return a.cos() * scale, a.sin() * scale

    model = copy.deepcopy(model).double().eval()
    for m in model.modules():
        if type(m).__name__.endswith("RMSNorm"):
            m.forward = rms.__get__(m)
        if type(m).__name__.endswith("RotaryEmbedding"):
            m.forward = rotary.__get__(m)
    return model


# ---- ours ------------------------------------------------------------------


class Shuffle(nn.Module):
    """Idefics3's rearrangement without its product."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return Idefics3Connector.pixel_shuffle(self, x, self.factor)


class Ghost(nn.Module):
    """model_type ghostvis: transformers' tower and decoder, and what joins
    them; called as transformers' models are."""

    def __init__(self, config):
        super().__init__()
        self.config = copy.deepcopy(config)
        v = tf.AutoConfig.for_model(**config.vision)
        self.vision_tower = tf.AutoModel.from_config(v)
        t = tf.AutoConfig.for_model(**config.text)
        self.language_model = tf.AutoModelForCausalLM.from_config(t)
        config.text_config = self.config.text_config = t
        r, width = config.resampler, v.hidden_size
        if r["type"] == "perceiver":
            self.resampler = Perceiver(
                width, r["rows"], r["blocks"], r["heads"], v.layer_norm_eps
            )
        elif r["type"] == "avgpool":
            self.resampler = AvgPool(r["rows"])
        else:
            self.resampler = Shuffle(r["factor"])
            width *= r["factor"] ** 2
        if config.projector["type"] == "mlp":
            hidden = config.projector["hidden_size"]
            self.projector = Projector(width, hidden, t.hidden_size)
        else:
            self.projector = nn.Module()
            self.projector.proj = nn.Linear(width, t.hidden_size, bias=False)
            self.projector.forward = self.projector.proj.forward

    def vision(self, pixels):
        out = self.vision_tower(pixels, output_hidden_states=True)
        layer = self.config.layer
        x = out.last_hidden_state if layer == -1 else out.hidden_states[layer]
        x = x[:, 1:] if "clip" in self.config.vision["model_type"] else x
        project = getattr(self.projector, "proj", self.projector)
        return x, project(self.resampler(x))

    def embeds(self, ids, pixels):
        x = self.language_model.get_input_embeddings()(ids)
        if pixels is None:
            return x
        rows = self.vision(pixels)[1].flatten(0, 1)
        at = (ids == self.config.image_token_id)[..., None]
        return x.masked_scatter(at, rows)

    def forward(self, input_ids, pixel_values=None, **more):
        x = self.embeds(input_ids, pixel_values)
        return self.language_model(inputs_embeds=x, **more)

    def generate(self, input_ids, pixel_values=None, **more):
        x = self.embeds(input_ids, pixel_values)
        new = self.language_model.generate(inputs_embeds=x, **more)
        return torch.cat([input_ids, new], 1)

    def num_parameters(self):
        return sum(p.numel() for p in self.parameters())

    @staticmethod
    def spell(name):
        """Without the tower's own name transformers 5 saves it; we don't."""
        part, rest = name.split(".", 1)
        ours = "vision_tower.vision_model."
        return ours + rest if part == "vision_tower" else name

    def save_pretrained(self, d):
        os.makedirs(d)
        save_torch(
            {
                self.spell(n): p.detach().contiguous()
                for n, p in self.named_parameters()
            },
            f"{d}/model.safetensors",
            {"format": "pt"},
        )
        c = self.config
        o = {
            "model_type": "ghostvis",
            "text_config": c.text,
            "vision_config": c.vision,
            "resampler": c.resampler,
            "projector": c.projector,
            "image_token_id": c.image_token_id,
            "vision_feature_layer": c.layer,
            "vision_post_norm": c.layer == -1,
        }
        with open(f"{d}/config.json", "w") as f:
            json.dump(o, f, indent=2)
            f.write("\n")

    @classmethod
    def from_pretrained(cls, spec, d, dtype):
        m = cls(spec["config"])
        have = load_file(f"{d}/model.safetensors")
        with torch.no_grad():
            for n, p in m.named_parameters():
                p.copy_(have[cls.spell(n)].float())
        for p in m.parameters():  # not the rotary tables, which stay F32
            p.data = p.data.to(dtype)
        return m


class GhostConfig:
    model_type = "ghostvis"

    def __init__(self, **keys):
        self.__dict__.update(keys)

    def get_text_config(self):
        return self.text_config


# ---- a model and its batch -------------------------------------------------


class Runner:
    """A model of some type on sequences of ids, where ~r is row r of the
    images' (3*R) embeds."""

    def __init__(self, model, spec, pixels):
        self.m, self.R = model, spec.get("R", 0)
        self.cfg = model.config
        self.dtype = next(model.parameters()).dtype
        self.pixels = None
        if pixels is not None:
            mean, std = (
                torch.tensor(spec["pre"][k], dtype=torch.float64)
                for k in ("image_mean", "image_std")
            )
            x = (torch.from_numpy(pixels).double() / 255 - mean) / std
            self.pixels = x.permute(0, 3, 1, 2).to(self.dtype).contiguous()
        self.nested = "idefics" in self.cfg.model_type
        self.nested |= "smolvlm" in self.cfg.model_type

    def inputs(self, ids):
        t = torch.tensor(ids)
        if not self.R:
            return {"input_ids": t[None]}
        seen = list(dict.fromkeys((~i) // self.R for i in ids if i < 0))
        out = {
            "input_ids": torch.where(t < 0, self.cfg.image_token_id, t)[None]
        }
        if seen:
            x = self.pixels[seen]
            out["pixel_values"] = x[None] if self.nested else x
        return out

    def forward(self, ids, **more):
        return self.m(**self.inputs(ids), use_cache=False, **more)

    def vision(self):
        """Features and embeds of all images."""
        if isinstance(self.m, Ghost):
            return self.m.vision(self.pixels)
        at = self.m.model
        at = at.connector if self.nested else at.multi_modal_projector
        held = []
        hook = at.register_forward_pre_hook(
            lambda m, a, k: held.append(a[0]), with_kwargs=True
        )
        x = self.pixels[None] if self.nested else self.pixels
        out = self.m.model.get_image_features(x, return_dict=True)
        hook.remove()
        rows = torch.cat(list(out.pooler_output)).unflatten(0, (3, self.R))
        return held[0], rows

    def run(self, batch):
        z = [
            self.forward(ids).logits[0][[t for t, _ in pick]]
            for ids, pick in batch.full
        ]
        res = {"logits": torch.cat(z)}
        wide = res["logits"]
        wide = wide if self.dtype == torch.float64 else wide.float()
        lp = torch.log_softmax(wide, -1)
        y = torch.tensor(batch.target)
        res["logp"] = lp.gather(1, y[:, None])[:, 0]
        res["entropy"] = -(lp.exp() * lp).sum(-1)
        res["loss"] = -res["logp"].mean().reshape(1)
        return res


def part_of(name, family):
    if name.split(".")[0] in LR:  # resampler, projector
        return name.split(".")[0]
    if "vision" in name:
        return "vision"
    if "connector" in name and family == "idefics2":
        return "resampler"  # which has its projection before it
    if "connector" in name or "multi_modal_projector" in name:
        return "projector"
    return "language"


def make_batch(rng, V, R, avoid):
    ok = [i for i in range(V) if i not in avoid]

    def w(n):
        return [ok[i] for i in rng.integers(0, len(ok), n)]

    if not R:
        return Batch(
            [
                (w(4), [w(15)]),
                (w(7), [w(5), w(1), w(6)]),
                (w(2), [w(1)]),
                (w(3), [w(9), w(2)]),
            ],
            rng,
            V,
        )
    two, mid = image(2, R), R // 2
    return Batch(
        [
            (w(2) + image(1, R) + w(1), [w(5), w(1), w(7)]),
            (w(6), [w(3)]),
            # image 2 in two runs, image 1 again, in one sequence
            (two[:mid] + w(2) + two[mid:], [w(2) + image(1, R) + w(3)]),
            (image(0, R), [w(4), w(3)]),
        ],
        rng,
        V,
    )


# ---- results ---------------------------------------------------------------


def check(single, exact, batch):
    """transformers in F32, unchanged, against ours in F64."""
    with torch.no_grad():
        a = single.run(batch)["logits"].double()
        b = exact.run(batch)["logits"]
    err = ((a - b).norm() / b.norm()).item()
    assert err < 3e-6, err
    return err


def bf16(half, exact, batch):
    """Errors of transformers in BF16; `exact` has its gradients."""
    res = half.run(batch)
    res["loss"].backward()
    with torch.no_grad():
        want = exact.run(batch)["logits"]
        errs = [(res["logits"].double() - want).norm() / want.norm()]
    d = w = 0.0
    for p, q in zip(half.m.parameters(), exact.m.parameters()):
        if q.grad is not None:
            d += (p.grad.double() - q.grad).norm().item() ** 2
            w += q.grad.norm().item() ** 2
    return [errs[0].item(), math.sqrt(d / w)]


def adam(runner, batch, names):
    """Ten steps of torch's AdamW, clipping and schedulers."""
    groups, start = [], {}
    for name, p in runner.m.named_parameters():
        decays = p.dim() > 1 and not name.endswith(
            ("position_embedding.weight", "latents")
        )
        start[name] = p.detach().clone()
        groups.append(
            {
                "params": [p],
                "lr": LR[part_of(name, runner.cfg.model_type)],
                "weight_decay": WD if decays else 0.0,
            }
        )
    opt = torch.optim.AdamW(groups, betas=(BETA1, BETA2), eps=EPS)
    rise = LinearLR(opt, 1 / WARMUP, 1, WARMUP - 1)
    fall = CosineAnnealingLR(opt, STEPS - WARMUP)
    rate = SequentialLR(opt, [rise, fall], [WARMUP])
    losses, norms, rates = [], [], []
    for _ in range(STEPS):
        opt.zero_grad()
        loss = runner.run(batch)["loss"]
        loss.backward()
        rates.append(opt.param_groups[0]["lr"] / groups[0]["initial_lr"])
        norms.append(
            nn.utils.clip_grad_norm_(runner.m.parameters(), MAX_NORM).item()
        )
        opt.step()
        rate.step()
        losses.append(loss.item())
    assert max(norms) > MAX_NORM and losses[-1] < losses[0]
    most = MOST // 4 if runner.R else MOST
    out = {
        "adam." + names[n]: p.detach() - start[n]
        for n, p in runner.m.named_parameters()
        if p.grad is not None and p.numel() <= most
    }
    out["adam/loss"] = torch.tensor(losses)
    out["adam/norm"] = torch.tensor(norms)
    out["adam/rate"] = torch.tensor(rates)
    out["adam/lr"] = torch.tensor(list(LR.values()))
    out["adam/law"] = torch.tensor([WD, BETA1, BETA2, EPS, MAX_NORM])
    return out


def greedy(single, exact, spec, rng, avoid):
    """The most varied of some texts whose every choice is clear."""
    V, R = exact.cfg.get_text_config().vocab_size, exact.R
    ok, best = [i for i in range(V) if i not in avoid], None
    found = 0
    for _ in range(100):
        if found == 4:
            break
        w = [ok[i] for i in rng.integers(0, len(ok), 6)]
        prompt = w[:2] + image(0, R) + w[2:] if R else w
        with torch.no_grad():
            out = single.m.generate(
                **single.inputs(prompt),
                max_new_tokens=NEW,
                do_sample=False,
                **spec.get("generate", {}),
            )[0].tolist()
            ids = out[len(prompt) :]
            ends = 8 < len(ids) < NEW if spec.get("ends") else len(ids) == NEW
            if avoid & set(ids) or not ends:
                continue
            z = exact.forward(prompt + ids).logits[0][len(prompt) - 1 : -1]
        top = z.topk(2).values
        clear = (top[:, 0] - top[:, 1]).min() / z.std()
        if z.argmax(-1).tolist() != ids or clear < 2e-4:
            continue
        found += 1
        if best is None or len(set(ids)) > len(set(best[1])):
            best = prompt, ids
    print(f"# greedy: {len(best[1])} ids, {len(set(best[1]))} of a kind")
    return {
        "greedy/prompt": np.array(best[0], np.int32),
        "greedy/ids": np.array(best[1], np.int32),
    }


def hidden(runner, batch, gold):
    ids = batch.full[0][0]
    with torch.no_grad():
        for k, h in enumerate(
            runner.forward(ids, output_hidden_states=True).hidden_states
        ):
            gold[f"hidden.{k}"] = f32(h[0])


# ---- fixtures --------------------------------------------------------------


def save(model, spec, d):
    shutil.rmtree(d, ignore_errors=True)
    model = copy.deepcopy(model).to(spec["dtype"])
    if "generation" in spec:
        model.generation_config = tf.GenerationConfig(**spec["generation"])
    model.save_pretrained(d, **spec.get("save", {}))
    if "pre" in spec:
        with open(f"{d}/preprocessor_config.json", "w") as f:
            json.dump(spec["pre"], f, indent=2)
            f.write("\n")


def on_disk(model, d):
    """What save_pretrained() called each parameter, found by its values."""
    have = {}
    for f in glob.glob(f"{d}/model*.safetensors"):
        have |= load_file(f)
    names = {}
    for n, p in model.named_parameters():
        same = [
            k
            for k, v in have.items()
            if v.shape == p.shape and torch.equal(v.float(), p.detach())
        ]
        (names[n],) = same
    assert len(names) == len(set(names.values()))
    return names


def start(name, spec):
    rng = np.random.Generator(np.random.PCG64([SEED] + [ord(c) for c in name]))
    torch.manual_seed(SEED)
    model = spec["class"](spec["config"]).eval()
    for _, p in sorted(model.named_parameters()):
        if p.dim():
            fill(p, rng)
        with torch.no_grad():
            p.copy_(p.to(spec["dtype"]).float())
    return model, rng


def load(spec, d, dtype):
    if spec["class"] is Ghost:
        return Ghost.from_pretrained(spec, d, dtype).eval()
    m = spec["class"].from_pretrained(d, dtype=dtype).eval()
    for n, b in m.named_buffers():
        assert "inv_freq" not in n or b.dtype == torch.float32, n
    return m


def pixels_of(rng, spec):
    side = spec["side"]
    return rng.integers(0, 256, (3, side, side, 3), dtype=np.uint8)


def make(root, name, spec):
    d, gold, px = f"{root}/{name}", {}, None
    model, rng = start(name, spec)
    save(model, spec, d)
    if spec.get("R"):
        px = gold["pixels"] = pixels_of(rng, spec)
    text = model.config.get_text_config()
    avoid = {text.pad_token_id, getattr(model.config, "image_token_id", None)}
    avoid -= {None}
    batch = make_batch(rng, text.vocab_size, spec.get("R", 0), avoid)
    gold |= batch.arrays()

    single = load(spec, d, torch.float32)
    exact = Runner(highest(single), spec, px)
    half = Runner(load(spec, d, torch.bfloat16), spec, px)
    single = Runner(single, spec, px)
    err = check(single, exact, batch)

    res = exact.run(batch)
    res["loss"].backward()
    if px is not None:
        with torch.no_grad():
            res["features"], res["embeds"] = exact.vision()
            out = getattr(exact.m, "model", exact.m)
            out = out.vision_model if exact.nested else out.vision_tower
            for k, h in enumerate(
                out(exact.pixels[:1], output_hidden_states=True).hidden_states
            ):
                gold[f"vision.{k}"] = f32(h[0])
    gold |= {k: f32(v) for k, v in res.items()}
    names = on_disk(single.m, d)
    for n, p in exact.m.named_parameters():
        if p.grad is not None:
            gold["grad." + names[n]] = f32(p.grad)
    hidden(exact, batch, gold)
    gold["bf16"] = np.array(bf16(half, exact, batch), np.float32)
    gold |= greedy(single, exact, spec, rng, avoid)
    gold |= {k: f32(v) for k, v in adam(exact, batch, names).items()}
    save_file(gold, f"{d}/golden.safetensors")
    size = sum(os.path.getsize(f) for f in glob.glob(f"{d}/*"))
    print(
        f"{name}: {model.num_parameters()} parameters, {size // 1000} kB, "
        f"loss {res['loss'].item():.4f}, F32 {err:.1e}, "
        f"BF16 {gold['bf16'][0]:.1e} {gold['bf16'][1]:.1e}"
    )


def make_tower(root, name, spec):
    """A tower alone: hidden states and what it gives."""
    d = f"{root}/{name}"
    model, rng = start(name, spec)
    save(model, spec, d)
    px = pixels_of(rng, spec)
    m = highest(load(spec, d, torch.float32))
    m = getattr(m, "vision_model", m)
    mean, std = (
        torch.tensor(spec["pre"][k], dtype=torch.float64)
        for k in ("image_mean", "image_std")
    )
    x = ((torch.from_numpy(px).double() / 255 - mean) / std).permute(0, 3, 1, 2)
    with torch.no_grad():
        out = m(x, output_hidden_states=True)
    gold = {f"vision.{k}": f32(h[0]) for k, h in enumerate(out.hidden_states)}
    gold["pixels"] = px
    gold["features"] = f32(spec["features"](out))
    save_file(gold, f"{d}/golden.safetensors")
    size = sum(os.path.getsize(f) for f in glob.glob(f"{d}/*"))
    print(f"{name}: {model.num_parameters()} parameters, {size // 1000} kB")


# ---- the families ----------------------------------------------------------

HALF, BF, F32 = torch.float16, torch.bfloat16, torch.float32


def small(V, **more):
    return {
        "vocab_size": V,
        "hidden_size": 24,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 128,
        "rms_norm_eps": 1e-5,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": None,
        "tie_word_embeddings": True,
    } | more


def theta(base, kind="default", **more):
    return {"rope_type": kind, "rope_theta": base} | more


LLAMA3 = theta(
    500000.0,
    "llama3",
    factor=8.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=16,
)


def texts():
    def qwen2(**k):
        return tf.Qwen2Config(**small(53, **k))

    def llama(V, **k):
        return tf.LlamaConfig(**small(V, **k))

    lm = tf.LlamaForCausalLM
    return {
        # as Qwen2.5 instruct: BF16, tied, several ends, a law of sampling
        "qwen2": {
            "class": tf.Qwen2ForCausalLM,
            "config": qwen2(rope_parameters=theta(1e6), rms_norm_eps=1e-6),
            "dtype": BF,
            "generation": {
                "bos_token_id": 1,
                "eos_token_id": [2, 3, 17, 29, 41],
                "do_sample": True,
                "temperature": 0.7,
                "top_p": 0.8,
                "top_k": 20,
                "repetition_penalty": 1.05,
            },
            "generate": {"repetition_penalty": 1.0},
            "ends": True,
        },
        # YaRN as Qwen2.5's cards ask for it, and an odd vocabulary
        "qwen2-yarn": {
            "class": tf.Qwen2ForCausalLM,
            "config": qwen2(
                rope_parameters=theta(
                    1e4,
                    "yarn",
                    factor=4.0,
                    original_max_position_embeddings=32,
                ),
                tie_word_embeddings=False,
            ),
            "dtype": BF,
        },
        "qwen3": {
            "class": tf.Qwen3ForCausalLM,
            "config": tf.Qwen3Config(
                **small(
                    47,
                    head_dim=16,
                    rope_parameters=theta(1e6),
                    rms_norm_eps=1e-6,
                )
            ),
            "dtype": BF,
        },
        # heads of 64, where a GPU's fast ways begin, and QK-norm
        "qwen3-64": {
            "class": tf.Qwen3ForCausalLM,
            "config": tf.Qwen3Config(
                **small(
                    40,
                    num_hidden_layers=1,
                    num_attention_heads=2,
                    num_key_value_heads=1,
                    head_dim=64,
                    rope_parameters=theta(1e6),
                    tie_word_embeddings=False,
                )
            ),
            "dtype": BF,
        },
        # Llama 2: every head its own keys, untied, F32 in shards
        "llama2": {
            "class": lm,
            "config": llama(
                43,
                num_key_value_heads=4,
                head_dim=6,
                tie_word_embeddings=False,
                rope_parameters=theta(1e4),
            ),
            "dtype": F32,
            "save": {"max_shard_size": "20KB"},
        },
        # Llama 3.1: scaled rotation; F16
        "llama3": {
            "class": lm,
            "config": llama(
                49, rope_parameters=LLAMA3, tie_word_embeddings=False
            ),
            "dtype": HALF,
        },
        # SmolLM2: tied, three heads to each of the keys'
        "smollm2": {
            "class": lm,
            "config": llama(
                51,
                num_attention_heads=3,
                num_key_value_heads=1,
                rope_parameters=theta(1e5),
            ),
            "dtype": BF,
        },
        "llama-linear": {
            "class": lm,
            "config": llama(
                49,
                rope_parameters=theta(1e4, "linear", factor=4.0),
                attention_bias=True,
                mlp_bias=False,
            ),
            "dtype": F32,
        },
        "mistral": {
            "class": tf.MistralForCausalLM,
            "config": tf.MistralConfig(
                **small(
                    45,
                    rope_parameters=theta(1e6),
                    sliding_window=None,
                    tie_word_embeddings=False,
                )
            ),
            "dtype": BF,
        },
        "nanochat": {
            "class": tf.NanoChatForCausalLM,
            "config": tf.NanoChatConfig(
                **small(
                    55,
                    rms_norm_eps=1e-6,
                    intermediate_size=96,
                    rope_parameters=theta(1e4),
                    tie_word_embeddings=False,
                    final_logit_softcapping=2.5,
                )
            ),
            "dtype": BF,
        },
    }


def tower(**more):
    return {
        "hidden_size": 24,
        "intermediate_size": 28,
        "num_hidden_layers": 3,
        "num_attention_heads": 3,
        "image_size": 12,
        "patch_size": 4,
    } | more


CLIP_PRE = {
    "crop_size": {"height": 12, "width": 12},
    "do_center_crop": True,
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_processor_type": "CLIPImageProcessor",
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "resample": 3,
    "rescale_factor": 0.00392156862745098,
    "size": {"shortest_edge": 12},
}


def siglip_pre(side, resample):
    return {
        "do_convert_rgb": None,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_processor_type": "SiglipImageProcessor",
        "image_std": [0.5, 0.5, 0.5],
        "resample": resample,
        "rescale_factor": 0.00392156862745098,
        "size": {"height": side, "width": side},
    }


def smol_pre(side, kind):
    return {
        "do_convert_rgb": True,
        "do_image_splitting": False,
        "do_normalize": True,
        "do_pad": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_processor_type": kind,
        "image_std": [0.5, 0.5, 0.5],
        "max_image_size": {"longest_edge": side},
        "resample": 1,
        "rescale_factor": 0.00392156862745098,
        "size": {"longest_edge": side},
    }


def towers():
    text = {
        "vocab_size": 11,
        "hidden_size": 8,
        "intermediate_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "max_position_embeddings": 5,
    }
    return {
        # the tower alone, with its pooling head, which models leave out
        "siglip": {
            "class": tf.SiglipVisionModel,
            # 17 px are 4 patches of 4 px and one that is dropped
            "config": tf.SiglipVisionConfig(**tower(image_size=17)),
            "dtype": BF,
            "side": 17,
            "pre": siglip_pre(17, 3),
            "features": lambda o: o.last_hidden_state,
        },
        # as google/siglip2-base-patch16-224: siglip's classes with both
        # towers, bilinear
        "siglip2": {
            "class": tf.SiglipModel,
            "config": tf.SiglipConfig(
                text_config=text | {"projection_size": 24},
                vision_config=tower(),
            ),
            "dtype": HALF,
            "side": 12,
            "pre": siglip_pre(12, 2),
            "features": lambda o: o.last_hidden_state,
        },
        # LLaVA's choice of layer is the model's; alone it is the last one
        "clip": {
            "class": tf.CLIPVisionModel,
            "config": tf.CLIPVisionConfig(**tower(hidden_act="quick_gelu")),
            "dtype": HALF,
            "side": 12,
            "pre": CLIP_PRE,
            "features": lambda o: o.last_hidden_state[:, 1:],
        },
        "clip-both": {
            "class": tf.CLIPModel,
            "config": tf.CLIPConfig(
                text_config=text,
                vision_config=tower(hidden_act="quick_gelu"),
                projection_dim=8,
            ),
            "dtype": HALF,
            "side": 12,
            "pre": CLIP_PRE,
            "features": lambda o: o.last_hidden_state[:, 1:],
        },
    }


def joined():
    def clip(**k):
        return tf.CLIPVisionConfig(**tower(hidden_act="quick_gelu", **k))

    def llama(**k):
        return tf.LlamaConfig(
            **small(
                52,
                rope_parameters=theta(1e4),
                tie_word_embeddings=False,
                **k,
            )
        )

    llava = tf.LlavaForConditionalGeneration
    return {
        "llava": {
            "class": llava,
            "config": tf.LlavaConfig(
                vision_config=clip(),
                text_config=llama(),
                image_token_index=50,
                image_seq_length=9,
                vision_feature_layer=-2,
                vision_feature_select_strategy="default",
            ),
            "dtype": HALF,
            "side": 12,
            "R": 9,
            "pre": CLIP_PRE,
        },
        # SigLIP and Qwen2 under LLaVA's roof, all patches of the last layer,
        # before the last norm
        "llava-siglip": {
            "class": llava,
            "config": tf.LlavaConfig(
                vision_config=tf.SiglipVisionConfig(
                    **tower(vision_use_head=False)
                ),
                text_config=tf.Qwen2Config(
                    **small(
                        52,
                        rope_parameters=theta(1e6),
                        tie_word_embeddings=False,
                    )
                ),
                image_token_index=51,
                image_seq_length=9,
                vision_feature_layer=-1,
                vision_feature_select_strategy="full",
            ),
            "dtype": BF,
            "side": 12,
            "R": 9,
            "pre": siglip_pre(12, 3),
        },
        "idefics3": {
            "class": tf.Idefics3ForConditionalGeneration,
            "config": tf.Idefics3Config(
                vision_config=tower(image_size=16),
                text_config=llama(),
                image_token_id=51,
                scale_factor=2,
            ),
            "dtype": BF,
            "side": 16,
            "R": 4,
            "pre": smol_pre(16, "Idefics3ImageProcessor"),
        },
        "smolvlm": {
            "class": tf.SmolVLMForConditionalGeneration,
            "config": tf.SmolVLMConfig(
                vision_config=tower(image_size=24, num_hidden_layers=2),
                text_config=tf.LlamaConfig(
                    **small(52, rope_parameters=theta(1e5))
                ),
                image_token_id=50,
                scale_factor=3,
                tie_word_embeddings=True,
            ),
            "dtype": BF,
            "side": 24,
            "R": 4,
            "pre": smol_pre(24, "SmolVLMImageProcessor"),
        },
        "idefics2": {
            "class": tf.Idefics2ForConditionalGeneration,
            "config": tf.Idefics2Config(
                vision_config=tower(num_hidden_layers=2),
                text_config=tf.MistralConfig(
                    **small(
                        52,
                        rope_parameters=theta(1e4),
                        sliding_window=None,
                        tie_word_embeddings=False,
                    )
                ),
                perceiver_config={
                    "hidden_size": 24,
                    "rms_norm_eps": 1e-5,
                    "resampler_n_latents": 5,
                    "resampler_depth": 2,
                    "resampler_n_heads": 4,
                    "resampler_head_dim": 8,
                    "num_key_value_heads": 2,
                },
                image_token_id=51,
            ),
            "dtype": BF,
            "side": 12,
            "R": 5,
            "pre": smol_pre(12, "Idefics2ImageProcessor"),
        },
    }


def ghosts():
    return {
        # nanoVLM's way, with CLIP
        "ghost-shuffle": {
            "class": Ghost,
            "config": GhostConfig(
                text={"model_type": "llama"}
                | small(
                    52, rope_parameters=LLAMA3, tie_word_embeddings=False
                ),
                vision={"model_type": "clip_vision_model"}
                | tower(image_size=16, hidden_act="quick_gelu"),
                resampler={"type": "pixelshuffle", "factor": 2},
                projector={"type": "linear", "bias": False},
                image_token_id=51,
                layer=-2,
            ),
            "dtype": HALF,
            "side": 16,
            "R": 4,
            "pre": siglip_pre(16, 3),
        },
        # a norm behind the embedding, which image rows go through, too
        "ghost-nano": {
            "class": Ghost,
            "config": GhostConfig(
                text={"model_type": "nanochat"}
                | small(
                    52,
                    rope_parameters=theta(1e4),
                    attention_bias=True,
                    final_logit_softcapping=3.0,
                ),
                vision={"model_type": "siglip_vision_model"}
                | tower(
                    image_size=13, num_hidden_layers=2, vision_use_head=False
                ),
                resampler={"type": "avgpool", "rows": 4},
                projector={"type": "mlp", "hidden_size": 20, "act": "gelu"},
                image_token_id=51,
                layer=-1,
            ),
            "dtype": BF,
            "side": 13,
            "R": 4,
            "pre": siglip_pre(13, 3),
        },
        "ghost-qwen3": {
            "class": Ghost,
            "config": GhostConfig(
                text={"model_type": "qwen3"}
                | small(52, rope_parameters=theta(1e6)),
                vision={"model_type": "siglip_vision_model"}
                | tower(num_hidden_layers=2, vision_use_head=False),
                resampler={
                    "type": "perceiver",
                    "rows": 5,
                    "blocks": 2,
                    "heads": 3,
                },
                projector={"type": "mlp", "hidden_size": 28, "act": "gelu"},
                image_token_id=50,
                layer=-1,
            ),
            "dtype": BF,
            "side": 12,
            "R": 5,
            "pre": siglip_pre(12, 3),
        },
    }


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    o = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    o.add_argument("-d", dest="root", default=os.path.join(here, "family"))
    o.add_argument("names", nargs="*")
    o = o.parse_args()
    torch.set_num_threads(1)
    tf.utils.logging.set_verbosity_error()
    tf.utils.logging.disable_progress_bar()
    for how, group in (
        (make, texts()),
        (make_tower, towers()),
        (make, joined()),
        (make, ghosts()),
    ):
        for name, spec in group.items():
            if not o.names or name in o.names:
                how(o.root, name, spec)


if __name__ == "__main__":
    main()
