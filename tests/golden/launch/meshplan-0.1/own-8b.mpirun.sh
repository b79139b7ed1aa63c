#!/usr/bin/env bash
# HOSTFILE: one node a line, "slots=8" behind it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
export OPENBLAS_NUM_THREADS=1
exec mpirun -n 8 ${1:+--hostfile "$1"} --map-by slot meshplan-rank plan.yaml --steps 10
