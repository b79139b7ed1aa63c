# SPDX-License-Identifier: Apache-2.0
# Sourced by tests/cli/*.sh with $1 = the meshplan binary: runs it and checks code and texts.
set -uo pipefail
meshplan=$1
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

# run CODE ARGUMENTS...: leaves standard output and error in $work/out and $work/err
run() {
  local want=$1
  shift
  NO_COLOR=1 "$meshplan" "$@" >"$work/out" 2>"$work/err"
  local got=$?
  last="meshplan $*"
  [ "$got" = "$want" ] || problem "exit code $got, expected $want"
}
problem() {
  echo "FAILED: $last: $1"
  sed 's/^/    out| /' "$work/out" | head -20
  sed 's/^/    err| /' "$work/err" | head -20
  failures=$((failures + 1))
}
out_has() { grep -qF -- "$1" "$work/out" || problem "standard output lacks '$1'"; }
err_has() { grep -qF -- "$1" "$work/err" || problem "standard error lacks '$1'"; }
out_lacks() { ! grep -qF -- "$1" "$work/out" || problem "standard output has '$1'"; }
silent_out() { [ ! -s "$work/out" ] || problem "standard output is not empty"; }
silent_err() { [ ! -s "$work/err" ] || problem "standard error is not empty"; }
narrow() {
  local wide
  wide=$(awk 'length($0) > 100' "$work/out" | head -1)
  [ -z "$wide" ] || problem "a line is wider than 100 columns: $wide"
}
finish() {
  [ "$failures" = 0 ] || exit 1
  echo "as expected"
}
