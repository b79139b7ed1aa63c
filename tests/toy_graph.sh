#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A small graph workload whose answers can be learnt: nodes in groups, edges inside them, three relations.
# usage: toy_graph.sh FOLDER EDGES GROUPS DIMENSION EPOCHS      writes graph.yaml, train.tsv, test.tsv
set -euo pipefail
folder=$1
awk -v edges="$2" -v groups="$3" \
  'BEGIN { for (i = 0; i < edges; ++i) { g = i % groups; printf "n%d\tr%d\tn%d\n", g * 10 + i % 7, i % 3, g * 10 + (i * 3) % 10 } }' \
  >"$folder/train.tsv"
head -50 "$folder/train.tsv" >"$folder/test.tsv"
cat >"$folder/graph.yaml" <<YAML
entities: {node: {}}
relations: [{name: all, lhs: node, rhs: node, operator: complex_diagonal}]
dynamic_relations: true
data: {train: [train.tsv], test: [test.tsv]}
dimension: $4
comparator: dot
loss: softmax
learning_rate: 0.1
epochs: $5
YAML
