#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Fetches two public benchmark graphs and writes the workloads that train them.
# usage: examples/graphs.sh FOLDER [meshplan]      with the second, trains both
# FB15k-237 (Toutanova and Chen 2015) and WN18RR (Dettmers et al. 2018) as distributed with ConvE,
# https://github.com/TimDettmers/ConvE. A folder that holds NAME/{train,valid,test}.txt already is
# used as it is: head, relation and tail, tabs between them; so is WN18 (Bordes et al. 2013), which
# is not fetched. MESHPLAN_FLAGS are added to the command, e.g. "--precision bf16".
set -euo pipefail
folder=${1:?a folder for the graphs}
meshplan=${2:-}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)

workload() {  # NAME EPOCHS N3 BATCH: the settings that validate/README.md quotes figures of
  cat >"$folder/$1.yaml" <<YAML
# ComplEx with reciprocal relations (dynamic_relations), 500 + 500 negatives.
entities: {all: {}}
relations: [{name: all, lhs: all, rhs: all, operator: complex_diagonal}]
dynamic_relations: true
data: {train: [$1/train.txt], valid: [$1/valid.txt], test: [$1/test.txt]}
dimension: 400
comparator: dot
loss: softmax
n3: $3
learning_rate: 0.1
batch: $4
batch_negatives: 500
uniform_negatives: 500
operator_init_scale: 1    # from identities, operators learn symmetric relations slowly
other_end_negative: true  # else a symmetric relation ranks an entity itself first
mask_answers: true        # the answer is no negative of itself where it stands twice in a chunk
epochs: $2
YAML
}

while read -r name epochs n3 batch; do
  if [ ! -s "$folder/$name/train.txt" ]; then
    [ "$name" != WN18 ] || { echo "note: no $folder/WN18/train.txt, left out" >&2; continue; }
    command -v curl >/dev/null || { echo "error: curl is missing" >&2; exit 6; }
    mkdir -p "$folder/$name"
    curl -fsSL "https://github.com/TimDettmers/ConvE/raw/master/$name.tar.gz" |
      tar -xz -C "$folder/$name" || { echo "error: cannot fetch $name" >&2; exit 6; }
  fi
  workload "$name" "$epochs" "$n3" "$batch"
  echo "$folder/$name.yaml"
  # shellcheck disable=SC2086  # flags are words
  [ -z "$meshplan" ] || "$meshplan" validate run "$folder/$name.yaml" --threads "$(nproc)" --save-every 0 \
    ${MESHPLAN_FLAGS:-} </dev/null
done <<'GRAPHS'
FB15k-237 25 5e-2 1000
WN18RR 40 1e-1 500
WN18 25 1e-2 1000
GRAPHS
