#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What is bundled is listed, every listed thing can be shown, and a misspelt name is wrong usage.
. "$(dirname "$0")/lib.sh"

for kind in models gpus clusters trainers schedules rules; do
  run 0 list $kind
  silent_err
  narrow
  names=$(awk 'NR > 1 && /^[^ ]/ { print $1 }' "$work/out")
  [ -n "$names" ] || problem "nothing is listed"
  first=$(echo "$names" | head -1)
  last_name=$(echo "$names" | tail -1)
  for name in "$first" "$last_name"; do
    run 0 show "$name"
    out_has "$name"
    narrow
  done
  run 0 list $kind --json
  out_has '"schema": "meshplan.list/1"'
done

run 0 show llama3-405b
out_has "405,853,388,800"
run 0 show H100 --json
out_has '"schema": "meshplan.show/1"'
out_has '"memory_bytes": 85520809984'
out_has '"source"'
run 0 show 64x8xH100
out_has "512 = 64 nodes x 8"

run 2 show llama3-40b
err_has "llama3-405b"
silent_out
run 2 list modles
err_has "did you mean 'models'?"
run 2 lst
err_has "did you mean 'list'?"
run 2 list models --jsn
err_has "did you mean '--json'?"
run 2
err_has "exit codes"
run 4 show "$work/absent.json"
err_has "absent.json"
run 0 --help
out_has "meshplan plan 70B 512xH100"
run 0 show --help
out_has "NAME"

finish
