#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# No hand-written source file is longer than 500 lines.
set -euo pipefail
cd "$(dirname "$0")/../.."
long=$(find topologies strategies costmodel profiler validate planner tests examples -type f \
  \( -name '*.hpp' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' -o -name '*.sh' -o -name '*.py' -o -name '*.cmake' -o -name CMakeLists.txt \) \
  -exec awk 'END { if (NR > 500) print NR, FILENAME }' {} \;)
if [ -n "$long" ]; then
  echo "error: files over 500 lines; split them by the question they answer:" >&2
  echo "$long" >&2
  exit 1
fi
