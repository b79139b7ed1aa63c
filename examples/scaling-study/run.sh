#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Writes this folder's README.md, scaling.csv and pages again: the experiments of Fernandez et al.
# (arXiv 2411.13055) and the Llama 3 405B sweeps. Needs the release build and python3, no network.
# usage: run.sh [folder for the results, else this one]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
meshplan=$(realpath -m "${MESHPLAN:-$root/build/release/meshplan}")
[ -x "$meshplan" ] || { echo "error: $meshplan is missing; cmake --build --preset release" >&2; exit 6; }
command -v python3 >/dev/null || { echo "error: python3 is missing" >&2; exit 6; }
mkdir -p "${1:-$here}"
python3 "$here/study.py" "$meshplan" "$root" "${1:-$here}"
