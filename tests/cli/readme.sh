#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What the README shows of a command is what the command prints.
. "$(dirname "$0")/lib.sh"

# Console blocks: "$ meshplan ARGUMENTS", then all that it prints.
awk -v folder="$work" '
  /^```console/ { inside = 1; next }
  /^```/ { inside = 0 }
  inside && /^\$ meshplan / { ++n; print substr($0, 12) > (folder "/" n ".command"); next }
  inside && n { print > (folder "/" n ".shown") }
' "$root/README.md"
for command in "$work"/*.command; do
  read -ra arguments <"$command"
  NO_COLOR=1 "$meshplan" "${arguments[@]}" >"$work/out" 2>"$work/err"
  last="meshplan ${arguments[*]}"
  printed=$work/out
  [ -s "$printed" ] || printed=$work/err
  diff "$printed" "${command%.command}.shown" || problem "the README shows something else"
done
[ "$(ls "$work"/*.command | wc -l)" -ge 2 ] || problem "the blocks of the README were not found"

finish
