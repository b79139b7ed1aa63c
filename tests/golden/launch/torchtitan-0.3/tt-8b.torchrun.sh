#!/usr/bin/env bash
# Starts this node's processes. NODE_RANK: 0 to 1; MASTER_ADDR: the node of rank 0.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
: "${NODE_RANK:=0}" "${MASTER_ADDR:=localhost}" "${MASTER_PORT:=29500}"
export PYTORCH_ALLOC_CONF=expandable_segments:True
export PYTHONPATH="$PWD:${PYTHONPATH:-}"
exec torchrun --nnodes 2 --nproc-per-node 8 --node-rank "$NODE_RANK" \
  --master-addr "$MASTER_ADDR" --master-port "$MASTER_PORT" \
  -m torchtitan.train --module meshplan_recipe --config plan
