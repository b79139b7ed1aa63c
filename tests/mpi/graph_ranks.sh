#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A graph workload between processes under mpirun: the same bytes as between threads, every partition exchanged as planned; a
# killed rank ends the run and the last pass resumes. $1 mpiexec, $2 meshplan, $3 meshplan-rank
set -uo pipefail
mpiexec=$1 meshplan=$2 rank=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bad() {
  echo "not as expected: $1"
  cat "$work/log" 2>/dev/null
  exit 1
}
launch=("$mpiexec" --allow-run-as-root --oversubscribe -n 2)
"$(dirname "${BASH_SOURCE[0]}")/../toy_graph.sh" "$work" 2000 8 8 3 || bad "no graph"
flags=("$work/graph.yaml" --partitions 4 --order halving --deterministic --json)
"$meshplan" validate run "${flags[@]}" --ranks 2 --export-npy "$work/threads" >"$work/one" 2>"$work/log" || bad "threads"
"${launch[@]}" "$rank" "${flags[@]}" --export-npy "$work/processes" >"$work/log" 2>&1 || bad "exit code $?"
figures='loss_per_edge|mrr|hits|mean_rank|auc|bytes_equal|traffic_equal|partitions_sent|sent_bytes|synchronised'
[ "$(grep -E "$figures" "$work/one")" = "$(grep -E "$figures" "$work/log")" ] || bad "other figures than on threads"
diff -r "$work/threads" "$work/processes" >"$work/log" 2>&1 || bad "other bytes than on threads"
grep -q '"partitions_sent": [1-9]' "$work/one" || bad "no partition went from rank to rank"

"${launch[@]}" "$rank" "$work/graph.yaml" --partitions 8 --order halving --ranks 4 >"$work/log" 2>&1 && bad "2 processes are 4 ranks"
grep -q "2 processes for a plan of 4 ranks" "$work/log" || bad "the error does not say so"

"${launch[@]}" "$rank" "${flags[@]}" --epochs 1000000 --timeout 5 --evaluate none --checkpoints "$work/kept" >"$work/log" 2>&1 &
run=$!
for _ in $(seq 300); do
  [ "$(cat "$work/kept/CURRENT" 2>/dev/null || echo 0)" -ge 5 ] && break
  sleep 0.1
done
[ -s "$work/kept/CURRENT" ] || bad "no pass within 30 s"
victim=$(pgrep -P "$run" -f meshplan-rank | tail -1)
[ -n "$victim" ] || bad "no rank process found"
kill -KILL "$victim"
wait "$run" && bad "a run with a killed rank exits with 0"
passes=$(cat "$work/kept/CURRENT")
"${launch[@]}" "$rank" "${flags[@]}" --epochs $((passes + 1)) --checkpoints "$work/kept" --resume >"$work/log" 2>&1 ||
  bad "the last complete pass does not resume"
grep -q "\"resumed_at\": $passes" "$work/log" || bad "it does not go on at pass $passes"
echo "as expected"
