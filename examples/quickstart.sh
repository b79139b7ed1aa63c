#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# From a fresh Debian 12 to an answer: installs what is missing, builds, asks three questions.
# Needs root or sudo for the packages; no GPU, CUDA or MPI.
set -euo pipefail
cd "$(dirname "$0")/.."
examples/install.sh
cmake --preset release >/dev/null
cmake --build --preset release -j "$(nproc)" --target meshplan

ask() {
  echo
  echo "\$ meshplan $*"
  build/release/meshplan "$@"
}
ask plan llama3-405b 2048x8xH100 --seq 8192 --global-batch 2048
ask plan 70B 512xH100
ask plan examples/model/config.json examples/cluster.yaml
