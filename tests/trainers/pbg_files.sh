#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Embeddings to PyTorch-BigGraph and back, with its own code: it loads a checkpoint that meshplan wrote,
# trains on from it and meshplan begins with what it wrote; both hold the same values.
# usage: tests/trainers/pbg_files.sh MESHPLAN [PYTHON]     a Python with torchbiggraph 1.0, h5py and attrs
# Skips (77) without them.
set -euo pipefail
meshplan=${1:?the meshplan binary}
python=${2:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# Its __init__ asks setuptools for the version, which new ones no longer tell.
mkdir "$work/stub"
cat >"$work/stub/pkg_resources.py" <<'PY'
def resource_string(package, name):
    return b"1.0.0"
PY
export PYTHONWARNINGS=ignore PYTHONPATH=$work/stub${PYTHONPATH:+:$PYTHONPATH}
if ! "$python" -c 'import h5py, attr, torchbiggraph.train' 2>"$work/why"; then
  echo "SKIPPED: $python has no torchbiggraph: $(tail -1 "$work/why")"
  exit 77
fi
"$python" - "$work/train.tsv" <<'PY'
import random, sys
draw = random.Random(1)
with open(sys.argv[1], "w") as out:
    for i in range(4000):
        group = draw.randrange(12)
        out.write(f"n{group * 10 + draw.randrange(10)}\tr{draw.randrange(3)}\tn{group * 10 + draw.randrange(10)}\n")
PY
cat >"$work/graph.yaml" <<'YAML'
entities: {node: {}}
relations: [{name: all, lhs: node, rhs: node, operator: complex_diagonal}]
dynamic_relations: true
data: {train: [train.tsv]}
dimension: 16
comparator: dot
loss: softmax
learning_rate: 0.1
batch: 500
epochs: 2
YAML
cd "$work"
"$meshplan" validate run graph.yaml --partitions 2 --evaluate none --export-pbg pbg --export-npy npy >/dev/null
"$meshplan" launch pbg graph.yaml --partitions 2 -o pbg/launch >/dev/null
"$python" "$here/pbg_files.py" wrote pbg npy
# PBG trains on from there, two epochs more than our version counts.
cp -r pbg/data pbg/model pbg/launch/
"$python" "$here/pbg_files.py" train pbg/launch train.tsv
"$meshplan" validate run graph.yaml --epochs 0 --evaluate none --start-pbg pbg/launch/model \
  --export-npy back >told
grep "begins with version" told
"$python" "$here/pbg_files.py" read pbg/launch back
echo "as expected"
