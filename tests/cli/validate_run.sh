#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A plan that `plan --save` wrote is trained by `validate run`: communication and memory are what was
# predicted. Saving and resuming; what can't run is refused with its reason.
. "$(dirname "$0")/lib.sh"
model=$root/tests/golden/llama-plain/config.json

run 0 plan "$model" 8xH100 --seq 32 --global-batch 64 --pp 2 --tp 2 --save "$work/plan.yaml"
run 0 validate run "$work/plan.yaml" --steps 3
out_has "on 8 ranks (threads)"
out_has "bf16 products: run in fp32"
out_lacks DIFFERENT
narrow
run 0 validate run "$work/plan.yaml" --steps 3 --json
for key in '"schema": "meshplan.run/1"' '"ledger_equal": true' '"memory_equal": true' \
  '"measured_step_time_s"' '"predicted_peak_memory_bytes"'; do
  out_has "$key"
done

# from other weights and text, with every axis on the command line
flags=(8xH100 --gpus 4 --seq 32 --global-batch 8)
run 0 validate run "$model" "${flags[@]}" --tp 2 --dp 2 --zero 3 --steps 1 \
  --weights "$root/tests/golden/llama-plain"
out_has "zero3"
sed 's/"vocab_size": 80/"vocab_size": 256/' "$model" >"$work/config.json"
run 0 validate run "$work/config.json" "${flags[@]}" --cp 2 --pp 2 --steps 1 --text "$model"
out_has "cp2"
run 2 validate run "$model" "${flags[@]}" --tp 2 --steps 1 --text "$model"
err_has "vocabulary of at least 256"

# tokens of a tokenizer, 16 and 32 bits wide
printf '\x07\x00\x31\x00\x05\x00%.0s' $(seq 683) >"$work/narrow" # 64 sequences
run 0 validate run "$model" "${flags[@]}" --tp 2 --steps 1 --tokens "$work/narrow" --json
run 4 validate run "$model" "${flags[@]}" --tp 2 --steps 1 --tokens "$work/narrow" \
  --token-format uint32
err_has "no whole number of 4-byte tokens"

# two steps, then two more from the checkpoint: the third line of steps is that of four at once
line() { grep -E "^ +$1  " "$work/out" | awk '{print $2, $3}'; }
run 0 validate run "$work/plan.yaml" --steps 4
third=$(line 2)
run 0 validate run "$work/plan.yaml" --steps 2 --checkpoints "$work/kept"
run 0 validate run "$work/plan.yaml" --steps 2 --checkpoints "$work/kept" --resume
[ -n "$third" ] && [ "$(line 0)" = "$third" ] || problem "the resumed step is not '$third'"
truncate -s -50 "$work/kept/step-00000004/rank-00000.safetensors"
run 0 validate run "$work/plan.yaml" --steps 1 --checkpoints "$work/kept" --resume
out_has "truncated or altered"
[ "$(line 0)" = "$third" ] || problem "the step before the broken checkpoint is not '$third'"
run 4 validate run "$work/plan.yaml" --checkpoints "$work/nothing" --resume

# weights written for HF start another plan at the same loss
tokens=(--tokens "$work/narrow") # the same ones in every step
run 0 validate run "$work/plan.yaml" --steps 2 "${tokens[@]}" --checkpoints "$work/other" \
  --export "$work/hf"
run 0 validate run "$work/plan.yaml" --steps 1 "${tokens[@]}" --checkpoints "$work/other" --resume
next=$(line 0)
run 0 validate run "$work/hf/config.json" 8xH100 --gpus 4 --seq 32 --global-batch 64 --cp 2 \
  --steps 1 "${tokens[@]}" --weights "$work/hf"
awk -v a="${next%% *}" -v b="$(line 0)" 'BEGIN { split(b, loss, " "); exit !(a > 0 && (a - loss[1]) ^ 2 < 4e-12) }' ||
  problem "the exported weights give '$(line 0)', not '$next'"
