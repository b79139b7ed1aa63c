#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `plan` of a graph workload: on GPUs, on a computer that was timed, where nothing fits.
. "$(dirname "$0")/lib.sh"
cat >"$work/graph.yaml" <<'YAML'
entities: {node: {count: 86054151}}
relations: [{name: all, lhs: node, rhs: node, operator: complex_diagonal}]
dynamic_relations: true
dynamic_relation_count: 14824
edges: 304727650
dimension: 100
comparator: dot
loss: softmax
batch: 10000
batch_negatives: 500
uniform_negatives: 500
epochs: 10
YAML
run 0 plan "$work/graph.yaml" 1xH200
out_has "unpartitioned"
out_has "limited by"
out_has "storage_gb_per_s: assumed"
narrow
run 0 plan "$work/graph.yaml" 4xH200 --precision fp32,bf16 --json
cp "$work/out" "$work/first"
for key in '"schema": "meshplan.graph-plan/1"' '"out_of_memory"' '"epoch_time_s"' '"strategy"'; do out_has "$key"; done
run 0 plan "$work/graph.yaml" 4xH200 --precision fp32,bf16 --json
diff <(grep -v search_s "$work/first") <(grep -v search_s "$work/out") >/dev/null || problem "two runs differ"
run 3 plan "$work/graph.yaml" 1x1xV100 --partitions 1
out_has "no plan fits"
run 2 plan "$work/graph.yaml" 1xH200 --order bata
err_has "beta"
run 2 plan "$work/graph.yaml" 1xH2000
run 0 profile --device cpu --coarse --ranks 1 --out "$work/cpu.yaml"
run 0 plan "$work/graph.yaml" "$work/cpu.yaml" --home storage --partitions 64
out_has "64 partitions"
# Published graphs on the machines of their papers and on one H200: each fits or says that it does not.
graphs=$root/examples/graphs
run 0 plan "$graphs/freebase86m.yaml" "$graphs/p3.2xlarge.yaml" --storage-gb-per-s 0.4
out_has "best plans"
narrow
run 0 plan "$graphs/freebase86m-400.yaml" "$graphs/p3.16xlarge.yaml"
run 0 plan "$graphs/freebase86m.yaml" 1xH200 --json
out_has '"partitions": 1'
run 0 plan "$graphs/freebase86m-400.yaml" 1xH200
run 0 plan "$graphs/freebase.yaml" 1xH200
out_has "unpartitioned"
run 3 plan "$graphs/freebase86m-400.yaml" "$graphs/p3.2xlarge.yaml" --partitions 1
out_has "no plan fits"
# A plan that is saved is trained as it stands; flags say otherwise.
awk 'BEGIN { for (i = 0; i < 600; ++i) printf "n%d\tr%d\tn%d\n", i % 50, i % 3, (i * 7 + 1) % 50 }' >"$work/train.tsv"
sed -e "s|^edges:.*|data: {train: [train.tsv]}|; /_count/d; s/: {count: [0-9]*}/: {}/; s/^dimension: 100/dimension: 8/" \
  -e 's/^batch: 10000/batch: 100/; s/negatives: 500/negatives: 20/; s/^epochs: 10/epochs: 1/' "$work/graph.yaml" >"$work/small.yaml"
run 2 plan "$work/small.yaml" "$work/cpu.yaml" --precision tf32
err_has "fp32 or bf16"
if grep -q edge-chunk-bf16 "$work/cpu.yaml"; then
  run 0 plan "$work/small.yaml" "$work/cpu.yaml" --precision fp32,bf16
  out_has "bf16"
  sed -i 's/edge-chunk-bf16/edge-chunk-other/' "$work/cpu.yaml"
fi
run 4 plan "$work/small.yaml" "$work/cpu.yaml" --precision bf16
err_has "measure again"
run 0 plan "$work/small.yaml" "$work/cpu.yaml" --partitions 4 --resident 2 --order beta --home storage --save "$work/plan.yaml"
(cd / && NO_COLOR=1 "$meshplan" validate run "$work/plan.yaml" --profile "$work/cpu.yaml") >"$work/out" 2>"$work/err" ||
  problem "a saved plan is not trained"
out_has "4 partitions, 2 resident, beta"
out_has "a pass moves   7 partitions from storage"
run 0 validate run "$work/plan.yaml" --partitions 1
out_has "unpartitioned"
sed -i 's/ranks: 1/ranks: 4/' "$work/plan.yaml"
run 3 validate run "$work/plan.yaml"
sed -i 's/edges: 304727650/edges: 0/' "$work/graph.yaml"
run 4 plan "$work/graph.yaml" 1xH200
err_has "the size of the graph is not stated"
cat >"$work/config.py" <<'PY'
def get_torchbiggraph_config():
    return dict(entities={"all": {"num_partitions": 4}},
                relations=[{"name": "r", "lhs": "all", "rhs": "all", "operator": "complex_diagonal"}],
                dynamic_relations=True, dimension=64, global_emb=False, checkpoint_path=there())
PY
run 0 import pbg "$work/config.py" -o "$work/imported.yaml"
err_has "line 4: checkpoint_path: there()"
out_has "4 partitions"
sed -i 's/count: 0/count: 1000/; s/edges: 0/edges: 5000/; s/relation_count: 0/relation_count: 3/' "$work/imported.yaml"
run 0 plan "$work/imported.yaml" 1xH200
run 4 import pbg "$work/graph.yaml"
finish
