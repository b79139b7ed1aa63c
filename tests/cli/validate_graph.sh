#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `validate run` of a graph workload: trains, evaluates, moves what the plan says; resumes; refuses.
. "$(dirname "$0")/lib.sh"
"$root/tests/toy_graph.sh" "$work" 2000 8 8 3
run 0 validate run "$work/graph.yaml" --deterministic
out_has "2,000 edges, 3 relations"
out_has "all entities, realistic ties"
narrow
run 0 profile --device cpu --coarse --ranks 1 --out "$work/cpu.yaml"
run 0 validate run "$work/graph.yaml" --partitions 4 --resident 2 --profile "$work/cpu.yaml"
out_has "at least, predicted"
out_has "at most while it trained, predicted"
run 0 validate run "$work/graph.yaml" --partitions 4 --resident 2 --checkpoints "$work/state" --json
for key in '"schema": "meshplan.graph-run/1"' '"traffic_equal": true' '"partition_loads": 7'; do
  out_has "$key"
done
run 0 validate run "$work/graph.yaml" --partitions 4 --resident 2 --checkpoints "$work/state" --resume --epochs 4 --json
out_has '"resumed_at": 3'
run 4 validate run "$work/graph.yaml" --partitions 8 --resident 2 --checkpoints "$work/state" --resume
err_has "another number of partitions"
run 0 validate run "$work/graph.yaml" --partitions 4 --ranks 2 --order halving
out_has "as planned"
# To PyTorch-BigGraph's files and back; without libhdf5 it says so.
"$meshplan" validate run "$work/graph.yaml" --epochs 0 --export-pbg "$work/pbg" >"$work/out" 2>"$work/err"
code=$?
last="validate run --export-pbg"
if [ "$code" = 6 ]; then
  err_has "libhdf5-dev"
else
  [ "$code" = 0 ] || problem "exit code $code"
  run 0 validate run "$work/graph.yaml" --partitions 4 --export-pbg "$work/pbg"
  [ -s "$work/pbg/model/embeddings_node_3.v1.h5" ] || problem "the last partition is missing"
  run 0 validate run "$work/graph.yaml" --epochs 1 --start-pbg "$work/pbg/model"
  out_has "begins with version 1 of a PBG checkpoint: 68 rows by name, 3 relations"
  run 4 validate run "$work/graph.yaml" --start-pbg "$work/nowhere"
  err_has "checkpoint_version.txt"
fi
run 3 validate run "$work/graph.yaml" --partitions 8 --ranks 2 --order halving
err_has "two partitions a rank"
run 2 validate run "$work/graph.yaml" --order bata
err_has "beta"
run 0 validate run "$work/graph.yaml" --deterministic --precision bf16 --json
cp "$work/out" "$work/one"
run 0 validate run "$work/graph.yaml" --deterministic --precision bf16 --json --threads 3
[ "$(grep loss_per_edge "$work/one")" = "$(grep loss_per_edge "$work/out")" ] || problem "losses differ with threads"
run 2 validate run "$work/graph.yaml" --precision fp8
err_has "fp32 or bf16"

# GPUs: what they do not train is refused first, then exit 6 where there is none; a prediction is of the device that trains.
run 2 validate run "$work/graph.yaml" --device cuda --profile "$work/cpu.yaml"
err_has "--cluster"
run 2 validate run "$work/graph.yaml" --cluster 1xH200
sed -e 's/complex_diagonal/linear/' -e 's/dot/cos/' -e 's/dimension: 8/dimension: 10/' "$work/graph.yaml" >"$work/linear.yaml"
run 3 validate run "$work/linear.yaml" --device cuda
err_has "GPUs do not train operator linear, comparator cos, dimension 10 (a multiple of 4, in fp32)"
if [ ! -e /dev/nvidia0 ]; then
  run 6 validate run "$work/graph.yaml" --device cuda
  [ "$(wc -l <"$work/err")" = 1 ] || problem "not one line that says what is missing"
fi

# A full disk: one of 40 KB of its own, where the system lets a user mount it.
if unshare -rm true 2>/dev/null; then
  mkdir "$work/small"
  printf '#!/bin/sh\nmount -t tmpfs -o size=40k none "%s" && exec "%s" "$@"\n' "$work/small" "$meshplan" >"$work/full"
  printf '#!/bin/sh\nexec unshare -rm "%s" "$@"\n' "$work/full" >"$work/full.sh"
  chmod +x "$work/full" "$work/full.sh"
  meshplan="$work/full.sh" run 4 validate run "$work/graph.yaml" --partitions 4 --resident 2 --checkpoints "$work/small"
  err_has "No space left on device"
  err_has "--resume"
else
  echo "skipped: no mounts for users here, a full disk is not tried"
fi
sed -e 's/{node: {}}/{node: {names: names.txt}}/' "$work/graph.yaml" >"$work/closed.yaml"
cut -f 1,3 "$work/train.tsv" | tr '\t' '\n' | sort -u | grep -v '^n70$' >"$work/names.txt"
run 4 validate run "$work/closed.yaml"
err_has "an edge to an entity that is not in the names of 'node'"
err_has "train.tsv:"
err_has "n70"
printf 'n1\tr0\n' >>"$work/train.tsv"
run 4 validate run "$work/graph.yaml"
err_has "train.tsv:2001"
sed -i 's/softmax/softmacks/' "$work/graph.yaml"
run 4 validate run "$work/graph.yaml"
err_has "softmax"
finish
