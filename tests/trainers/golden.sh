#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Writes the golden launch files anew, tests/golden/launch/<trainer>-<release>/, from the plans of plans.txt. Look at
# the difference (git diff) before it is committed; tests/cli/launch.sh compares with them.
# usage: tests/trainers/golden.sh path/to/meshplan
set -euo pipefail
meshplan=$(realpath "$1")
cd "$(dirname "$0")/../.."
. tests/trainers/lib.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rm -rf tests/golden/launch
while read -r id trainer model cluster flags; do
  # shellcheck disable=SC2086
  "$meshplan" simulate "$model" "$cluster" $flags --trainer "$trainer" --save "$work/$id.yaml" >/dev/null
  for release in $(releases "$trainer"); do
    "$meshplan" launch --trainer "$trainer" --trainer-version "$release" "$work/$id.yaml" \
      -o "$work/$id-$release" >/dev/null
    while read -r known written; do
      mkdir -p "$(dirname "$known")"
      cp "$written" "$known"
      chmod -x "$known"
    done < <(golden_pairs "$trainer" "$release" "$id" "$work/$id-$release")
  done
done < <(grep -v '^#' tests/trainers/plans.txt)
# shellcheck disable=SC2046
"$meshplan" launch pbg tests/trainers/graph.yaml $(graph_plan) -o tests/golden/launch/pbg-1.0 >/dev/null
chmod -x tests/golden/launch/pbg-1.0/train.sh
