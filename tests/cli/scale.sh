#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# scale and size: text, documents, table, page, errors, and the same bytes again.
. "$(dirname "$0")/lib.sh"

run 0 scale llama3-8b H100 --gpus 8..64 --seq 4096 --global-batch 64 --csv "$work/a.csv" --html "$work/a.html"
for text in 'strong scaling' 'tokens/s per GPU over GPUs' '* best plan' 'findings' 'knee' 'assumed' \
  'USD a GPU-hour' 'fsdp+tp8' 'the batch of 64 sequences stays'; do
  out_has "$text"
done
narrow
cp "$work/out" "$work/first"
[ "$(wc -l <"$work/a.csv")" = 25 ] || problem "4 points in 6 ways and a header are not 25 lines"
[ "$(awk -F'"' '{ rest = ""; for (i = 1; i <= NF; i += 2) rest = rest $i; print gsub(/,/, "", rest) }' "$work/a.csv" | sort -u)" = 22 ] ||
  problem "lines of the CSV differ in length"
grep -q '</html>' "$work/a.html" || problem "the page is not whole"
[ "$(stat -c %s "$work/a.html")" -lt 1000000 ] || problem "the page is 1 MB or more"
! grep -qE '(src|href)="?https?:' "$work/a.html" || problem "the page needs the network"
[ "$(grep -c '<figure>' "$work/a.html")" = "$(grep -c '<details' "$work/a.html")" ] || problem "a chart has no table"
grep -q 'meshplan scale llama3-8b H100' "$work/a.html" || problem "the page lacks its command"

cp "$work/a.html" "$work/b.html"
run 0 scale llama3-8b H100 --gpus 8..64 --seq 4096 --global-batch 64 --threads 1 --csv "$work/b.csv"
cmp -s "$work/out" "$work/first" || problem "one thread answers otherwise"
cmp -s "$work/a.csv" "$work/b.csv" || problem "one thread writes another table"

run 0 scale llama3-8b H100 --gpus 8,64 --seq 4096 --weak --critical-batch 100000 --json
for key in '"schema": "meshplan.scale/1"' '"curves"' '"points"' '"gpus": 64' '"global_batch_sequences": 64' \
  '"tokens_per_s_low"' '"communication"' '"exposed_s"' '"hidden_s"' '"tokens_per_joule"' '"usd_per_hour"' \
  '"effective_ratio"' '"interval_s"' '"marginal"' '"knee_gpus"' '"fsdp_ends_gpus"' '"baselines"' \
  '"above_critical_batch": true' '"usd_per_gpu_hour"' '"pue"'; do
  out_has "$key"
done
run 0 scale llama3-8b H100 --model llama2-13b --gpu A100 --gpus 8,16 --no-baselines
out_has 'llama3-8b on H100'
out_has 'llama2-13b on A100'
out_has 'MFU in percent over GPUs'
run 0 scale llama3-70b H100 --gpus 8,12,64 --no-baselines
out_has 'no plan: nodes of this'
run 3 scale llama3-405b H100 --gpus 8,16 --no-baselines
out_has 'no plan: out of memory'

run 2 scale llama3-8b H10 --gpus 8
err_has 'H10'
run 2 scale llama3-8b H100 --gpus 64..8
err_has 'ends before it begins'
run 2 scale llama3-8b H100 --weak --strong
run 2 scale llama3-8b H100 --gpus 8 --pue 0.5
err_has '--pue'
run 4 scale llama3-8b H100 --gpus 8 --no-baselines --html "$work/absent/page.html"

run 0 size llama3-8b --gpu H100 --days 30 --tokens 1e12
out_has 'needs '
out_has 'error band'
narrow
run 0 size llama3-8b H100 --days 30 --tokens 1e12 --json
out_has '"schema": "meshplan.size/1"'
out_has '"gpus_at_slow_end"'
run 2 size llama3-8b --gpu H100
err_has '--days'
run 2 size llama3-8b H100 --gpu A100 --days 3
run 3 size llama3-8b H100 --days 0.001 --tokens 1e15
out_has 'no number of GPUs'

run 0 show H100 --collectives --gpus 64
out_has 'all-reduce'
narrow
run 0 show H100 --collectives --gpus 64 --json
out_has '"bus_gb_per_s"'

finish
