#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What PyTorch does on the same GPU: training steps of a Llama, and the best rates of its libraries.

    torch_gpu.py train CONFIG.json --seq 8192 --micro-batch 1 --micro-batches 1 --recompute none
    torch_gpu.py rates RATES.json           # beside each rate of tests/cuda/rates_main.cpp

Training gets what makes PyTorch fast: torch.compile, scaled_dot_product_attention (flash or cuDNN), fused AdamW, query, key
and value in one product, gate and up too. `--states master` is autocast over fp32 weights (16 bytes a parameter, as the
executor has), `--states bf16` keeps weights, gradients and moments in bf16 (8 bytes): less work and memory than the executor's.
Prints one JSON document.
"""
import argparse
import json
import pathlib
import statistics
import time


def llama(config, recompute):
    import torch
    import torch.nn.functional as F
    from torch import nn
    from torch.utils.checkpoint import checkpoint
    h, layers = config["hidden_size"], config["num_hidden_layers"]
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    d, m = config.get("head_dim") or h // heads, config["intermediate_size"]

    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.norm2 = nn.RMSNorm(h, eps=1e-5), nn.RMSNorm(h, eps=1e-5)
            self.qkv = nn.Linear(h, (heads + 2 * kv_heads) * d, bias=False)
            self.out = nn.Linear(heads * d, h, bias=False)
            self.up = nn.Linear(h, 2 * m, bias=False)
            self.down = nn.Linear(m, h, bias=False)

        def mlp(self, x):
            gate, up = self.up(self.norm2(x)).chunk(2, -1)
            return self.down(F.silu(gate) * up)

        def forward(self, x, cos, sin):
            b, s, _ = x.shape
            q, k, v = self.qkv(self.norm1(x)).split([heads * d, kv_heads * d, kv_heads * d], -1)
            q, k, v = (t.view(b, s, -1, d).transpose(1, 2) for t in (q, k, v))

            def turn(t):
                a, c = t.chunk(2, -1)
                return torch.cat((a * cos - c * sin, c * cos + a * sin), -1).to(v.dtype)
            o = F.scaled_dot_product_attention(turn(q), turn(k), v, is_causal=True, enable_gqa=True)
            x = x + self.out(o.transpose(1, 2).reshape(b, s, heads * d))
            if recompute == "selective" and self.training:
                return x + checkpoint(self.mlp, x, use_reentrant=False)
            return x + self.mlp(x)

    class Llama(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(config["vocab_size"], h)
            self.layers = nn.ModuleList(Layer() for _ in range(layers))
            self.norm = nn.RMSNorm(h, eps=1e-5)
            self.head = nn.Linear(h, config["vocab_size"], bias=False)
            if config.get("tie_word_embeddings"):
                self.head.weight = self.embed.weight

        def forward(self, ids, targets):
            s = ids.shape[1]
            f = 1 / config.get("rope_theta", 5e5) ** (torch.arange(0, d, 2, device=ids.device) / d)
            angle = torch.outer(torch.arange(s, device=ids.device), f)
            cos, sin = angle.cos(), angle.sin()
            x = self.embed(ids)
            for layer in self.layers:
                if recompute == "full":
                    x = checkpoint(layer, x, cos, sin, use_reentrant=False)
                else:
                    x = layer(x, cos, sin)
            logits = self.head(self.norm(x))
            return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())
    return Llama


def train(args):
    import torch
    config = json.loads(pathlib.Path(args.config).read_text())
    torch.manual_seed(1)
    dtype = torch.float32 if args.states == "master" else torch.bfloat16
    with torch.device("cuda"):
        torch.set_default_dtype(dtype)
        model = llama(config, args.recompute)()
        torch.set_default_dtype(torch.float32)
    for p in model.parameters():
        if p.dim() > 1:
            torch.nn.init.normal_(p, std=0.02)
    step_model = torch.compile(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    shape = (args.micro_batch, args.seq)

    def step():
        optimizer.zero_grad(set_to_none=True)
        for _ in range(args.micro_batches):
            ids = torch.randint(config["vocab_size"], shape, device="cuda")
            targets = torch.randint(config["vocab_size"], shape, device="cuda")
            with torch.autocast("cuda", torch.bfloat16, enabled=args.states == "master"):
                loss = step_model(ids, targets) / args.micro_batches
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    for _ in range(3):
        step()
    seconds = []
    for _ in range(args.steps):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        step()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begin)
    median = statistics.median(seconds)
    return {"schema": "meshplan.torch-train/1", "device": torch.cuda.get_device_name(), "torch": torch.__version__,
            "states": args.states, "recompute": args.recompute, "parameters": sum(p.numel() for p in model.parameters()),
            "step_s": median, "tokens_per_s": args.micro_batches * args.micro_batch * args.seq / median,
            "peak_memory_bytes": torch.cuda.max_memory_reserved()}


def rates(args):
    import torch
    import torch.nn.functional as F
    ours = json.loads(pathlib.Path(args.rates).read_text())

    def seconds_of(work):
        for _ in range(3):
            work()
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        repeats = 4
        while True:
            begin.record()
            for _ in range(repeats):
                work()
            end.record()
            end.synchronize()
            took = begin.elapsed_time(end) / 1e3
            if took > 0.2 or repeats > 10000:
                return took / repeats
            repeats *= 2

    def product(m, n, k, weights):
        # nn.Linear's own layouts; a weight gradient is dy^T x, into a new tensor
        a = torch.randn((k, m) if weights else (m, k), device="cuda", dtype=torch.bfloat16)
        b = torch.randn((k, n), device="cuda", dtype=torch.bfloat16)
        left = a.t() if weights else a
        return 2 * m * n * k / seconds_of(lambda: left @ b) / 1e12

    def attention(d):
        q = torch.randn((1, 32, 8192, d), device="cuda", dtype=torch.bfloat16, requires_grad=True)
        k, v = (torch.randn((1, 8, 8192, d), device="cuda", dtype=torch.bfloat16, requires_grad=True) for _ in "kv")
        flops, best = 8192 * 8192 * 32 * d, {}
        for backend in (torch.nn.attention.SDPBackend.FLASH_ATTENTION, torch.nn.attention.SDPBackend.CUDNN_ATTENTION):
            with torch.nn.attention.sdpa_kernel(backend):
                call = lambda: F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
                try:
                    o = call()
                except RuntimeError:
                    continue
                grad = torch.randn_like(o)
                ahead = seconds_of(call)
                back = seconds_of(lambda: torch.autograd.grad(o, (q, k, v), grad, retain_graph=True))
            best["forward"] = max(best.get("forward", 0), 2 * flops / ahead / 1e12)
            best["backward"] = max(best.get("backward", 0), 5 * flops / back / 1e12)
        return best
    heads = {}
    for rate in ours["rates"]:
        if rate["kind"] == "product":
            rate["library_tflops"] = product(rate["m"], rate["n"], rate["k"], rate["pass"] == "weight gradient")
        else:
            d = int(rate["name"].split()[-1])
            heads.setdefault(d, None)
            heads[d] = heads[d] or attention(d)
            rate["library_tflops"] = heads[d].get(rate["pass"])
        if rate["library_tflops"]:
            rate["share"] = rate["tflops"] / rate["library_tflops"]
    return {"schema": "meshplan.gpu-shares/1", "device": torch.cuda.get_device_name(), "torch": torch.__version__,
            "rates": ours["rates"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("train")
    one.add_argument("config")
    one.add_argument("--seq", type=int, default=8192)
    one.add_argument("--micro-batch", type=int, default=1)
    one.add_argument("--micro-batches", type=int, default=1)
    one.add_argument("--recompute", choices=("none", "selective", "full"), default="none")
    one.add_argument("--states", choices=("master", "bf16"), default="master")
    one.add_argument("--steps", type=int, default=8)
    one.set_defaults(run=train)
    two = commands.add_parser("rates")
    two.add_argument("rates")
    two.set_defaults(run=rates)
    args = parser.parse_args()
    print(json.dumps(args.run(args), indent=1))


if __name__ == "__main__":
    main()
