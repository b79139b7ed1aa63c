#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds meshplan and runs its tests on Debian 12, installing what is missing (as root or with sudo).
# usage: tests/run.sh [preset]      preset: dev (default), release, asan, tsan
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:-dev}
examples/install.sh
cmake --preset "$preset" >/dev/null
cmake --build --preset "$preset" -j "$(nproc)"
echo
echo "left out here:"
left=0
{ command -v nvcc || [ -x /usr/local/cuda/bin/nvcc ]; } >/dev/null || { echo "  CUDA executor and profiler (no CUDA toolkit)"; left=1; }
[ -e /dev/nvidia0 ] || { echo "  everything that runs on a GPU (no GPU)"; left=1; }
command -v mpirun >/dev/null || { echo "  MPI communicator (no OpenMPI)"; left=1; }
[ $left = 1 ] || echo "  nothing"
echo
ctest --preset "$preset" -j "$(nproc)"
