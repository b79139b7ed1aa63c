#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# kill -9 at random moments of a graph's training: resuming goes on from the last whole pass, and the
# end is that of a run which was never interrupted.
. "$(dirname "$0")/lib.sh"
kills=${MESHPLAN_KILLS:-50}
"$root/tests/toy_graph.sh" "$work" 6000 40 32 1
common=("$work/graph.yaml" --partitions 4 --resident 2 --deterministic)
RANDOM=7
version=0
for _ in $(seq "$kills"); do
  "$meshplan" validate run "${common[@]}" --checkpoints "$work/state" --resume --epochs 100000 \
    >"$work/killed" 2>&1 &
  process=$!
  sleep "0.$((RANDOM % 25 + 5))"
  kill -9 "$process" 2>/dev/null
  wait "$process" 2>/dev/null
  last="after kill -9"
  grep -q "error" "$work/killed" && { cp "$work/killed" "$work/out"; problem "a run could not resume"; }
  now=$(cat "$work/state/CURRENT" 2>/dev/null || echo 0)
  [ "$now" -ge "$version" ] || problem "went back from pass $version to $now"
  version=$now
done
[ "$version" -gt 0 ] || problem "no pass was ever finished"
run 0 validate run "${common[@]}" --checkpoints "$work/state" --resume \
  --epochs $((version + 1)) --json
out_has "\"resumed_at\": $version"
grep -E '"(loss_per_edge|mrr|mean_rank)"' "$work/out" | tail -3 >"$work/resumed"
run 0 validate run "${common[@]}" --checkpoints "$work/whole" --epochs $((version + 1)) --json
grep -E '"(loss_per_edge|mrr|mean_rank)"' "$work/out" | tail -3 >"$work/straight"
diff "$work/resumed" "$work/straight" || problem "the figures differ from those of a run without kills"
echo "$kills kills, $version passes finished between them"
finish
