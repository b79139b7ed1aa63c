#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Predictions against published runs: documents, pages, and the same bytes again.
. "$(dirname "$0")/lib.sh"
table=$work/runs.csv
head -40 "$root/validate/published/runs.csv" >"$table"

run 0 validate published "$table" --json --csv "$work/cases.csv" --html "$work/page.html"
for key in '"schema": "meshplan.published/1"' '"cases"' '"id"' '"source"' '"tier"' \
  '"measured_step_s"' '"predicted_step_s"' '"error"' '"measured_memory_bytes"' \
  '"predicted_memory_bytes"' '"outcome"' '"fits"' '"refused"' '"score"' '"step_mean_over_sources"' \
  '"step_median"' '"peak_stage"' '"allocator slack"' '"step_signed_mean"' '"silver_mean_over_sources"' '"order_tau"' \
  '"order_regret"' '"memory_mean"' '"ran_called_feasible"' '"oom_called_infeasible"' '"by_source"'; do
  out_has "$key"
done
# A step that would need more than the GPU's peak is named.
{ head -1 "$root/validate/published/runs.csv"; grep -E '^x-00(87|90),' "$root/validate/published/runs.csv"; } >"$work/fast.csv"
run 0 validate published "$work/fast.csv"
out_has "measured faster than the GPU's peak"
out_has "x-0090, counted above as it stands"
out_lacks "x-0087, counted"
run 0 validate published "$table" --json --csv "$work/cases.csv" --html "$work/page.html"
[ "$(wc -l <"$work/cases.csv")" -ge 40 ] || problem "fewer lines in the CSV than rows"
grep -q '</html>' "$work/page.html" || problem "the page is not whole"
! grep -qE 'https?://[^ ]*\.js' "$work/page.html" || problem "the page needs the network"

run 0 validate published "$table"
cp "$work/out" "$work/first"
run 0 validate published "$table"
cmp -s "$work/out" "$work/first" || problem "a second run differs"

graphs=$root/validate/published/embedding.csv
run 0 validate published "$graphs" --csv "$work/graphs.csv"
for text in "123 rows" "time of an epoch, by source" "the machine is not stated" "emb-0143"; do out_has "$text"; done
[ "$(wc -l <"$work/graphs.csv")" = 124 ] || problem "not a line a row in the CSV"
cp "$work/out" "$work/first"
run 0 validate published "$graphs"
cmp -s "$work/out" "$work/first" || problem "a second run differs"
run 0 validate published "$graphs" --json
out_has '"schema": "meshplan.published-graphs/1"'
# Its constants fitted again, each graph and source left out.
run 0 validate refit "$graphs"
for text in "marius row_gb_per_s" "graphs of a source" "each left out" "it alone tells of"; do out_has "$text"; done
cp "$work/out" "$work/first"
run 0 validate refit "$graphs"
cmp -s "$work/out" "$work/first" || problem "a second fit differs"
run 2 validate refit "$graphs" --write
err_has "systems.yaml"
# A bad row is named and does not stop the others.
{ head -3 "$graphs"; printf 'bad-1,a,b\nbad-2,DGL-KE example scripts,x,DGL-KE DistMult,g,many,2,1,8,,1,1,1x V100 (p3.16xlarge),9,9,1,,,5,,,,,\n'; } >"$work/bad.csv"
run 0 validate published "$work/bad.csv"
out_has "nodes is no number: 'many'"
out_has "bad-1"
run 2 validate published "$graphs" --html "$work/page.html"

run 4 validate published "$work/absent.csv"
err_has "absent.csv"
run 2 validate published
err_has "CASES is missing"
run 2 validate publishd
err_has "did you mean 'published'?"

finish
