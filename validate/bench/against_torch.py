#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tokens per second of meshplan's executor and of PyTorch on the CPU: same model, weights, text, steps.

    pip install torch numpy
    validate/bench/against_torch.py build/release/meshplan

Both train the Llama of llama-100m/config.json in fp32 from the same safetensors file on the same
bytes: AdamW, clipping by global norm, forward and backward pass on all tokens of a step at once.
PyTorch gets what makes it fast here: query, key and value in one product, gate and up too,
scaled_dot_product_attention, rms_norm, fused AdamW. The two take turns, so that other work on the
computer meets both; losses of all steps are compared.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
RATE, WEIGHT_DECAY, BETAS, EPSILON, CLIP = 3e-4, 0.1, (0.9, 0.95), 1e-8, 1.0


def shapes_of(config):
    """HF's names and shapes."""
    h, d = config["hidden_size"], config["head_dim"]
    q, kv, m = config["num_attention_heads"] * d, config["num_key_value_heads"] * d, config["intermediate_size"]
    shapes = {"model.embed_tokens.weight": (config["vocab_size"], h), "model.norm.weight": (h,)}
    for i in range(config["num_hidden_layers"]):
        for name, shape in (("self_attn.q_proj", (q, h)), ("self_attn.k_proj", (kv, h)),
                            ("self_attn.v_proj", (kv, h)), ("self_attn.o_proj", (h, q)),
                            ("mlp.gate_proj", (m, h)), ("mlp.up_proj", (m, h)), ("mlp.down_proj", (h, m)),
                            ("input_layernorm", (h,)), ("post_attention_layernorm", (h,))):
            shapes[f"model.layers.{i}.{name}.weight"] = shape
    return shapes