run 4 validate run "$model" "${flags[@]}" --tp 2 --weights "$work/nothing"

run 3 validate run llama3-8b 8xH100 --tp 8 --global-batch 8
err_has "this computer has"
run 3 validate run deepseek-v3 64x8xH100 --tp 8 --pp 16 --ep 8 --global-batch 512 --seq 4096
err_has "multi-head latent attention"

# the same mark in every answer
big=(deepseek-v3 64x8xH100 --tp 8 --pp 16 --ep 8 --global-batch 512 --seq 4096)
run 0 simulate "${big[@]}" --save "$work/big.yaml"
out_has "priced only: 'meshplan validate run' does not execute multi-head latent attention"
narrow
run 0 simulate "$work/big.yaml" --json
out_has '"multi-head latent attention"'
run 0 compare "$work/big.yaml" "$work/big.yaml"
out_has "A  priced only:"
run 0 plan "${big[@]}" --top 2
out_has "(priced only)"
run 0 simulate "$model" 8xH100 --tp 2 --seq 32 --global-batch 64 --json
out_has '"priced_only": []'

run 0 profile --device cpu --ranks 1 --coarse --out "$work/cpu.yaml"
run 0 validate run "$model" 1xH100 --seq 32 --global-batch 2 --steps 1 --profile "$work/cpu.yaml"
out_has "s, predicted"
run 2 profile --device gpu
# in the plan's own types; one rank of it alone
run 0 validate run "$work/plan.yaml" --steps 2 --compute bf16
out_lacks "run in fp32"
out_lacks DIFFERENT
run 0 validate run "$work/plan.yaml" --steps 2 --emulate-rank stage=1,tp=1
out_has "rank 5 of 8"
out_has "modelled: communication"
out_lacks DIFFERENT
run 0 validate run "$work/plan.yaml" --steps 1 --emulate-rank stage=0 --profile "$work/cpu.yaml" --json
out_has '"schema": "meshplan.emulate/1"'
run 0 validate run "$work/plan.yaml" --emulate-rank stage=1,tp=1 --predict-only --json
out_has '"schema": "meshplan.rank-prediction/1"'
out_has '"compute_from": "tables of'
out_lacks measured
run 2 validate run "$work/plan.yaml" --emulate-rank stage=2
run 2 validate run "$work/plan.yaml" --emulate-rank where=2
run 2 validate run "$work/plan.yaml" --device gpu
# a GPU here would be measured: the line is for computers without one
if [ ! -e /dev/nvidia0 ]; then
  run 6 profile --device cuda --quick -o "$work/gpu.yaml"
  silent_out
  [ "$(wc -l <"$work/err")" = 1 ] || problem "not one line that says what is missing"
  grep -qE 'no GPU|no CUDA' "$work/err" || problem "the line names neither the GPU nor CUDA"
  run 6 validate run "$work/plan.yaml" --device cuda
  [ "$(wc -l <"$work/err")" = 1 ] || problem "not one line that says what is missing"
fi
run 0 profile compare "$work/cpu.yaml" "$work/cpu.yaml"
out_has "product-tn"
grep -qE 'product-tn .* 1\.000 +1\.000 \.\. 1\.000' "$work/out" || problem "a profile differs from itself"
run 4 profile compare "$work/cpu.yaml" "$work/absent.yaml"
printf '%s\n' '# Rank 0 on a [1] GPU' '# Rank 1 on a [2] GPU' '# size time' '1024 10.0' '2048 20.0' >"$work/log"
run 4 profile import "$work/log"
err_has "--collective"
run 0 profile import "$work/log" --collective all_reduce --into "$work/cpu.yaml" -o "$work/both.yaml"
grep -q "ranks: 2" "$work/both.yaml" || problem "the imported table is not in the profile"
run 4 validate time "$work/nothing.yaml"
finish
