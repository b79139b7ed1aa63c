#!/usr/bin/env bash
# Trains; on each of 8 machines with its number, 0 to 7: ./train.sh NUMBER
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
exec torchbiggraph_train --rank "${1:-0}" config.py
