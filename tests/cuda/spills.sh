#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every build of the kernels fails where one spills registers or uses local memory (flags in profiler/cuda/cuda.cmake).
# Do those flags still do that? A kernel that must spill has to be refused, and one that need not accepted.
# usage: spills.sh NVCC FLAG...
set -euo pipefail
nvcc=$1
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/fits.cu" <<'CU'
__global__ void fits(float* x) { x[threadIdx.x] += 1; }
CU
cat >"$work/spills.cu" <<'CU'
__global__ void __launch_bounds__(1024, 2) spills(float* x, int n) {
  float value[64];
  for (int i = 0; i < 64; ++i) value[i] = x[i * n + threadIdx.x];
  for (int r = 0; r < n; ++r)
    for (int i = 0; i < 64; ++i) value[i] = value[i] * value[(i + 1) % 64] + x[r];
  for (int i = 0; i < 64; ++i) x[i * n + threadIdx.x] = value[i];
}
CU
compile() { "$nvcc" -cubin -gencode=arch=compute_90a,code=sm_90a -O3 "$@" -o "$work/out.cubin" >"$work/log" 2>&1; }
compile "$@" "$work/fits.cu" || { echo "a kernel without spills is refused:"; cat "$work/log"; exit 1; }
if compile "$@" "$work/spills.cu"; then
  echo "a kernel that spills is accepted:"
  cat "$work/log"
  exit 1
fi
grep -qi "spill\|local memory" "$work/log" || { echo "refused for another reason:"; cat "$work/log"; exit 1; }
echo "as expected"
