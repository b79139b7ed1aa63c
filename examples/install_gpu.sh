#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Fetches the headers of cudnn-frontend (MIT; PyPI: nvidia-cudnn-frontend) for attention by cuDNN into build/cudnn-frontend.
# CUDA, cuDNN and NCCL themselves come from NVIDIA: nvcc on the PATH or in /usr/local/cuda, with cublasLt.h, nccl.h and cudnn.h.
set -euo pipefail
cd "$(dirname "$0")/.."
version=1.32.0
target=build/cudnn-frontend
[ ! -e "$target/include/cudnn_frontend.h" ] || exit 0
python3 -m pip --version >/dev/null 2>&1 || { echo "error: pip is needed; on Debian: apt-get install python3-pip" >&2; exit 6; }
wheels=$(mktemp -d)
trap 'rm -rf "$wheels"' EXIT
python3 -m pip download -q --no-deps --only-binary=:all: -d "$wheels" "nvidia-cudnn-frontend==$version" ||
  { echo "error: nvidia-cudnn-frontend $version can't be fetched from PyPI" >&2; exit 6; }
mkdir -p "$target"
python3 - "$wheels" "$target" <<'PY'
import glob, sys, zipfile
with zipfile.ZipFile(glob.glob(sys.argv[1] + "/*.whl")[0]) as wheel:
    names = [n for n in wheel.namelist() if n.startswith("include/") or "/licenses/" in n]
    wheel.extractall(sys.argv[2], names)
PY
echo "$target: headers of cudnn-frontend $version" >&2
