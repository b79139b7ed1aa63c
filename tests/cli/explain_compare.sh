#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Why this plan and not that one, by plan file or by flags; two plans side by side.
. "$(dirname "$0")/lib.sh"
question=(llama3-70b 16x8xH100 --seq 8192 --global-batch 128 --trainer megatron-core --tp 8 --pp 4
  --micro-batch 1 --zero 1)
plan=("${question[@]}" --vpp 2 --recompute none --schedule interleaved)

run 0 simulate "${plan[@]}" --save "$work/a.yaml"
run 0 explain "$work/a.yaml" --why-not vpp=99 --why-not micro-batch=8 --why-not recompute=full
out_has "limited by"
out_has "10 % more of"
out_has "times come from"
out_has "one knob changed"
out_has "stages-by-layers"
out_has "out of memory on stage 1"
out_has "slower:"
narrow
cp "$work/out" "$work/first"
run 0 explain "${plan[@]}" --why-not vpp=99 --why-not micro-batch=8 --why-not recompute=full
cmp -s "$work/out" "$work/first" || problem "the plan file is explained in other words"
run 0 explain "$work/a.yaml" --json
for key in '"schema": "meshplan.explain/1"' '"top_down"' '"elasticities"' '"neighbours"' \
  '"why_not"' '"refused"'; do
  out_has "$key"
done
run 2 explain "$work/a.yaml" --why-not tpp=2
err_has "did you mean 'tp'?"
run 2 explain "$work/a.yaml" --why-not tp
err_has "tp=16"

run 0 simulate "${question[@]}" --vpp 1 --schedule 1f1b --recompute full --save "$work/b.yaml"
run 0 compare "$work/a.yaml" "$work/b.yaml"
out_has "A is"
out_has "faster a step"
narrow
run 0 compare "$work/a.yaml" "$work/a.yaml"
out_has "the same step time"
run 0 compare "$work/a.yaml" "$work/b.yaml" --json
out_has '"schema": "meshplan.compare/1"'
# What is an overlap worth?
run 0 simulate "$work/a.yaml" --set overlap.tp=none --save "$work/c.yaml"
out_has "trainer set to: overlap.tp: none"
run 0 compare "$work/a.yaml" "$work/c.yaml"
out_has "trainer set to: overlap.tp: none"
out_has "A is"
run 4 compare "$work/a.yaml" "$work/absent.yaml"
run 2 compare "$work/a.yaml"

finish
