#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the golden files of tests/unit/validate/hf_test.cpp with HF's LlamaForCausalLM on the CPU.

    pip install torch transformers==4.46.3 safetensors numpy
    tests/golden/make_llama.py            # writes llama-*/ beside itself
    tests/golden/make_llama.py --check F  # compares the files of a folder with a new computation

Each folder: config.json and model.safetensors as transformers reads them, and golden.safetensors
with tokens, logits, loss and the gradient of every tensor. Weights are uniform from a fixed seed, in
fp32; the computation runs in fp32 with eager attention.
"""
import json
import pathlib
import sys

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

COMMON = dict(
    architectures=["LlamaForCausalLM"], model_type="llama", hidden_size=32, intermediate_size=48,
    num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=8, vocab_size=80,
    max_position_embeddings=64, rms_norm_eps=1e-5, hidden_act="silu", attention_bias=False,
    mlp_bias=False, torch_dtype="float32")
MODELS = {
    "llama-plain": dict(COMMON, rope_theta=10000.0, tie_word_embeddings=False),
    # wavelengths on both sides of the borders 16 and 4 positions, so that all three branches of the
    # scaling are taken
    "llama-3.1": dict(COMMON, rope_theta=500.0, tie_word_embeddings=True, rope_scaling=dict(
        rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
        original_max_position_embeddings=16)),
}
SEQUENCES, LENGTH = 2, 32


def compute(folder):
    config = LlamaConfig(**json.loads((folder / "config.json").read_text()))
    config._attn_implementation = "eager"
    model = LlamaForCausalLM(config).float()
    weights = {k: torch.from_numpy(v) for k, v in load_file(folder / "model.safetensors").items()}
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert not unexpected and all("lm_head" in m and config.tie_word_embeddings for m in missing)
    model.tie_weights()
    tokens = np.random.default_rng(7).integers(0, config.vocab_size, (SEQUENCES, LENGTH + 1))
    batch = torch.from_numpy(tokens)
    logits = model(batch[:, :-1]).logits
    loss = torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]),
                                             batch[:, 1:].reshape(-1))
    loss.backward()
    out = {"tokens": tokens.astype(np.float32), "logits": logits.detach().numpy(),
           "loss": np.array([loss.item()], dtype=np.float32)}
    for name, parameter in model.named_parameters():
        out["gradient." + name] = parameter.grad.numpy()
    return out


def make(folder, config):
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    rng = np.random.default_rng(1)
    shapes = {k: tuple(v.shape) for k, v in LlamaForCausalLM(LlamaConfig(**config)).state_dict().items()
              if not ("lm_head" in k and config["tie_word_embeddings"])}
    weights = {}
    for name in sorted(shapes):
        low, high = (0.5, 1.5) if "norm" in name else (-0.3, 0.3)
        weights[name] = rng.uniform(low, high, shapes[name]).astype(np.float32)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    save_file(compute(folder), folder / "golden.safetensors")


def check(folder):
    stored, fresh = load_file(folder / "golden.safetensors"), compute(folder)
    worst = max(float(np.linalg.norm(stored[k] - fresh[k]) / np.linalg.norm(fresh[k])) for k in fresh)
    print(f"{folder.name}: largest relative difference {worst:.1e}")
    return worst < 1e-5


if __name__ == "__main__":
    here = pathlib.Path(__file__).resolve().parent
    if len(sys.argv) == 3 and sys.argv[1] == "--check":
        sys.exit(0 if check(pathlib.Path(sys.argv[2])) else 1)
    for name, model_config in MODELS.items():
        make(here / name, model_config)
