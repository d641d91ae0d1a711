#!/usr/bin/env python3
"""Makes tests/golden/model/: tiny models and what PyTorch says about them.

    python3 tests/golden/make_model.py [DIR]

Every directory is a model as gv_model_open() reads it, and golden.safetensors
with a batch and its expected results.  The towers are transformers' own
(Qwen2ForCausalLM, SiglipVisionModel); the resamplers and the projector are
written here from their definition.  All of it is computed in F64 from F32
weights, one full sequence at a time, without packing, prefixes or caches, so
that what differs from it is the error of the code under test.

Qwen2 in transformers computes norms and rotary tables in F32 whatever the
dtype of the model: highest() replaces those two by the same formulas in F64,
and check_highest() proves on each model that unchanged F32 modules agree.

Made with seed 20250101, Python 3.11.7, torch 2.15.0, transformers 5.23.0,
safetensors 0.8.0, numpy 2.4.6.
"""

import json
import math
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file
from torch import nn
from transformers import (
    Qwen2Config,
    Qwen2ForCausalLM,
    SiglipVisionConfig,
    SiglipVisionModel,
)

SEED = 20250101
STEPS = 10
LR = {"vision": 3e-4, "resampler": 1e-3, "projector": 2e-3, "language": 5e-4}
WD, BETA1, BETA2, EPS, MAX_NORM = 0.1, 0.9, 0.95, 1e-6, 0.5


# ---- parts -----------------------------------------------------------------


class AvgPool(nn.Module):
    def __init__(self, rows):
        super().__init__()
        side = math.isqrt(rows)
        self.pool = nn.AdaptiveAvgPool2d((side, side))

    def forward(self, x):
        B, P, C = x.shape
        g = math.isqrt(P)
        y = self.pool(x.transpose(1, 2).reshape(B, C, g, g))
        return y.flatten(2).transpose(1, 2)


class Attn(nn.Module):
    def __init__(self, C, heads):
        super().__init__()
        for name in "q_proj", "k_proj", "v_proj", "o_proj":
            setattr(self, name, nn.Linear(C, C, bias=False))
        self.heads = heads

    def forward(self, x, context):
        def split(y):
            return y.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        q = split(self.q_proj(x))
        k, v = split(self.k_proj(context)), split(self.v_proj(context))
        p = torch.softmax(q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5, -1)
        return self.o_proj((p @ v).transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self, C, heads, eps):
        super().__init__()
        self.norm_context = nn.LayerNorm(C, eps)
        self.norm_latents = nn.LayerNorm(C, eps)
        self.attn = Attn(C, heads)
        self.norm_mlp = nn.LayerNorm(C, eps)
        self.mlp = nn.ModuleDict(
            {"fc1": nn.Linear(C, 4 * C), "fc2": nn.Linear(4 * C, C)}
        )

    def forward(self, x, patches):
        z = self.norm_latents(x)
        x = x + self.attn(z, torch.cat([self.norm_context(patches), z], 1))
        h = F.gelu(self.mlp["fc1"](self.norm_mlp(x)))
        return x + self.mlp["fc2"](h)


class Perceiver(nn.Module):
    def __init__(self, C, rows, blocks, heads, eps):
        super().__init__()
        self.latents = nn.Parameter(torch.empty(rows, C))
        self.layers = nn.ModuleList(
            Block(C, heads, eps) for _ in range(blocks)
        )
        self.norm = nn.LayerNorm(C, eps)

    def forward(self, patches):
        x = self.latents.expand(patches.shape[0], -1, -1)
        for block in self.layers:
            x = block(x, patches)
        return self.norm(x)


class Projector(nn.Module):
    def __init__(self, Cin, hidden, Cout):
        super().__init__()
        self.fc1 = nn.Linear(Cin, hidden)
        self.fc2 = nn.Linear(hidden, Cout)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


# ---- F64 where transformers insists on F32 ---------------------------------


def highest(lm):
    cfg = lm.config
    theta = cfg.rope_parameters["rope_theta"]
    D = getattr(cfg, "head_dim", None)
    D = D or cfg.hidden_size // cfg.num_attention_heads

    def rms(self, x):
        var = x.pow(2).mean(-1, keepdim=True)
        return self.weight * x * torch.rsqrt(var + self.variance_epsilon)

    def rotary(x, position_ids):
        i = torch.arange(0, D, 2, dtype=torch.float64)
        a = position_ids[..., None].double() * theta ** (-i / D)
        a = torch.cat([a, a], -1)
        return a.cos(), a.sin()

    for m in lm.modules():
        if type(m).__name__ == "Qwen2RMSNorm":
            m.forward = rms.__get__(m)
    lm.model.rotary_emb.forward = rotary


