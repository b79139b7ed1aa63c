#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Ranks as processes that meet by RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT, as torchrun sets them.
. "$(dirname "$0")/lib.sh"
ranked=$(dirname "$meshplan")/meshplan-rank
[ -x "$ranked" ] || { echo "no $ranked: nothing to test"; exit 77; }
model=$root/tests/golden/llama-plain/config.json
port=$((20000 + $$ % 20000))

# launch RANKS COMMAND...: exit codes in `codes`, output of rank r in $work/r.out and $work/r.err
launch() {
  local ranks=$1 rank
  shift
  local pids=()
  port=$((port + 1))
  last="$ranks ranks of $*"
  for ((rank = 0; rank < ranks; ++rank)); do
    RANK=$rank WORLD_SIZE=$ranks LOCAL_RANK=$rank MASTER_ADDR=127.0.0.1 MASTER_PORT=$port NO_COLOR=1 \
      "$@" >"$work/$rank.out" 2>"$work/$rank.err" &
    pids+=($!)
  done
  codes=
  for rank in "${pids[@]}"; do
    wait "$rank"
    codes+="$? "
  done
  cp "$work/0.out" "$work/out"
  cp "$work/0.err" "$work/err"
}

run 0 simulate "$model" 2xH100 --tp 2 --seq 32 --global-batch 2 --save "$work/plan.yaml"
run 0 validate run "$work/plan.yaml" --steps 2 --json
threads=$(grep -o '"loss": [0-9.]*' "$work/out")
launch 2 "$ranked" "$work/plan.yaml" --steps 2 --json
[ "$codes" = "0 0 " ] || problem "exit codes $codes"
[ "$(grep -o '"loss": [0-9.]*' "$work/out")" = "$threads" ] || problem "other losses than on threads"
[ ! -s "$work/1.out" ] || problem "rank 1 speaks"

# A graph workload: the same bytes as between threads, from rank 0's temporary folder.
awk 'BEGIN { for (i = 0; i < 600; ++i) printf "n%d\tn%d\n", i % 40, (i * 7) % 40 }' >"$work/train.tsv"
cat >"$work/graph.yaml" <<'YAML'
entities: {node: {}}
relations: [{name: all, lhs: node, rhs: node, operator: diagonal}]
data: {train: [train.tsv], lhs_column: 0, rhs_column: 1, relation_column: -1}
dimension: 8
epochs: 2
YAML
flags=(--partitions 4 --order cover --deterministic --json)
run 0 validate run "$work/graph.yaml" --ranks 2 "${flags[@]}" --export-npy "$work/threads"
launch 2 "$ranked" "$work/graph.yaml" "${flags[@]}" --export-npy "$work/processes"
[ "$codes" = "0 0 " ] || problem "exit codes $codes"
out_has '"traffic_equal": true'
[ ! -s "$work/1.out" ] || problem "rank 1 speaks"
diff -r "$work/threads" "$work/processes" || problem "other bytes than on threads"
launch 2 "$ranked" "$work/graph.yaml" --partitions 4 --order beta
[ "$codes" = "3 3 " ] || problem "exit codes $codes"

launch 2 "$meshplan" profile --launched --coarse --out "$work/two.yaml"
[ "$codes" = "0 0 " ] || problem "exit codes $codes"
grep -q "ranks: 2" "$work/two.yaml" || problem "no tables of two ranks"
grep -q "kernel: all-reduce" "$work/two.yaml" || problem "no collectives between the processes"
grep -q "kernel: storage-read" "$work/two.yaml" || problem "no storage"
run 2 simulate "$model" 2xH100 --seq 32 --global-batch 2 --gpu-profile
run 4 simulate "$model" 2xH100 --seq 32 --global-batch 2 --gpu-profile "$work/two.yaml"
err_has "a profile of a CPU says nothing of a GPU"
# the same numbers as if a GPU had given them
sed 's/meshplan.cpu-profile/meshplan.gpu-profile/' "$work/two.yaml" >"$work/gpu.yaml"
run 0 simulate "$model" 2xH100 --tp 2 --seq 32 --global-batch 2 --gpu-profile "$work/gpu.yaml" --json
out_has "before those tables"
priced=$(grep -o '"step_time_s": [0-9.e-]*' "$work/out")
run 0 simulate "$model" 2xH100 --tp 2 --seq 32 --global-batch 2 --json
[ "$(grep -o '"step_time_s": [0-9.e-]*' "$work/out")" != "$priced" ] || problem "the profile changes nothing"

MASTER_ADDR=127.0.0.1 MASTER_PORT=nowhere RANK=0 WORLD_SIZE=2 run 2 profile --launched --coarse
finish
