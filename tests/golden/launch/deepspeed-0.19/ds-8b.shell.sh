#!/usr/bin/env bash
# usage: ./shell.sh HOSTS, a file with 2 nodes, one a line, in the order of the fabric.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
mapfile -t hosts < <(grep -v '^ *#' "$1" | awk 'NF {print $1}')
[ "${#hosts[@]}" = 2 ] || { echo "error: $1 has ${#hosts[@]} nodes, the plan needs 2" >&2; exit 2; }
trap 'kill $(jobs -p) 2>/dev/null' EXIT
for i in "${!hosts[@]}"; do
  ssh "${hosts[$i]}" "cd $(printf %q "$PWD") && NODE_RANK=$i MASTER_ADDR=${hosts[0]} ./torchrun.sh" &
done
for _ in "${hosts[@]}"; do wait -n; done
