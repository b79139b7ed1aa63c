#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every source file is formatted as .clang-format says. Skipped (77) without clang-format-14.
set -euo pipefail
cd "$(dirname "$0")/../.."
command -v clang-format-14 >/dev/null || { echo "skipped: clang-format-14 is not installed"; exit 77; }
find topologies strategies costmodel profiler validate planner tests \
  \( -name '*.cpp' -o -name '*.hpp' -o -name '*.cu' -o -name '*.cuh' \) -print0 |
  xargs -0 clang-format-14 --dry-run -Werror
