#!/usr/bin/env python3
"""Makes tests/golden/objective/cases.safetensors: the losses of lib/objective.h
on random samples, and their gradients by torch's autograd in F64.

    python3 tests/golden/make_objective.py [DIR]

Shared by all cases: `at` (groups + 1), `start` (samples + 1) of the tokens,
`reward` (samples), and by token `logp`, `old`, `drawn`, `ref`.  Case NAME has
NAME.law (objective, scale, leave one out, low, high, kl, longest, correct, its
low and high: in the order of the enums and fields of objective.h),
NAME.advantage, NAME.loss and NAME.g = d loss / d logp.

Made with seed 20261123, Python 3.11.2, torch 2.15.0, safetensors 0.8.0.
"""

import os
import sys

import numpy as np
import torch
from safetensors.numpy import save_file

SEED = 20261123
LM, REINFORCE, GRPO, DR_GRPO, DAPO, GSPO, CISPO = range(7)
NONE, GROUP, BATCH = range(3)
KEEP, TRUNCATE, MASK, MASK_SAMPLE = range(4)

CASES = {
    "reinforce": (REINFORCE, NONE, 0, 0.2, 0.2, 0, 1, KEEP, 0, 2),
    "reinforce-loo": (REINFORCE, NONE, 1, 0.2, 0.2, 0, 1, KEEP, 0, 2),
    "reinforce-batch": (REINFORCE, BATCH, 0, 0.2, 0.2, 0.1, 1, TRUNCATE, 0, 1.1),
    "grpo": (GRPO, GROUP, 0, 0.2, 0.2, 0, 1, KEEP, 0, 2),
    "grpo-kl": (GRPO, GROUP, 0, 0.2, 0.2, 0.04, 1, KEEP, 0, 2),
    "grpo-loo": (GRPO, GROUP, 1, 0.1, 0.3, 0.02, 1, TRUNCATE, 0.9, 1.2),
    "dr-grpo": (DR_GRPO, NONE, 0, 0.2, 0.2, 0, 24, KEEP, 0, 2),
    "dapo": (DAPO, GROUP, 0, 0.2, 0.28, 0, 1, KEEP, 0, 2),
    "dapo-mask": (DAPO, GROUP, 0, 0.2, 0.28, 0, 1, MASK, 0.8, 1.25),
    "dapo-batch": (DAPO, BATCH, 0, 0.2, 0.28, 0, 1, MASK_SAMPLE, 0.95, 1.05),
    "gspo": (GSPO, GROUP, 0, 0.05, 0.06, 0, 1, KEEP, 0, 2),
    "gspo-kl": (GSPO, GROUP, 0, 3e-4, 4e-4, 0.1, 1, TRUNCATE, 0, 1.1),
    "cispo": (CISPO, GROUP, 0, 0.2, 0.28, 0, 1, KEEP, 0, 2),
    "cispo-kl": (CISPO, GROUP, 0, 1.0, 0.1, 0.05, 1, TRUNCATE, 0, 1.05),
}


def advantages(law, reward, at):
    out = torch.empty_like(reward)
    for a, b in zip(at[:-1], at[1:]):
        r = reward[a:b]
        mean = (r.sum() - r) / (len(r) - 1) if law[2] else r.mean()
        out[a:b] = torch.zeros_like(r) if (r == r[0]).all() else r - mean
        if law[1] == GROUP and not (r == r[0]).all():
            out[a:b] /= r.std() + (0 if law[0] == DAPO else 1e-4)
    if law[1] == BATCH:
        out /= reward.std() + (0 if law[0] == DAPO else 1e-4)
    return out


def correction(law, old, drawn):
    c = torch.exp(old - drawn)
    if law[0] == GSPO:
        c = torch.exp((old - drawn).mean()).expand_as(c)
    kind, low, high = law[7:10]
    if kind == TRUNCATE:
        return c.clamp(low, high)
    if kind == MASK:
        return torch.where((c < low) | (c > high), torch.zeros_like(c), c)
    if kind == MASK_SAMPLE:
        mean = torch.exp((old - drawn).mean())
        return c if low <= mean <= high else torch.zeros_like(c)
    return torch.ones_like(c)


def loss_of(law, samples, T):
    """samples: a list of (A, logp, old, drawn, ref)"""
    kind, low, high, kl, longest = law[0], law[3], law[4], law[5], law[6]
    n, total = len(samples), 0.0
    for A, logp, old, drawn, ref in samples:
        c = correction(law, old, drawn)
        r = torch.exp(logp - old)
        size = len(logp)
        w = {
            REINFORCE: 1 / T,
            GRPO: 1 / (n * size),
            DR_GRPO: 1 / (n * longest),
            DAPO: 1 / T,
            GSPO: 1 / (n * size),
            CISPO: 1 / T,
        }[kind]
        if kind == REINFORCE:
            each = A * logp
        elif kind == CISPO:
            each = r.clamp(max=1 + high).detach() * A * logp
        elif kind == GSPO:
            q = torch.exp((logp - old).mean())
            each = torch.min(q * A, q.clamp(1 - low, 1 + high) * A)
            each = each.expand(size)
        else:
            each = torch.min(r * A, r.clamp(1 - low, 1 + high) * A)
        k3 = torch.exp(ref - logp) - (ref - logp) - 1
        total = total + w * (-(c * each) + kl * k3).sum()
    return total


def main():
    where = sys.argv[1] if len(sys.argv) > 1 else "tests/golden/objective"
    rng = np.random.default_rng(SEED)
    at = np.cumsum([0, 4, 4, 3, 2, 6])
    n = int(at[-1])
    size = rng.integers(1, 13, n)
    size[0] = 1
    start = np.concatenate([[0], np.cumsum(size)])
    T = int(start[-1])
    reward = rng.normal(0, 1, n).round(2)
    reward[4:8] = 0.5
    logp = -rng.exponential(1.5, T)
    old = np.minimum(logp + rng.normal(0, 0.25, T), -1e-3)
    drawn = np.minimum(old + rng.normal(0, 0.15, T), -1e-3)
    ref = np.minimum(logp + rng.normal(0, 0.4, T), -1e-3)
    by_token = {
        k: v.astype(np.float32)
        for k, v in dict(logp=logp, old=old, drawn=drawn, ref=ref).items()
    }
    out = {
        "at": at.astype(np.int32),
        "start": start.astype(np.int32),
        "reward": reward.astype(np.float32),
        **by_token,
    }
    reward = torch.tensor(out["reward"], dtype=torch.float64)
    wide = {k: torch.tensor(v, dtype=torch.float64) for k, v in by_token.items()}
    for name, law in CASES.items():
        x = wide["logp"].clone().requires_grad_(True)
        a = advantages(law, reward, at)
        cut = [slice(start[i], start[i + 1]) for i in range(n)]
        samples = [
            (a[i], x[s], wide["old"][s], wide["drawn"][s], wide["ref"][s])
            for i, s in enumerate(cut)
        ]
        loss = loss_of(law, samples, T)
        loss.backward()
        out[name + ".law"] = np.array(law, np.float32)
        out[name + ".advantage"] = a.numpy().astype(np.float32)
        out[name + ".loss"] = np.array([loss.item()], np.float32)
        out[name + ".g"] = x.grad.numpy().astype(np.float32)
    os.makedirs(where, exist_ok=True)
    save_file(out, os.path.join(where, "cases.safetensors"))


if __name__ == "__main__":
    main()
