#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Writes the outputs that README.md shows anew, from the binary: after every "$ meshplan ..." line of
# a console block, what that command prints now.
# usage: tests/readme.sh path/to/meshplan
set -euo pipefail
binary=$(realpath "$1")
cd "$(dirname "$0")/.."
new=$(mktemp)
trap 'rm -f "$new"' EXIT
skipping=0
while IFS= read -r line; do
  case $line in
    '```'*) skipping=0 ;;
    '$ meshplan '*)
      echo "$line"
      # shellcheck disable=SC2086
      (NO_COLOR=1 "$binary" ${line#\$ meshplan } 2>&1 || true) | grep -v '^note:' || true
      skipping=1
      continue
      ;;
  esac
  [ "$skipping" = 1 ] || printf '%s\n' "$line"
done <README.md >"$new"
cat "$new" >README.md