def write_inputs(folder, config, tokens):
    """model.safetensors with random weights, and text to train on."""
    import numpy as np
    rng = np.random.default_rng(1)
    header, at, shapes = {}, 0, shapes_of(config)
    for name, shape in shapes.items():
        size = 4 * int(np.prod(shape))
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(folder / "model.safetensors", "wb") as out:
        out.write(len(text).to_bytes(8, "little") + text)
        for shape in shapes.values():
            data = np.ones(shape) if len(shape) == 1 else 0.02 * rng.standard_normal(shape)
            out.write(data.astype("<f4").tobytes())
    words = [bytes(rng.integers(97, 123, rng.integers(2, 9)).tolist()) for _ in range(500)]
    picked = rng.zipf(1.3, tokens // 3) % len(words)
    (folder / "text").write_bytes(b" ".join(words[i] for i in picked)[:tokens + 1])


def torch_side(folder, config, args):
    """Trains; prints {"steps": [{loss, step_time_s, cpu_time_s}]}."""
    import numpy as np
    import torch
    import torch.nn.functional as F
    torch.set_num_threads(args.threads)
    raw = (folder / "model.safetensors").read_bytes()
    begin = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:begin])

    def tensor(name):
        first, last = header[name]["data_offsets"]
        array = np.frombuffer(raw, "<f4", (last - first) // 4, begin + first)
        return torch.from_numpy(array.reshape(header[name]["shape"]).copy())

    def parameter(*names):
        return torch.nn.Parameter(torch.cat([tensor(n) for n in names]))

    heads, groups, d = config["num_attention_heads"], config["num_key_value_heads"], config["head_dim"]
    eps, s = config["rms_norm_eps"], args.sequence
    embed, last_norm, layers = parameter("model.embed_tokens.weight"), parameter("model.norm.weight"), []
    for i in range(config["num_hidden_layers"]):
        p = f"model.layers.{i}."
        layers.append((parameter(p + "input_layernorm.weight"),
                       parameter(*(f"{p}self_attn.{x}_proj.weight" for x in "qkv")),
                       parameter(p + "self_attn.o_proj.weight"),
                       parameter(p + "post_attention_layernorm.weight"),
                       parameter(p + "mlp.gate_proj.weight", p + "mlp.up_proj.weight"),
                       parameter(p + "mlp.down_proj.weight")))
    frequency = config["rope_theta"] ** (-torch.arange(0, d, 2, dtype=torch.float32) / d)
    angle = torch.outer(torch.arange(s, dtype=torch.float32), frequency)
    cosine, sine = torch.cat((angle.cos(),) * 2, 1), torch.cat((angle.sin(),) * 2, 1)

    def rope(x):
        turned = torch.cat((-x[..., d // 2:], x[..., :d // 2]), -1)
        return x * cosine + turned * sine

    def loss_of(tokens, targets):
        x = F.embedding(tokens, embed)
        h = x.shape[-1]
        for norm1, qkv, out, norm2, gate_up, down in layers:
            y = F.linear(F.rms_norm(x, (h,), norm1, eps), qkv)
            q, k, v = (t.unflatten(-1, (-1, d)).transpose(1, 2)
                       for t in y.split((heads * d, groups * d, groups * d), -1))
            a = F.scaled_dot_product_attention(rope(q), rope(k), v, is_causal=True,
                                               enable_gqa=heads != groups)
            x = x + F.linear(a.transpose(1, 2).flatten(2), out)
            gate, up = F.linear(F.rms_norm(x, (h,), norm2, eps), gate_up).chunk(2, -1)
            x = x + F.linear(F.silu(gate) * up, down)
        logits = F.linear(F.rms_norm(x, (h,), last_norm, eps), embed)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    if args.compile:
        loss_of = torch.compile(loss_of)
    everything = [embed, last_norm, *(p for layer in layers for p in layer)]
    optimizer = torch.optim.AdamW(
        [{"params": [p for p in everything if p.ndim > 1], "weight_decay": WEIGHT_DECAY},
         {"params": [p for p in everything if p.ndim == 1], "weight_decay": 0.0}],
        lr=RATE, betas=BETAS, eps=EPSILON, fused=True)
    text = np.frombuffer((folder / "text").read_bytes(), np.uint8).astype(np.int64)
    steps = []
    for step in range(args.steps):
        begin, begin_cpu = time.perf_counter(), time.process_time()
        first = step * args.sequences * s
        piece = torch.from_numpy(text[first:first + args.sequences * s + 1])
        loss = loss_of(piece[:-1].view(-1, s), piece[1:].view(-1, s))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(everything, CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        steps.append({"loss": loss.item(), "step_time_s": time.perf_counter() - begin,
                      "cpu_time_s": time.process_time() - begin_cpu})
    print(json.dumps({"steps": steps, "version": torch.__version__}))


def meshplan_command(folder, args):
    return [args.meshplan, "validate", "run", str(HERE / "llama-100m" / "config.json"), "1xH100",
            "--seq", str(args.sequence), "--global-batch", str(args.sequences),
            "--micro-batch", str(args.sequences), "--recompute", "none", "--workers", str(args.threads),
            "--steps", str(args.steps), "--weights", str(folder), "--text", str(folder / "text"),
            "--learning-rate", str(RATE), "--json"]


def run(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("meshplan", help="binary of the release preset")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3, help="of a round; the first is not counted (3)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sequence", type=int, default=512)
    parser.add_argument("--sequences", type=int, default=4, help="of a step (4)")
    parser.add_argument("--compile", action="store_true", help="torch.compile the model")
    parser.add_argument("--torch-side", metavar="FOLDER", help=argparse.SUPPRESS)
    args = parser.parse_args()
    config = json.loads((HERE / "llama-100m" / "config.json").read_text())
    if args.torch_side:
        return torch_side(pathlib.Path(args.torch_side), config, args)
    tokens = args.sequence * args.sequences
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write_inputs(folder, config, tokens * args.steps)
        torch_command = [sys.executable, __file__, *sys.argv[1:], "--torch-side", name]
        times, ratios = {"meshplan": [], "torch": []}, {"step_time_s": [], "cpu_time_s": []}
        for number in range(args.rounds):
            ours, theirs = run(meshplan_command(folder, args)), run(torch_command)
            for a, b in zip(ours["steps"], theirs["steps"]):
                if abs(a["loss"] / b["loss"] - 1) > 1e-4:
                    sys.exit(f"losses differ: meshplan {a['loss']}, torch {b['loss']}")
            for side, answer in (("meshplan", ours), ("torch", theirs)):
                times[side] += answer["steps"][1:]
            for key, list_of in ratios.items():
                list_of.append(min(s[key] for s in theirs["steps"][1:]) / min(s[key] for s in ours["steps"][1:]))
            print(f"round {number}: torch / meshplan {ratios['step_time_s'][-1]:.3f} by the clock, "
                  f"{ratios['cpu_time_s'][-1]:.3f} in processor time", file=sys.stderr)
        count = sum(a * b if len((a, b)) == 2 else a for a, b in
                    (s if len(s) == 2 else (s[0], 1) for s in shapes_of(config).values()))
        print(f"{count / 1e6:.1f} M parameters, {args.sequences} x {args.sequence} tokens a step, "
              f"{args.threads} threads, torch {theirs['version']}{' compiled' if args.compile else ''}, "
              f"load {os.getloadavg()[0]:.1f}")
        for key, label in (("step_time_s", "by the clock"), ("cpu_time_s", "per second of processor")):
            cells = []
            for side, list_of in times.items():
                rates = [tokens / s[key] for s in list_of]
                cells.append(f"{side} {statistics.median(rates):.0f} (best {max(rates):.0f})")
            print(f"tokens/s {label}: {', '.join(cells)}; "
                  f"meshplan / torch, median of rounds: {statistics.median(ratios[key]):.3f}")


if __name__ == "__main__":
    main()
