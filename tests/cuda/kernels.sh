#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Do all kernels compile for every architecture that is supported, without spills? Prints registers of the largest kernel each.
# usage: kernels.sh NVCC FLAG...     (flags that refuse spills: profiler/cuda/cuda.cmake)
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
nvcc=$1
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for source in "$root"/profiler/cuda/*.cu; do echo "#include \"$source\""; done >"$work/all.cu"
status=0
for arch in 80 90a 100; do
  if "$nvcc" -std=c++20 -cubin -gencode="arch=compute_$arch,code=sm_$arch" -O3 --expt-relaxed-constexpr -I"$root" "$@" -Xptxas=-v \
    "$work/all.cu" -o "$work/$arch.cubin" >"$work/log" 2>&1; then
    most=$(grep -oE 'Used [0-9]+ registers' "$work/log" | grep -oE '[0-9]+' | sort -n | tail -1)
    echo "sm_$arch: $(grep -c 'Compiling entry function' "$work/log") kernels, at most $most registers, no spills"
  else
    echo "sm_$arch: refused"
    grep -iE 'error|warning' "$work/log" | head -20
    status=1
  fi
done
exit $status
