#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Reads the configurations of public.txt from checkouts of the trainers, simulates them, searches a better plan for the
# same trainer, model, machine and batch, and prints both times.
# usage: tests/trainers/public.sh path/to/meshplan
# Environment: MEGATRON, TORCHTITAN_0_2, BRIDGE, NANOTRON, ACCELERATE: the checkouts; those not set are left out.
set -uo pipefail
meshplan=$(realpath "$1")
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
while IFS='|' read -r variable path trainer release flags; do
  checkout=${!variable:-}
  echo "$path"
  [ -n "$checkout" ] || { echo "  absent: $variable is not set"; continue; }
  # shellcheck disable=SC2086
  "$meshplan" import --trainer "$trainer" --trainer-version "$release" "$checkout/$path" $flags \
    -o "$work/plan.yaml" 2>"$work/said"
  read_well=$?
  sed "s#$checkout/##; s/^/  /" "$work/said"
  [ $read_well = 0 ] || { failures=$((failures + 1)); continue; }
  before=$("$meshplan" simulate "$work/plan.yaml" --json 2>/dev/null)
  after=$("$meshplan" plan "$work/plan.yaml" --keep-free 0 --json 2>/dev/null)
  python3 - "$before" "$after" <<'PYTHON' || failures=$((failures + 1))
import json, sys
before, after = (json.loads(text) for text in sys.argv[1:])
best = after["plans"][0]
for word, plan in (("as it is", before), ("best", best)):
    print(f"  {word:9}{plan['step_time_s']:8.2f} s  {'fits' if plan['fits'] else 'does not fit':13}{plan['plan']}")
if before["fits"]:
    print(f"  {'saved':9}{100 * (1 - best['step_time_s'] / before['step_time_s']):8.1f} %")
PYTHON
done < <(grep -v '^#' public.txt)
[ "$failures" = 0 ]
