#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Does every #include point to its own folder or one further left? (order: README.md)
set -euo pipefail
cd "$(dirname "$0")/../.."
order=(topologies strategies costmodel profiler validate planner)
bad=0
for i in "${!order[@]}"; do
  for ((j = i + 1; j < ${#order[@]}; j++)); do
    if grep -rnE "#include \"(${order[j]}|tests|examples)/" "${order[i]}" --include=*.hpp --include=*.cpp --include=*.cu --include=*.cuh; then
      echo "error: ${order[i]} may not include ${order[j]}, tests or examples" >&2
      bad=1
    fi
  done
done
# Library code neither prints nor exits: only planner/cli and the rank launcher own a terminal.
if grep -rnE "std::(cout|cerr|exit|abort)\b|[^a-zA-Z_:](printf|puts|exit|abort)\(" "${order[@]}" --include=*.hpp --include=*.cpp \
    | grep -vE "^planner/cli/|/main\.cpp:|fmt::|//"; then
  echo "error: library code prints or exits (see above); return a Result instead" >&2
  bad=1
fi
exit $bad
