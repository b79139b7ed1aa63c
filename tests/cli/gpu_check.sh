#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The stages that need a GPU say so where there is none; what has not run is "unmeasured"; figures beyond their goals are found.
. "$(dirname "$0")/lib.sh"
last=gpu_check.sh
: >"$work/out"
: >"$work/err"
script=$root/validate/gpu_check.sh
"$script" 8 2>/dev/null && problem "there is no stage 8"
if [ ! -e /dev/nvidia0 ]; then
  code=0
  "$script" 1 >"$work/out" 2>"$work/err" || code=$?
  [ $code = 6 ] || problem "exit $code, not 6, without a GPU"
  [ "$(wc -l <"$work/err")" = 1 ] || problem "not one line that says what is missing"
fi
command -v python3 >/dev/null || { echo "skipped: the summary, no python3"; finish; exit 0; }
mkdir -p "$work/gpu/stage-2"
summary() { code=0; python3 "$root/validate/gpu_summary.py" "$work/gpu" >"$work/out" || code=$?; }
summary
[ $code = 0 ] || problem "exit $code of an empty summary"
[ "$(grep -c unmeasured "$work/out")" = 7 ] || problem "not all stages are unmeasured"
run_of() { printf '{"steps": [{"loss": 8.0}, {"loss": %s}], "ledger_equal": true, "memory_equal": true}' "$1"; }
run_of 7.00 >"$work/gpu/stage-2/cpu-fp32.json"
run_of 7.03 >"$work/gpu/stage-2/gpu-bf16.json"
summary
[ $code = 0 ] || problem "0.43 % apart counts as missed"
run_of 7.04 >"$work/gpu/stage-2/gpu-bf16.json"
summary
[ $code = 5 ] || problem "0.57 % apart counts as met"
rm -r "$work/gpu/stage-2"
mkdir "$work/gpu/stage-7"
ranked() { printf '{"evaluation": {"filtered": {"mrr": %s}}}' "$1"; }
ranked 0.500 >"$work/gpu/stage-7/ranked-cpu.json"
ranked 0.496 >"$work/gpu/stage-7/ranked-gpu.json"
summary
[ $code = 0 ] || problem "an MRR 0.8 % lower counts as missed"
ranked 0.494 >"$work/gpu/stage-7/ranked-gpu.json"
summary
[ $code = 5 ] || problem "an MRR 1.2 % lower counts as met"
# What was measured on a GPU is predicted today within the goals: the folder's own summary, with predictions made anew.
for folder in "$root"/validate/gpu/*/; do
  copy=$work/$(basename "$folder")
  cp -r "$folder" "$copy"
  python3 "$root/validate/gpu_predict.py" "$copy" "$meshplan" >"$work/predictions.json" 2>"$work/err" || problem "no predictions for $copy"
  mv "$work/predictions.json" "$copy/predictions.json"
  code=0
  python3 "$root/validate/gpu_summary.py" "$copy" >"$work/out" || code=$?
  [ $code = 0 ] || problem "predictions for $copy miss a goal: exit $code"
done
finish
