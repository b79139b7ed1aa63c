#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Mistakes: each has its message, the nearest fix and the exit code of the contract.
. "$(dirname "$0")/lib.sh"
clusters=$root/topologies/data/clusters

run 3 simulate llama3-70b 64x8xH100 --tp 16 --trainer torchtitan
err_has "kv-heads-by-tp (torchtitan)"
err_has "tp 8"
silent_out

run 2 plan lama3-70b 64x8xH100
err_has "unknown model"
err_has "did you mean 'llama3-70b'?"
silent_out

run 2 plan llama3-70b 64x8xH10
err_has "unknown GPU"
err_has "did you mean 'H100'?"

run 2 plan llama3-70b 64x8xH100 --sequ 8192
err_has "--sequ"
err_has "did you mean '--seq'?"

run 2 plan llama-7b 8xA100 --precision fp8
err_has "has no products in this format"
err_has "bf16, fp16"
run 0 simulate 1B 8xV100 --tp 1 --seq 2048
out_has "--precision fp16"

run 2 simulate llama3-8b 8xH100 --gradients fp16
err_has "gradients are not accumulated in this format"
err_has "fp32, bf16"
run 2 simulate llama3-8b 8xH100 --precision fp32 --gradients bf16
err_has "accumulate their gradients in fp32"
run 2 simulate llama3-8b 8xH100 --tp 8 --micro-batch 1 --recompute full --recompute-layers -1
err_has "--recompute-layers"
run 2 validate run llama3-8b 8xH100 --predict-only
err_has "--emulate-rank"

run 2 plan llama3-70b 64x8xH100 --keep-free 100
err_has "leaves no memory for a plan"
err_has "0 to 99"

sed 's/nics_per_node/nics_per_nod/' "$clusters/llama3-roce.yaml" >"$work/key.yaml"
run 4 plan llama3-70b "$work/key.yaml" --gpus 512
err_has "unknown key 'nics_per_nod'"
err_has "did you mean 'nics_per_node'?"
err_has "key.yaml:"

printf '{"model_type": "llama", "hidden_size": 4096,\n "num_hidden_layers": 32, "num_atten' \
  >"$work/config.json"
run 4 plan "$work/config.json" 8xH100
err_has "config.json:2"
err_has "truncated"

sed 's/nic_gb_per_s_per_direction: 50/nic_gb_per_s_per_direction: -50/' \
  "$clusters/llama3-roce.yaml" >"$work/negative.yaml"
run 4 plan llama3-70b "$work/negative.yaml" --gpus 512
err_has "must be greater than zero"
err_has "negative.yaml:"
err_has "-50"

run 3 plan llama3-405b 8xH100 --recompute full --zero 3 --trainer fsdp2
err_has "no plan fits"
out_has "tightest"
out_has "too much"
out_has "GPUs of this kind"
narrow

# The same as documents.
run 3 plan llama3-405b 8xH100 --recompute full --zero 3 --trainer fsdp2 --json
out_has '"schema": "meshplan.plan/1"'
out_has '"none"'
run 2 plan lama3-70b 64x8xH100 --json
out_has '"schema": "meshplan.error/1"'
out_has '"exit_code": 2'

# Values that no command takes.
run 2 plan llama3-70b 8xH100 --tp eight
err_has "--tp"
run 2 plan llama3-70b 8xH100 --tp 8..2
err_has "2..8"
run 2 plan llama3-70b 8xH100 --forbid tpp
err_has "did you mean 'tp'?"
run 2 plan llama3-70b 8xH100 --zero 4
run 2 plan llama3-70b 8xH100 --global-batch 8 --global-batch-tokens 65536
run 2 plan llama3-70b 8xH100 --seq 8192 --global-batch-tokens 10000
err_has "8192 or 16384"
run 2 plan llama3-70b
err_has "CLUSTER is missing"
run 2 simulate llama3-70b 8xH100 --tp 1,2
err_has "--tp"
run 2 plan llama3-70b 8xH100 --trainer megatron-cor
err_has "did you mean 'megatron-core'?"
run 2 simulate llama3-8b 8xH100 --set overlap.gradreduce=false
err_has "did you mean 'grad_reduce'?"
run 2 simulate llama3-8b 8xH100 --set overlap.tp=most
err_has "none, bulk, ring"
run 2 simulate llama3-8b 8xH100 --set overlap
err_has "SECTION.KEY=VALUE"
run 2 plan llama3-70b 8xH100 --schedule zbh1
err_has "did you mean 'zb-h1'?"
run 4 plan "$work/absent/config.json" 8xH100
err_has "absent/config.json"

finish