# ---- a model ---------------------------------------------------------------


class Model:
    """Its modules by part, and configs in our layout."""

    def __init__(self, cfg, preprocessor, rng):
        self.cfg, self.pre = cfg, preprocessor
        text = cfg.get("text_config", cfg)
        keys = {k: v for k, v in text.items() if k != "rope_theta"}
        if "rope_theta" in text:
            keys["rope_parameters"] = {
                "rope_type": "default",
                "rope_theta": text["rope_theta"],
            }
        self.text = Qwen2Config(**keys, attn_implementation="sdpa")
        self.lm = Qwen2ForCausalLM(self.text)
        self.parts = {"language": self.lm}
        self.R = 0
        if "vision_config" in cfg:
            self.add_vision(cfg)
        for part in sorted(self.parts):
            for p in self.parts[part].parameters():
                fill(p, rng)
        self.check_highest(rng)
        for m in self.parts.values():
            m.double().eval()
        highest(self.lm)

    def add_vision(self, cfg):
        v = cfg["vision_config"]
        C = v["hidden_size"]
        self.tower = SiglipVisionModel(
            SiglipVisionConfig(
                **v, vision_use_head=False, attn_implementation="sdpa"
            )
        )
        P = (v["image_size"] // v["patch_size"]) ** 2
        r = cfg["resampler"]
        self.R = r.get("rows", P)
        if r["type"] == "perceiver":
            self.resampler = Perceiver(
                C, self.R, r["blocks"], r["heads"], v["layer_norm_eps"]
            )
            self.parts["resampler"] = self.resampler
        else:
            pool = r["type"] == "avgpool"
            self.resampler = AvgPool(self.R) if pool else nn.Identity()
        self.projector = Projector(
            C, cfg["projector"]["hidden_size"], self.text.hidden_size
        )
        self.parts["vision"] = self.tower
        self.parts["projector"] = self.projector

    def check_highest(self, rng):
        ids = torch.from_numpy(rng.integers(0, self.text.vocab_size, (1, 20)))
        with torch.no_grad():
            plain = self.lm(input_ids=ids).logits.double()
            twin = Qwen2ForCausalLM(self.text)
            twin.load_state_dict(self.lm.state_dict())
            twin = twin.double().eval()
            highest(twin)
            exact = twin(input_ids=ids).logits
        err = ((plain - exact).norm() / exact.norm()).item()
        assert err < 2e-6, err
        print(f"# transformers in F32 differs from F64 by {err:.1e}")

    def named(self):
        """(name as ours, part, parameter), tied ones once."""
        vlm = "vision_config" in self.cfg
        prefix = {
            "vision": "vision_tower.vision_model.",
            "resampler": "resampler.",
            "projector": "projector.",
            "language": "language_model.",
        }
        for part, m in self.parts.items():
            for name, p in m.named_parameters():
                yield (prefix[part] if vlm else "") + name, part, p

    def features(self, pixels):
        half = [0.5] * 3
        mean, std = (
            torch.tensor(self.pre.get(k, half), dtype=torch.float64)
            for k in ("image_mean", "image_std")
        )
        x = (torch.from_numpy(pixels).double() / 255 - mean) / std
        out = self.tower(x.permute(0, 3, 1, 2), output_hidden_states=True)
        if self.cfg.get("vision_feature_layer", -1) == -1:
            return out.last_hidden_state
        assert not self.cfg["vision_post_norm"]
        return out.hidden_states[self.cfg["vision_feature_layer"]]

    def embeds(self, features):
        return self.projector(self.resampler(features))

    def logits(self, ids, embeds):
        """One whole sequence; ~r is row r of embeds (B*R,C)."""
        ids = torch.tensor(ids)
        image = torch.tensor(self.cfg.get("image_token_id", 0))
        x = self.lm.get_input_embeddings()(torch.where(ids < 0, image, ids))
        at = (ids < 0).nonzero().flatten()
        if len(at):
            x = x.index_copy(0, at, embeds[~ids[at]])
        return self.lm(inputs_embeds=x[None]).logits[0]


def fill(p, rng):
    """Values of some size everywhere, so that every tensor matters."""
    n = p.shape
    if len(n) == 1:
        x = 0.2 * rng.standard_normal(n)
        x += 1.0 if p.mean().item() > 0.5 else 0.0
    else:
        x = rng.standard_normal(n) / math.sqrt(math.prod(n[1:]))
    with torch.no_grad():
        p.copy_(torch.from_numpy(x.astype(np.float32)))


# ---- batches ---------------------------------------------------------------


class Batch:
    """Groups of sequences with a common start, packed in two ways: shared,
    where the start is a sequence of its own and the others' prefix, and flat,
    where every sequence is whole."""

    def __init__(self, groups, rng, V):
        self.full = []  # (ids, [(position, target)])
        self.target = []
        s = dict(id=[], pos=[], q_at=[0], p_at=[], p_len=[], out=[])
        f = dict(id=[], pos=[], q_at=[0], p_at=[], p_len=[], out=[])
        for start, tails in groups:
            at = len(s["id"])
            if len(tails) > 1:
                self.put(s, start, 0, 0, 0)
            for n, tail in enumerate(tails):
                ids = start + tail
                own = len(s["id"])
                if len(tails) > 1:
                    self.put(s, tail, len(start), at, len(start))
                else:
                    own = at + len(start)
                    self.put(s, ids, 0, 0, 0)
                base = len(f["id"])
                self.put(f, ids, 0, 0, 0)
                rows = [
                    t
                    for t in range(len(ids))
                    if (t >= len(start) and rng.random() < 0.6)
                    # and two of the start, which are shared: once
                    or n == 0 and t in (1, len(start) - 1)
                ]
                pick = []
                for t in rows:
                    last = t + 1 == len(ids) or ids[t + 1] < 0
                    y = int(rng.integers(0, V)) if last else ids[t + 1]
                    pick.append((t, y))
                    self.target.append(y)
                    f["out"].append(base + t)
                    s["out"].append(
                        own + t - len(start) if t >= len(start) else at + t
                    )
                self.full.append((ids, pick))
        self.shared, self.flat = s, f

    @staticmethod
    def put(d, ids, pos, p_at, p_len):
        d["id"] += ids
        d["pos"] += range(pos, pos + len(ids))
        d["q_at"].append(len(d["id"]))
        d["p_at"].append(p_at)
        d["p_len"].append(p_len)

    def arrays(self):
        out = {"target": np.array(self.target, np.int32)}
        for name, d in ("shared", self.shared), ("flat", self.flat):
            for k, v in d.items():
                out[f"{name}.{k}"] = np.array(v, np.int32)
        return out


def words(rng, n, V):
    return [int(x) for x in rng.integers(0, V, n)]


def image(b, R):
    return [~(b * R + r) for r in range(R)]


def vlm_batch(rng, V, R):
    w = lambda n: words(rng, n, V)  # noqa: E731
    mid = R // 2
    two = image(2, R)
    return Batch(
        [
            # three questions about image 1
            (w(2) + image(1, R) + w(1), [w(5), w(1), w(7)]),
            (w(6), [w(3)]),
            # image 2 in two runs, image 1 again, in one sequence
            (two[:mid] + w(2) + two[mid:], [w(2) + image(1, R) + w(3)]),
            # image 0 at the very start, two tails
            (image(0, R), [w(4), w(3)]),
        ],
        rng,
        V,
    )


def text_batch(rng, V):
    w = lambda n: words(rng, n, V)  # noqa: E731
    return Batch(
        [
            (w(4), [w(9)]),
            (w(7), [w(5), w(1), w(6)]),
            (w(2), [w(1)]),
            (w(3), [w(17), w(2)]),
        ],
        rng,
        V,
    )


# ---- results ---------------------------------------------------------------


def run(model, batch, pixels):
    """Features, embeds, logits of the trained rows, and the loss."""
    res, rows = {}, None
    if pixels is not None:
        res["features"] = model.features(pixels)
        res["embeds"] = model.embeds(res["features"])
        rows = res["embeds"].flatten(0, 1)
    z = [
        model.logits(ids, rows)[[t for t, _ in pick]]
        for ids, pick in batch.full
    ]
    res["logits"] = torch.cat(z)
    lp = torch.log_softmax(res["logits"], -1)
    y = torch.tensor(batch.target)
    res["logp"] = lp.gather(1, y[:, None])[:, 0]
    res["entropy"] = -(lp.exp() * lp).sum(-1)
    res["loss"] = -res["logp"].mean().reshape(1)
    return res


def adam(model, batch, pixels):
    groups = []
    for name, part, p in model.named():
        decays = p.dim() > 1 and not name.endswith(
            ("position_embedding.weight", "latents")
        )
        groups.append(
            {
                "params": [p],
                "lr": LR[part],
                "weight_decay": WD if decays else 0.0,
            }
        )
    opt = torch.optim.AdamW(groups, betas=(BETA1, BETA2), eps=EPS)
    losses, norms = [], []
    for _ in range(STEPS):
        opt.zero_grad()
        loss = run(model, batch, pixels)["loss"]
        loss.backward()
        norms.append(
            nn.utils.clip_grad_norm_(
                [p for _, _, p in model.named()], MAX_NORM
            ).item()
        )
        opt.step()
        losses.append(loss.item())
    print("# AdamW: loss", losses[0], "to", losses[-1], "norm", norms)
    assert max(norms) > MAX_NORM
    out = {"adam." + n: p.detach() for n, _, p in model.named()}
    out["adam/loss"] = torch.tensor(losses)
    out["adam/norm"] = torch.tensor(norms)
    out["adam/lr"] = torch.tensor(list(LR.values()))
    out["adam/law"] = torch.tensor([WD, BETA1, BETA2, EPS, MAX_NORM])
    return out


def f32(t):
    return np.ascontiguousarray(t.detach().numpy().astype(np.float32))


def make(root, name, cfg, pre=None, train=False):
    rng = np.random.Generator(np.random.PCG64([SEED] + [ord(c) for c in name]))
    model = Model(cfg, pre or {}, rng)
    V, pixels, gold = model.text.vocab_size, None, {}
    if model.R:
        side = cfg["vision_config"]["image_size"]
        pixels = rng.integers(0, 256, (3, side, side, 3), dtype=np.uint8)
        gold["pixels"] = pixels
        batch = vlm_batch(rng, V, model.R)
    else:
        batch = text_batch(rng, V)
    gold |= batch.arrays()
    weights = {n: f32(p) for n, _, p in model.named()}
    res = run(model, batch, pixels)
    res["loss"].backward()
    gold |= {k: f32(v) for k, v in res.items()}
    for n, _, p in model.named():
        if p.grad is not None:  # None: not in the graph, ours are zero
            gold["grad." + n] = f32(p.grad)
    if train:
        gold |= {k: f32(v) for k, v in adam(model, batch, pixels).items()}
    d = os.path.join(root, name)
    os.makedirs(d, exist_ok=True)
    save_file(weights, f"{d}/model.safetensors", {"format": "pt"})
    save_file(gold, f"{d}/golden.safetensors")
    for file, o in ("config", cfg), ("preprocessor_config", pre):
        if o:
            with open(f"{d}/{file}.json", "w") as f:
                json.dump(o, f, indent=2)
                f.write("\n")
    print(
        f"{name}: loss {res['loss'].item():.6f}, {len(batch.target)} rows, "
        f"{sum(w.size for w in weights.values())} parameters"
    )


def text(V, C, F, **more):
    return {
        "model_type": "qwen2",
        "vocab_size": V,
        "hidden_size": C,
        "intermediate_size": F,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
        "rms_norm_eps": 1e-6,
    } | more


def siglip(image_size, patch, C, F, layers, heads, act):
    return {
        "model_type": "siglip_vision_model",
        "image_size": image_size,
        "patch_size": patch,
        "hidden_size": C,
        "intermediate_size": F,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "layer_norm_eps": 1e-6,
        "hidden_act": act,
    }


def main():
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "model")
    if len(sys.argv) > 1:
        root = sys.argv[1]
    torch.set_num_threads(1)
    tied = text(53, 24, 36, rope_theta=10000.0, tie_word_embeddings=True)
    untied = text(
        47,
        20,
        28,
        head_dim=8,
        tie_word_embeddings=False,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
    )
    make(root, "tied", tied)
    make(root, "untied", untied)
    make(
        root,
        "avgpool",
        {
            "model_type": "ghostvis",
            "text_config": tied,
            # 16 px are 5 patches of 3 px and one that is dropped
            "vision_config": siglip(16, 3, 20, 28, 2, 4, "gelu_pytorch_tanh"),
            "resampler": {"type": "avgpool", "rows": 9},
            "projector": {"hidden_size": 22, "act": "gelu"},
            "image_token_id": 50,
        },
    )
    make(
        root,
        "perceiver",
        {
            "model_type": "ghostvis",
            "text_config": untied,
            "vision_config": siglip(17, 5, 24, 28, 2, 3, "gelu"),
            "resampler": {
                "type": "perceiver",
                "rows": 5,
                "blocks": 2,
                "heads": 4,
            },
            "projector": {"hidden_size": 18, "act": "gelu"},
            "image_token_id": 46,
        },
        {
            "image_mean": [0.48145466, 0.4578275, 0.40821073],
            "image_std": [0.26862954, 0.26130258, 0.27577711],
        },
        train=True,
    )
    make(
        root,
        "none",
        {
            "model_type": "ghostvis",
            "text_config": tied,
            "vision_config": siglip(14, 4, 20, 28, 3, 2, "quick_gelu"),
            "resampler": {"type": "none"},
            "projector": {"hidden_size": 22, "act": "gelu"},
            "image_token_id": 0,
            "vision_feature_layer": -2,
            "vision_post_norm": False,
        },
    )


if __name__ == "__main__":
    main()
