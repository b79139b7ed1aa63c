#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A rank process is killed in the middle of a step: the whole run ends within the time-out with an
# error, and the last complete checkpoint resumes. $1 mpiexec, $2 meshplan, $3 meshplan-rank
set -uo pipefail
mpiexec=$1 meshplan=$2 rank=$3
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bad() {
  echo "not as expected: $1"
  cat "$work/log" 2>/dev/null
  exit 1
}

"$meshplan" plan "$root/tests/golden/llama-plain/config.json" 8xH100 --gpus 2 --tp 2 --seq 32 \
  --global-batch 8 --save "$work/plan.yaml" >/dev/null || bad "no plan"
launch=("$mpiexec" --allow-run-as-root --oversubscribe -n 2)
"${launch[@]}" "$rank" "$work/plan.yaml" --steps 1000000 --timeout 5 \
  --checkpoints "$work/kept" --save-every 20 >"$work/log" 2>&1 &
run=$!
for _ in $(seq 300); do
  [ -d "$work/kept/step-00000040" ] && break
  sleep 0.1
done
[ -d "$work/kept/step-00000040" ] || bad "no checkpoint within 30 s"
victim=$(pgrep -P "$run" -f meshplan-rank | tail -1)
[ -n "$victim" ] || bad "no rank process found"
kill -KILL "$victim"
begin=$SECONDS
wait "$run"
code=$?
[ "$code" != 0 ] || bad "a run with a killed rank exits with 0"
[ $((SECONDS - begin)) -le 30 ] || bad "it took longer than 30 s to end"
grep -qi "kill" "$work/log" || bad "the error does not speak of the kill"
"${launch[@]}" "$rank" "$work/plan.yaml" --steps 1 --checkpoints "$work/kept" --resume \
  >"$work/log" 2>&1 || bad "the last complete checkpoint does not resume"
grep -q "predicted" "$work/log" || bad "no report"
echo "as expected"
