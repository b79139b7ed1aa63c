#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Fetches public benchmark graphs and writes the workloads that train them.
# usage: examples/graphs.sh FOLDER [meshplan]      with the second, trains them
# FB15k-237 (Toutanova and Chen 2015) and WN18RR (Dettmers et al. 2018) as distributed with ConvE,
# https://github.com/TimDettmers/ConvE. A folder that holds NAME/{train,valid,test}.txt already is
# used as it is: head, relation and tail, tabs between them; so is WN18 (Bordes et al. 2013), which
# is not fetched. MESHPLAN_FLAGS are added to the command, e.g. "--precision bf16".
set -euo pipefail
folder=${1:?a folder for the graphs}
meshplan=${2:-}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)

workload() {  # NAME GRAPH EPOCHS N3 BATCH OF_BATCH UNIFORM OPERATORS OTHER: what validate/README.md quotes figures of
  cat >"$folder/$1.yaml" <<YAML
# ComplEx with reciprocal relations (dynamic_relations), $6 + $7 negatives.
entities: {all: {}}
relations: [{name: all, lhs: all, rhs: all, operator: complex_diagonal}]
dynamic_relations: true
data: {train: [$2/train.txt], valid: [$2/valid.txt], test: [$2/test.txt]}
dimension: 400
comparator: dot
loss: softmax
n3: $4
learning_rate: 0.1
batch: $5
batch_negatives: $6       # ends of other edges: as frequent as they are in the graph
uniform_negatives: $7
operator_init_scale: $8   # 0: from identities, operators learn symmetric relations slowly
other_end_negative: $9    # false: a symmetric relation ranks an entity itself first
mask_answers: true        # the answer is no negative of itself where it stands twice in a chunk
epochs: $3
YAML
}

while read -r name graph epochs settings; do
  if [ ! -s "$folder/$graph/train.txt" ]; then
    [ "$graph" != WN18 ] || { echo "note: no $folder/WN18/train.txt, left out" >&2; continue; }
    command -v curl >/dev/null || { echo "error: curl is missing" >&2; exit 6; }
    mkdir -p "$folder/$graph"
    curl -fsSL "https://github.com/TimDettmers/ConvE/raw/master/$graph.tar.gz" |
      tar -xz -C "$folder/$graph" || { echo "error: cannot fetch $graph" >&2; exit 6; }
  fi
  # shellcheck disable=SC2086  # settings and flags are words
  workload "$name" "$graph" "$epochs" $settings
  echo "$folder/$name.yaml"
  # shellcheck disable=SC2086
  [ -z "$meshplan" ] || "$meshplan" validate run "$folder/$name.yaml" --threads "$(nproc)" --save-every 0 \
    ${MESHPLAN_FLAGS:-} </dev/null
done <<'GRAPHS'
FB15k-237 FB15k-237 20 2e-2 1000 0 500 1 false
FB15k-237-batch FB15k-237 25 5e-2 1000 500 500 0 false
WN18RR WN18RR 40 1e-1 500 500 500 1 true
WN18 WN18 25 1e-2 1000 500 500 1 true
GRAPHS
