#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every C++ source of a build is clean by .clang-tidy: half an hour with two cores, so it is
# not one of the tests. What the build leaves out (CUDA, MPI) is left out here, too.
# usage: tests/tidy.sh [build folder, else build/dev]
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build/dev}
command -v clang-tidy-14 >/dev/null || { echo "error: clang-tidy-14 is not installed" >&2; exit 6; }
[ -f "$build/compile_commands.json" ] ||
  { echo "error: no $build/compile_commands.json; cmake --preset dev" >&2; exit 6; }
found=$(mktemp)
trap 'rm -f "$found"' EXIT
failed=0
sed -n "s|^ *\"file\": \"$PWD/\(.*\.cpp\)\".*|\1|p" "$build/compile_commands.json" | sort -u |
  grep -v "^build/" |
  xargs -P "$(nproc)" -n 4 clang-tidy-14 -p "$build" --quiet >"$found" 2>/dev/null || failed=$?
grep -E "(warning|error):" "$found" | sort -u || [ "$failed" = 0 ] ||
  { echo "error: clang-tidy-14 ended with $failed" >&2; exit 1; }
[ "$failed" = 0 ]
