#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The documents of plan and simulate have the keys of the contract, their parts sum up, and the
# same question gives the same bytes, whatever the number of threads.
. "$(dirname "$0")/lib.sh"
question=(llama3-8b 2x8xH100 --seq 4096 --global-batch 64 --pp 1..2 --cp 1)

run 0 plan "${question[@]}" --top 3 --threads 1
silent_err_but_notes() { ! grep -v '^note:' "$work/err" >/dev/null || problem "more than notes"; }
silent_err_but_notes
narrow
out_lacks $'\033'
cp "$work/out" "$work/first"
run 0 plan "${question[@]}" --top 3 --threads 1
cmp -s "$work/out" "$work/first" || problem "a second run differs"
run 0 plan "${question[@]}" --top 3 --threads 2
cmp -s "$work/out" "$work/first" || problem "two threads differ from one"

without_run() { sed '/^ "run": {/,/^ }/d' "$1"; }
run 0 plan "${question[@]}" --top 3 --threads 1 --json
without_run "$work/out" >"$work/first"
for key in '"search_s"' '"threads"' '"inputs"' '"provenance"' '"funnel"' '"visited"' '"refused"' \
  '"out_of_memory"' '"bounded"' '"priced"' '"covered"' '"plans"' '"strategy"' '"tp"' '"pp"' '"vpp"' \
  '"cp"' '"ep"' '"dp_shard"' '"dp_replicate"' '"zero"' '"micro_batch"' '"recompute"' '"schedule"' \
  '"step_time_s"' '"step_time_low_s"' '"step_time_high_s"' '"tokens_per_s_per_gpu"' \
  '"tflops_per_gpu"' '"mfu"' '"peak_memory_bytes"' '"fits": true' '"memory"' '"time"' \
  '"not_modelled"' '"assumptions"'; do
  out_has "$key"
done
grep -q search_s "$work/first" && problem "the run object was not found"
run 0 plan "${question[@]}" --top 3 --threads 2 --json
without_run "$work/out" >"$work/second"
cmp -s "$work/first" "$work/second" || problem "documents of one and two threads differ"

# Parts sum to their whole: awk reads the flat "time" and "memory" objects of the indented document.
sums() {
  awk -v tolerance=1e-9 '
    function number(line) { gsub(/[^0-9.eE+-]/, "", line); return line + 0 }
    /"step_time_s":/ { split($0, f, ":"); step = number(f[2]) }
    /"peak_memory_bytes":/ { split($0, f, ":"); peak = number(f[2]) }
    /"time": \{/ { inside = "time"; sum = 0; next }
    /"memory": \{/ { inside = "memory"; sum = 0; next }
    inside != "" && /\}/ {
      whole = inside == "time" ? step : peak
      slack = inside == "time" ? tolerance * whole : 64
      if (sum - whole > slack || whole - sum > slack) { print inside, sum, whole; bad = 1 }
      checked++; inside = ""; next
    }
    inside != "" { split($0, f, ":"); sum += number(f[2]) }
    END { if (!checked) { print "nothing checked"; bad = 1 } exit bad }' "$work/out"
}
sums >"$work/sums" || problem "parts do not sum: $(cat "$work/sums")"

plan=(llama3-8b 8xH100 --seq 4096 --global-batch 32 --tp 2 --pp 2 --vpp 2 --schedule interleaved
  --zero 1 --micro-batch 1 --recompute none)
run 0 simulate "${plan[@]}" --json --save "$work/plan.yaml" --trace "$work/trace.json"
out_has '"schema": "meshplan.simulate/1"'
out_has '"step_time_s"'
sums >"$work/sums" || problem "parts do not sum: $(cat "$work/sums")"
grep '"step_time_s"' "$work/out" >"$work/stated"
grep -q '"traceEvents"' "$work/trace.json" || problem "no events in the trace"

# A plan file says all that the flags said.
run 0 simulate "$work/plan.yaml" --json --save "$work/again.yaml"
cmp -s <(grep '"step_time_s"' "$work/out") "$work/stated" || problem "the plan file's step differs"
cmp -s "$work/plan.yaml" "$work/again.yaml" || problem "a plan file read and written differs"
sed 's/^  tp: 2/  tpp: 2/' "$work/plan.yaml" >"$work/bad.yaml"
run 4 simulate "$work/bad.yaml"
err_has "'tp'"
sed 's/plan-file\/1/plan-file\/9/' "$work/plan.yaml" >"$work/newer.yaml"
run 4 simulate "$work/newer.yaml"
err_has "meshplan.plan-file/1"

# What is left out is said: more for more machines, and never nothing.
run 0 simulate llama3-8b 8xH100 --tp 2 --micro-batch 1
out_has "not modelled"
out_lacks "other jobs"
run 0 simulate mixtral-8x7b 2x8xH100 --tp 8 --micro-batch 1 --global-batch 64
out_has "other jobs"
out_lacks "equal share"
run 0 simulate mixtral-8x7b 2x8xH100 --tp 2 --ep 8 --etp 1 --micro-batch 1 --global-batch 64
out_has "equal share"

# Gradients in half the bytes; a few layers that recompute take a part of what all of them save.
one=(llama3-8b 8xH100 --tp 8 --micro-batch 1 --trainer meshplan-gpu --recompute selective --json)
bytes() { run 0 simulate "${one[@]}" "$@" && sed -n 's/.*"peak_memory_bytes": \([0-9]*\).*/\1/p' "$work/out" | head -1; }
all=$(bytes) narrow=$(bytes --gradients bf16) some=$(bytes --recompute-layers 8) none=$(bytes --recompute-layers 0)
[ $((all - narrow)) -gt 1900000000 ] && [ $((all - narrow)) -lt 2200000000 ] || problem "bf16 gradients save $((all - narrow)) bytes"
[ "$all" -lt "$some" ] && [ "$some" -lt "$none" ] || problem "recompute of all, 8, 0 layers: $all, $some, $none bytes"
run 0 simulate "${one[@]}" --recompute-layers 8
out_has '"recompute_layers": 8'

# What does not fit is an answer, not an error.
run 0 simulate llama3-70b 8xH100 --tp 8 --micro-batch 1 --recompute none --json
out_has '"fits": false'

finish
