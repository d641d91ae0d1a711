"""The same work in PyTorch, on the same GPU: the other half of `make bench-gpu`.

usage: peer.py [section ...]    sections: ops attention encode train align sft
                                decode prefill loop

Prints rows as bench.h describes: name, value, unit, seconds.  What PyTorch can
compile is compiled (torch.compile), parameters are BF16, AdamW is its fused
one.
"""

import gc
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

BF16 = torch.bfloat16
D = "cuda"
VOCAB, WIDTH = 151936, 1536


def row(name, value, unit, seconds):
    print(f"{name}\t{value:.6g}\t{unit}\t{seconds:.6g}", flush=True)


def median(run, turns=10, each=1, warm=3):
    """Median seconds of run(), `each` runs between two events."""
    for _ in range(warm):
        run()
    torch.cuda.synchronize()
    times = []
    for _ in range(turns):
        a = torch.cuda.Event(enable_timing=True)
        b = torch.cuda.Event(enable_timing=True)
        a.record()
        for _ in range(each):
            run()
        b.record()
        torch.cuda.synchronize()
        times.append(a.elapsed_time(b) / 1e3 / each)
    return sorted(times)[turns // 2]


def replayed(run, each=10):
    """The same from a CUDA graph, for what is shorter than its launch."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(each):
            run()
    return median(graph.replay) / each


def rand(*shape, std=1.0, grad=False):
    x = torch.randn(*shape, device=D, dtype=BF16) * std
    return x.requires_grad_(grad)


def clean():
    gc.collect()
    torch.cuda.empty_cache()
    torch._dynamo.reset()


# ---- ops --------------------------------------------------------------------


def flops_row(name, run, flops):
    t = replayed(run) if flops < 1e12 else median(run)
    row(name, flops / t / 1e12, "TFLOP/s", t)


def bytes_row(name, run, count):
    t = replayed(run)
    row(name, count / t / 1e9, "GB/s", t)


def product(name, n, c, o, run, wide=1):
    x, w = rand(n, c), rand(wide * o, c, std=0.02)
    flops_row(name, lambda: run(x, w), 2 * wide * n * c * o)


def ops_products():
    swiglu = torch.compile(
        lambda x, w: F.silu((z := x @ w.t())[:, : w.shape[0] // 2])
        * z[:, w.shape[0] // 2 :]
    )

    def keep(x, w):
        z = x @ w.t()
        h = w.shape[0] // 2
        return z, F.silu(z[:, :h]) * z[:, h:]

    keep = torch.compile(keep)
    plain = lambda x, w: x @ w.t()
    bias = rand(8192)
    product("matmul 8192", 8192, 8192, 8192, plain)
    product(
        "qkv 16384x2048x1536", 16384, WIDTH, 2048,
        lambda x, w: F.linear(x, w, bias[:2048]),
    )
    r = rand(16384, WIDTH)
    add = torch.compile(lambda x, w, r: r + x @ w.t())
    product("o 16384x1536x1536", 16384, WIDTH, WIDTH, lambda x, w: add(x, w, r))
    product("swiglu 16384x8960x1536", 16384, WIDTH, 8960, swiglu, 2)
    product("swiglu keep 16384x8960x1536", 16384, WIDTH, 8960, keep, 2)
    product(
        "down 16384x1536x8960", 16384, 8960, WIDTH, lambda x, w: add(x, w, r)
    )
    del r
    gu, dz, w = rand(16384, 17920), rand(16384, WIDTH), rand(WIDTH, 8960)

    def back(dz, w, gu):
        dy = dz @ w
        g, u = gu[:, :8960].float(), gu[:, 8960:].float()
        e = torch.sigmoid(g)
        a = g * e
        d = dy * u * (e + a * (1 - e))
        return torch.cat([d.bfloat16(), (dy * a).bfloat16()], 1), a * u

    back = torch.compile(back)
    flops_row(
        "swiglu bwd 16384x8960x1536", lambda: back(dz, w, gu),
        2 * 16384 * 8960 * WIDTH,
    )
    big = 2 * 16384 * WIDTH * 17920
    w = rand(17920, WIDTH)
    flops_row("gate/up dgrad 16384x1536x17920", lambda: gu @ w, big)
    flops_row("gate/up wgrad 17920x1536x16384", lambda: gu.t() @ dz, big)
    y = rand(16384, 8960)
    flops_row("down wgrad 1536x8960x16384", lambda: dz.t() @ y, big / 2)
    del gu, dz, w, y
    product(
        "vit qkv 8192x3072x1024", 8192, 1024, 3072,
        lambda x, w: F.linear(x, w, bias[:3072]),
    )
    gelu = torch.compile(
        lambda x, w, b: F.gelu(F.linear(x, w, b), approximate="tanh")
    )
    product(
        "vit fc1 gelu 8192x4096x1024", 8192, 1024, 4096,
        lambda x, w: gelu(x, w, bias[:4096]),
    )
    r = rand(8192, 1024)
    product(
        "vit fc2 8192x1024x4096", 8192, 4096, 1024, lambda x, w: add(x, w, r)
    )
    product("row gate/up 1x17920x1536", 1, WIDTH, 8960, swiglu, 2)
    product("row down 1x1536x8960", 1, 8960, WIDTH, plain)
    product("rows down 64x1536x8960", 64, 8960, WIDTH, plain)
    product("row head 1x151936x1536", 1, WIDTH, VOCAB, plain)
    product("rows head 64x151936x1536", 64, WIDTH, VOCAB, plain)


def ops_rest():
    a = torch.empty(1 << 28, dtype=torch.float32, device=D).normal_()
    b = torch.empty_like(a)
    bytes_row("copy 1 GiB", lambda: b.copy_(a), 2 * 4 * a.numel())
    del a, b
    for name, n, c, norm in (
        ("rmsnorm", 16384, WIDTH, F.rms_norm),
        ("layernorm", 65536, 1024, F.layer_norm),
    ):
        x, w = rand(n, c, grad=True), rand(c, grad=True)
        f = torch.compile(lambda x, w: norm(x, (c,), w, eps=1e-6))
        with torch.no_grad():
            bytes_row(f"{name} {n}x{c}", lambda: f(x, w), 2 * 2 * n * c)
        # A backward pass that runs again must leave what it reads.
        with torch._functorch.config.patch(donated_buffer=False):
            y = f(x, w)
            d = torch.randn_like(y)
            t = median(
                lambda: torch.autograd.grad(y, (x, w), d, retain_graph=True),
                each=5,
            )
        count = 4 * 2 * n * c
        row(f"{name} bwd {n}x{c}", count / t / 1e9, "GB/s", t)
        del x, y, d
        clean()
    ids = torch.randint(0, VOCAB, (16384,), device=D)
    d = rand(16384, WIDTH)

    def embed():
        return torch.ops.aten.embedding_dense_backward(d, ids, VOCAB, -1, False)

    t = median(embed)
    row("embedding bwd 16384x1536", 16384 * WIDTH * 10 / t / 1e9, "GB/s", t)
    h, w = rand(8192, WIDTH, grad=True), rand(VOCAB, WIDTH, std=0.02, grad=True)
    t = median(lambda: head_loss(h, w, ids[:8192], 4).backward())
    work = 6 * 8192 * VOCAB * WIDTH
    row("cross-entropy 8192x151936x1536", work / t / 1e12, "TFLOP/s", t)
    del h, w, d
    clean()
    p = [torch.randn(80_000_000, device=D)]
    m, v, g = ([torch.rand_like(p[0])] for _ in range(3))
    step = [torch.tensor(10.0, device=D)]

    def adamw():
        torch._fused_adamw_(
            p, g, m, v, [], step, lr=1e-5, beta1=0.9, beta2=0.95,
            weight_decay=0.1, eps=1e-8, amsgrad=False, maximize=False,
        )

    t = median(adamw)
    row("adamw 80e6", 34 * 80e6 / t / 1e9, "GB/s", t)
    bytes_row("sumsq 80e6", lambda: torch.linalg.vector_norm(g[0]), 4 * 80e6)
    for n in (1, 64):
        z = torch.randn(n, VOCAB, device=D)

        def sample():
            q, at = z.softmax(-1).sort(-1, descending=True)
            q = torch.where(q.cumsum(-1) - q > 0.95, 0.0, q)
            return at.gather(-1, torch.multinomial(q, 1))

        t = median(sample)
        name = f"sample top-p {n}x151936"
        row(name, 4 * n * VOCAB / t / 1e9, "GB/s", t)


def ops():
    with torch.no_grad():
        ops_products()
    clean()
    ops_rest()


def attention():
    from torch.nn.attention import SDPBackend, sdpa_kernel

    ways = (SDPBackend.FLASH_ATTENTION, SDPBackend.CUDNN_ATTENTION)
    for name, b, h, g, t, d, causal in (
        ("8x12x2048x128 causal", 8, 12, 12, 2048, 128, True),
        ("8x12/2x2048x128 causal", 8, 12, 2, 2048, 128, True),
        ("16x12/2x1024x128 causal", 16, 12, 2, 1024, 128, True),
        ("128x12/2x128x128 causal", 128, 12, 2, 128, 128, True),
        ("2x12x8192x128 causal", 2, 12, 12, 8192, 128, True),
        ("256x16x256x64", 256, 16, 16, 256, 64, False),
        ("64x16x729x72", 64, 16, 16, 729, 72, False),
    ):
        q = rand(b, h, t, d, grad=True)
        k, v = rand(b, g, t, d, grad=True), rand(b, g, t, d, grad=True)
        work = 4 * b * h * t * t * d * (0.5 if causal else 1)
        best, back, who = 9.0, 9.0, ""
        for way in ways:
            try:
                with sdpa_kernel(way):
                    run = lambda: F.scaled_dot_product_attention(
                        q, k, v, is_causal=causal, enable_gqa=h != g
                    )
                    with torch.no_grad():
                        f = median(run, each=4)
                    o = run()
                    do = torch.randn_like(o)
                    r = median(
                        lambda: torch.autograd.grad(
                            o, (q, k, v), do, retain_graph=True
                        ),
                        each=4,
                    )
            except RuntimeError:
                continue
            row(f"# {way.name} {name}", work / f / 1e12, "TFLOP/s", f)
            row(f"# {way.name} bwd {name}", 2.5 * work / r / 1e12, "TFLOP/s", r)
            best, back = min(best, f), min(back, r)
        row(f"attention {name}", work / best / 1e12, "TFLOP/s", best)
        row(f"attention bwd {name}", 2.5 * work / back / 1e12, "TFLOP/s", back)
        clean()


# ---- models -----------------------------------------------------------------


def qwen():
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        hidden_size=WIDTH, intermediate_size=8960, num_hidden_layers=28,
        num_attention_heads=12, num_key_value_heads=2, vocab_size=VOCAB,
        max_position_embeddings=32768, rope_theta=1e6,
        tie_word_embeddings=True, attn_implementation="sdpa",
    )
    torch.set_default_dtype(BF16)
    with torch.device(D):
        model = Qwen2ForCausalLM(config)
    torch.set_default_dtype(torch.float32)
    return model


def siglip(image, patch, width, heads, layers, ffn):
    from transformers import SiglipVisionConfig, SiglipVisionModel

    config = SiglipVisionConfig(
        hidden_size=width, intermediate_size=ffn, num_hidden_layers=layers,
        num_attention_heads=heads, image_size=image, patch_size=patch,
        vision_use_head=False,
    )
    return SiglipVisionModel(config).to(D, BF16).eval().requires_grad_(False)


class Connector(nn.Module):
    """One Perceiver block of 64 latents, and a two-layer projector."""

    def __init__(self, width=1024, rows=64, heads=16):
        super().__init__()
        self.latents = nn.Parameter(torch.randn(rows, width) * 0.02)
        self.attend = nn.MultiheadAttention(width, heads, batch_first=True)
        self.query = nn.LayerNorm(width)
        self.context = nn.LayerNorm(width)
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)
        self.first = nn.Linear(width, WIDTH)
        self.second = nn.Linear(WIDTH, WIDTH)

    def forward(self, features):
        x = self.latents.expand(features.shape[0], -1, -1)
        c = self.context(features)
        x = x + self.attend(self.query(x), c, c, need_weights=False)[0]
        x = x + self.down(F.gelu(self.up(self.norm(x))))
        return self.second(F.gelu(self.first(x)))


def head_loss(h, w, target, chunks):
    """Mean cross-entropy, recomputing the logits of each chunk of rows."""

    def part(a, t):
        return F.cross_entropy((a @ w.t()).float(), t, reduction="sum")

    total = sum(
        checkpoint(part, a, t, use_reentrant=False)
        for a, t in zip(h.chunk(chunks), target.chunk(chunks))
    )
    return total / target.numel()


def ids_of(*shape):
    return torch.randint(0, 151000, shape, device=D)


def encode():
    for name, batch, sizes in (
        ("large16-256", 256, (256, 16, 1024, 16, 24, 4096)),
        ("so400m14-384", 128, (384, 14, 1152, 16, 27, 4304)),
    ):
        model = torch.compile(siglip(*sizes))
        x = rand(batch, 3, sizes[0], sizes[0])
        with torch.no_grad():
            t = median(lambda: model(x), turns=8)
            row(f"encode {name} x{batch}", batch / t, "images/s", t)
        del model, x
        clean()


def train():
    for batch, length in ((16, 1024), (8, 2048)):
        torch.cuda.reset_peak_memory_stats()
        model = qwen().train()
        body = torch.compile(model.model)
        optim = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
        ids = ids_of(batch, length)

        def step():
            h = body(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
            loss = head_loss(
                h.reshape(-1, WIDTH), model.lm_head.weight,
                ids[:, 1:].reshape(-1), 4,
            )
            loss.backward()
            optim.step()
            optim.zero_grad(set_to_none=True)

        t = median(step, turns=6)
        row(f"train 1.5b {batch}x{length}", batch * length / t, "tokens/s", t)
        peak = torch.cuda.max_memory_allocated() / 2**30
        row(f"train 1.5b {batch}x{length} memory", peak, "GiB", 0)
        del model, body, optim
        clean()


def align(batch=128, length=64):
    model = qwen().requires_grad_(False)
    tower = torch.compile(siglip(256, 16, 1024, 16, 24, 4096))
    module = Connector().to(D, BF16)
    connect, body = torch.compile(module), torch.compile(model.model)
    optim = torch.optim.AdamW(module.parameters(), lr=1e-4, fused=True)
    images, ids = rand(batch, 3, 256, 256), ids_of(batch, length)

    def step():
        with torch.no_grad():
            features = tower(images).last_hidden_state
        x = torch.cat([connect(features), model.model.embed_tokens(ids)], 1)
        h = body(inputs_embeds=x, use_cache=False).last_hidden_state[:, 63:-1]
        z = (h @ model.lm_head.weight.t()).float()
        F.cross_entropy(z.flatten(0, 1), ids.flatten()).backward()
        optim.step()
        optim.zero_grad(set_to_none=True)

    t = median(step, turns=6)
    row(f"align 1.5b {batch}x(64+{length})", batch / t, "examples/s", t)
    clean()


def sft(batch=64, length=256):
    model, module = qwen().train(), Connector().to(D, BF16)
    connect, body = torch.compile(module), torch.compile(model.model)
    optim = torch.optim.AdamW(
        [*model.parameters(), *module.parameters()], lr=1e-5, fused=True
    )
    features, ids = rand(batch, 256, 1024), ids_of(batch, length)

    def step():
        x = torch.cat([connect(features), model.model.embed_tokens(ids)], 1)
        h = body(inputs_embeds=x, use_cache=False).last_hidden_state[:, 63:-1]
        loss = head_loss(
            h.reshape(-1, WIDTH), model.lm_head.weight, ids.reshape(-1), 4
        )
        loss.backward()
        optim.step()
        optim.zero_grad(set_to_none=True)

    t = median(step, turns=6)
    row(f"sft 1.5b {batch}x(64+{length})", batch / t, "examples/s", t)
    clean()


def decode(prompt=192, new=128):
    from transformers import StaticCache

    model = qwen().eval()
    for batch in (1, 8, 64):
        cache = StaticCache(config=model.config, max_cache_len=1024)
        ids = ids_of(batch, prompt)

        def forward(token, at, **more):
            out = model(
                input_ids=token, past_key_values=cache, cache_position=at,
                use_cache=True, **more,
            )
            return out.logits[:, -1].argmax(-1, keepdim=True)

        one = torch.compile(
            lambda token, at: forward(token, at, position_ids=at[None]),
            mode="reduce-overhead",
        )
        with torch.no_grad():
            at = torch.arange(prompt, device=D)
            token = forward(ids, at, logits_to_keep=1)
            at = at[-1:] + 1
            for i in range(8 + new):
                if i == 8:
                    torch.cuda.synchronize()
                    start = time.perf_counter()
                token = one(token, at).clone()
                at = at + 1
            torch.cuda.synchronize()
            t = (time.perf_counter() - start) / new
        row(f"decode 1.5b x{batch}", batch / t, "tokens/s", t)
        clean()


def prefill(length=192):
    model = qwen().eval()
    body = torch.compile(model.model)
    for batch in (1, 64):
        ids = ids_of(batch, length)

        def run():
            h = body(input_ids=ids, use_cache=False).last_hidden_state[:, -1]
            return h @ model.lm_head.weight.t()

        with torch.no_grad():
            t = median(run)
        name = f"prefill 1.5b {batch}x{length}"
        row(name, batch * length / t, "tokens/s", t)
    clean()


def policy_logp(body, head, ids, prompt, chunks=8):
    """Log-probabilities (rows, new) of what follows the prompt."""
    h = body(input_ids=ids, use_cache=False).last_hidden_state
    h = h[:, prompt - 1:-1].reshape(-1, WIDTH)
    target = ids[:, prompt:].reshape(-1)

    def some(h, target):
        z = (h @ head.t()).float()
        return -F.cross_entropy(z, target, reduction="none")

    parts = []
    for a, b in zip(h.chunk(chunks), target.chunk(chunks)):
        if torch.is_grad_enabled():
            parts.append(checkpoint(some, a, b, use_reentrant=False))
        else:
            parts.append(some(a, b))
    return torch.cat(parts).view(ids.shape[0], -1)


def loop(prompts=16, group=8, prompt=192, new=256, micro=32):
    """A step of GRPO in one process: sample, score, update."""
    from transformers import StaticCache

    model = qwen()
    optim = torch.optim.AdamW(model.parameters(), lr=1e-6, fused=True)
    rows = prompts * group
    cache = StaticCache(config=model.config, max_cache_len=prompt + new)
    body = torch.compile(model.model)
    head = model.lm_head.weight

    def draw(logits):
        return torch.multinomial(logits[:, -1].float().softmax(-1), 1)

    one = torch.compile(
        lambda token, at: draw(model(
            input_ids=token, past_key_values=cache, cache_position=at,
            position_ids=at[None], use_cache=True).logits),
        mode="reduce-overhead",
    )

    @torch.no_grad()
    def sample():
        model.eval()
        cache.reset()
        ids = ids_of(prompts, prompt).repeat_interleave(group, 0)
        at = torch.arange(prompt, device=D)
        token = draw(model(
            input_ids=ids, past_key_values=cache, cache_position=at,
            use_cache=True, logits_to_keep=1).logits)
        all_ids, at = [ids, token], at[-1:] + 1
        for _ in range(new - 1):
            token = one(token, at).clone()
            all_ids.append(token)
            at = at + 1
        return torch.cat(all_ids, 1)

    def step():
        times = [time.perf_counter()]

        def lap():
            torch.cuda.synchronize()
            times.append(time.perf_counter())

        ids = sample()
        lap()
        with torch.no_grad():
            old = torch.cat([
                policy_logp(body, head, part, prompt)
                for part in ids.split(micro)
            ])
        lap()
        advantage = torch.randn(rows, 1, device=D)
        model.train()
        for i in range(0, rows, micro):
            logp = policy_logp(body, head, ids[i:i + micro], prompt)
            r = (logp - old[i:i + micro]).exp()
            a = advantage[i:i + micro]
            loss = torch.min(r * a, r.clamp(0.8, 1.2) * a).sum()
            (-loss / (rows * new)).backward()
        optim.step()
        optim.zero_grad(set_to_none=True)
        lap()
        return [b - a for a, b in zip(times, times[1:])]

    step()
    step()
    laps = [step() for _ in range(3)]
    total = sorted(sum(x) for x in laps)[1]
    row("loop 16x8 192+256", rows / total, "samples/s", total)
    for name, k in (("rollout", 0), ("old", 1), ("train", 2)):
        t = sorted(x[k] for x in laps)[1]
        row(f"loop {name}", t, "s", t)
    clean()


def main():
    everything = "ops attention encode decode prefill align sft train loop"
    for name in sys.argv[1:] or everything.split():
        start = time.time()
        try:
            globals()[name]()
        except Exception as e:  # a section that fails must not hide the rest
            print(f"# {name} failed: {e!r:.300}", flush=True)
        clean()
        print(f"# {name}: {time.time() - start:.0f} s", file=sys.stderr)


main()
