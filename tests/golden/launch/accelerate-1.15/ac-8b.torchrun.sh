#!/usr/bin/env bash
# Starts this node's processes. NODE_RANK: 0 to 1; MASTER_ADDR: the node of rank 0.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
: "${NODE_RANK:=0}" "${MASTER_ADDR:=localhost}" "${MASTER_PORT:=29500}"
exec accelerate launch --config_file accelerate.yaml --num_machines 2 --num_processes 16 \
  --machine_rank "$NODE_RANK" --main_process_ip "$MASTER_ADDR" --main_process_port "$MASTER_PORT" \
  "${TRAIN:?a training script for the HF Trainer, such as run_clm.py}" \
  --per_device_train_batch_size 1 --gradient_accumulation_steps 4 --block_size 8192 ${TRAIN_ARGS:-}
