#!/usr/bin/env bash
# Starts this node's processes. NODE_RANK: 0 to 1; MASTER_ADDR: the node of rank 0.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
: "${NODE_RANK:=0}" "${MASTER_ADDR:=localhost}" "${MASTER_PORT:=29500}"
exec torchrun --nnodes 2 --nproc-per-node 8 --node-rank "$NODE_RANK" \
  --master-addr "$MASTER_ADDR" --master-port "$MASTER_PORT" \
  "${TRAIN:?a training script for the HF Trainer, such as run_clm.py}" \
  --deepspeed deepspeed.json --per_device_train_batch_size 1 --gradient_accumulation_steps 4 --block_size 8192 --gradient_checkpointing --bf16 ${TRAIN_ARGS:-}
