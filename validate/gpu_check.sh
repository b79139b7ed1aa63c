#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What only a GPU can tell, in stages of some minutes each. A stage that was cut off goes on where it stopped: results are one
# JSON file a configuration, and files that are there are kept.
#
#   validate/gpu_check.sh pack             build/gpu.tar.xz: programs and libraries of the stages, on a machine with a build
#   validate/gpu_check.sh 1 ... 7          on a machine with a GPU; results in validate/gpu/<device>/stage-N/
#   validate/gpu_predict.py FOLDER MESHPLAN   what the cost model expects of these runs; no GPU needed
#   validate/gpu_summary.py FOLDER         what is there as one document (every stage prints it at its end)
#
#   1 every kernel against a float64 reference; memory checker on tiny shapes; the communicators
#   2 losses of 100 steps, bf16 and fp8 on the GPU against fp32 on the CPU; TP, PP, FSDP, CP ranks on one GPU against one rank
#   3 profile of the GPU; predicted against measured step time and memory, 24 configurations of 1B, 3B, 8B
#   4 tokens per second of 1B and 8B beside PyTorch
#   5 one rank of a plan of 405B on 8,192 GPUs
#   6 rates of products and attention beside the library's best
#   7 graph embeddings: batches and ranking beside the CPU's, edges a second, predicted against measured times and memory of 10 settings
#
# MESHPLAN_BUILD: folder with meshplan, gpu_kernels, gpu_rates, gpu_suite, gpu_graph (build/gpu or its archive, then build/release, build/dev).
# MESHPLAN_PYTHON: a python3 with torch, for stages 4 and 6. MESHPLAN_GRAPH: a workload with edges to rank, of examples/graphs.sh, for
# stage 7; else a made-up one. Exit code 6 without a GPU, 5 if a comparison fails.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
stage=${1:?a stage: pack, or 1 to 7}
case $stage in pack | [1-7]) ;; *)
  echo "error: no stage '$stage': pack, or 1 to 7" >&2
  exit 2
  ;;
esac
began=$SECONDS
budget=420 # seconds after which no further configuration is begun

find_build() {
  local folder
  # what was carried here
  [ "$stage" = pack ] || [ -d "$root/build/gpu" ] || [ ! -e "$root/build/gpu.tar.xz" ] || tar -C "$root/build" -xJf "$root/build/gpu.tar.xz"
  for folder in ${MESHPLAN_BUILD:-} "$root/build/gpu" "$root/build/release" "$root/build/dev"; do
    [ -x "$folder/meshplan" ] && echo "$folder" && return
  done
  echo "error: no build; cmake --preset release && cmake --build --preset release" >&2
  exit 6
}
[ "$stage" = pack ] || [ -e /dev/nvidia0 ] || { echo "error: no GPU here (/dev/nvidia0)" >&2; exit 6; }
build=$(find_build)
tool() { if [ -x "$build/$1" ]; then echo "$build/$1"; else echo "$build/tests/$1"; fi; }

if [ "$stage" = pack ]; then
  target=$root/build/gpu
  [ "$build" != "$target" ] || build=$root/build/release
  grep -qs 'MESHPLAN_HAS_CUDNN:INTERNAL=ON' "$build/CMakeCache.txt" ||
    { echo "error: $build has no cuDNN; examples/install_gpu.sh, then configure and build again" >&2; exit 6; }
  rm -rf "$target"
  mkdir -p "$target/lib"
  for program in meshplan gpu_kernels gpu_rates gpu_suite gpu_graph; do
    cp "$(tool $program)" "$target/"
    strip "$target/$program"
    # libraries of this system that the other one may lack; the C library and the driver are its own
    ldd "$target/$program" | awk '/=> \//{print $3}' | grep -vE '/(libc|libm|libdl|librt|libpthread|ld-linux[^/]*)\.so' |
      xargs -r -I{} cp -Ln {} "$target/lib/"
  done
  tar -C "$root/build" -cJf "$target.tar.xz" gpu
  rm -rf "$target"
  du -sm "$target.tar.xz"
  exit
fi

# Libraries carried here are for our programs alone: PyTorch and the compilers have newer ones.
system_libraries=${LD_LIBRARY_PATH:-}
python=(env "LD_LIBRARY_PATH=$system_libraries" "${MESHPLAN_PYTHON:-python3}")
export LD_LIBRARY_PATH=$system_libraries
[ ! -d "$build/lib" ] || LD_LIBRARY_PATH=$build/lib:$LD_LIBRARY_PATH
# cuBLAS, cuDNN and NCCL as PyTorch's packages bring them, where the system has none
while read -r folder; do LD_LIBRARY_PATH+=:$folder; done < <("${python[@]}" - <<'PY'
import glob, sysconfig
print("\n".join(sorted(glob.glob(sysconfig.get_paths()["purelib"] + "/nvidia/*/lib"))))
PY
)
export MESHPLAN_DATA=$root
meshplan=$build/meshplan

device=$(nvidia-smi --query-gpu=name --format=csv,noheader | head -1 | tr ' ' '-')
case $device in *H200*) gpu=H200 ;; *H100*) gpu=H100 ;; *B200*) gpu=B200 ;; *A100*) gpu=A100 ;; *) gpu=${MESHPLAN_GPU:?the name of this GPU in topologies/data/gpus} ;; esac
results=$root/validate/gpu/$device
out=$results/stage-$stage
mkdir -p "$out"
nvidia-smi --query-gpu=name,driver_version,memory.total,power.limit,clocks.max.sm --format=csv >"$results/device.csv"
echo "$gpu" >"$results/gpu"
date -u +%Y-%m-%d >"$out/date"

late() { [ $((SECONDS - began)) -gt $budget ] && echo "stopped after $budget s: run stage $stage again" >&2; }
# keep NAME COMMAND...: its standard output as NAME.json, unless that is there. A configuration that does not fit is a result, too.
keep() {
  local name=$1 code=0
  shift
  [ ! -s "$out/$name.json" ] || return 0
  "$@" >"$out/$name.part" 2>"$out/$name.err" || code=$?
  if [ $code = 3 ]; then
    "${python[@]}" -c 'import json,sys; print(json.dumps({"outcome": "does not fit", "message": sys.stdin.read()}))' \
      <"$out/$name.err" >"$out/$name.json"
    rm -f "$out/$name.part" "$out/$name.err"
    return 0
  fi
  if [ ! -s "$out/$name.part" ]; then
    echo "$name: exit $code: $(tail -1 "$out/$name.err")" >&2
    return $code
  fi
  mv "$out/$name.part" "$out/$name.json" # what a failed comparison printed is kept as well
  [ -s "$out/$name.err" ] || rm -f "$out/$name.err"
  [ $code = 0 ] || { echo "$name: exit $code: $(tail -qn 1 "$out/$name.err" 2>/dev/null)" >&2; failed=1; }
}
failed=0
# 18 bytes of state a parameter are more than there is for 8B
gradients() { if [ "$1" = llama3-8b ]; then echo bf16; else echo fp32; fi; }

case $stage in
1)
  keep kernels "$(tool gpu_kernels)"
  keep communicators-shared sh -c '"$1" shared >&2; printf "{\"exit\": %d}\n" $?' sh "$(tool gpu_suite)"
  keep communicators-nccl sh -c '"$1" nccl >&2; printf "{\"exit\": %d}\n" $?' sh "$(tool gpu_suite)"
  if command -v compute-sanitizer >/dev/null; then
    keep memcheck sh -c 'compute-sanitizer --tool memcheck --error-exitcode 9 "$1" tiny >&2; printf "{\"exit\": %d}\n" $?' sh "$(tool gpu_kernels)"
  else
    echo "memcheck: no compute-sanitizer here" >&2
  fi
  ;;
2)
  cat >"$results/config.json" <<'JSON'
{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "hidden_size": 512, "intermediate_size": 1536,
 "num_hidden_layers": 8, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 64, "vocab_size": 4096,
 "max_position_embeddings": 2048, "rms_norm_eps": 1e-05, "rope_theta": 500000.0, "tie_word_embeddings": false}
JSON
  small=("$meshplan" validate run "$results/config.json" "16x1x$gpu" --trainer meshplan-gpu --seq 256 --micro-batch 1 --json --seed 1)
  keep gpu-bf16 "${small[@]}" --gpus 1 --global-batch 2 --steps 100 --device cuda
  keep gpu-fp8 "${small[@]}" --gpus 1 --global-batch 2 --steps 100 --device cuda --compute fp8
  keep cpu-fp32 "${small[@]}" --gpus 1 --global-batch 2 --steps 100 --workers "$(nproc)"
  many=("${small[@]}" --global-batch 8 --steps 5 --device cuda --gpu shared --compute fp32)
  keep ranks-1 "${many[@]}" --gpus 1
  keep ranks-tp2 "${many[@]}" --gpus 2 --tp 2
  keep ranks-pp2 "${many[@]}" --gpus 2 --pp 2
  keep ranks-fsdp2 "${many[@]}" --gpus 2 --dp 2 --zero 3
  keep ranks-cp2 "${many[@]}" --gpus 2 --cp 2
  keep ranks-tp2-pp2-fsdp2-cp2 "${many[@]}" --gpus 16 --tp 2 --pp 2 --dp 2 --cp 2 --zero 3
  ;;
3)
  [ -s "$results/profile.yaml" ] || "$meshplan" profile --device cuda --budget-seconds 170 -o "$results/profile.yaml"
  for model in llama3.2-1b llama3.2-3b llama3-8b; do
    for shape in "2048 4 none" "4096 1 none" "4096 2 selective" "8192 1 none" "8192 1 selective" "8192 1 full" "8192 2 full" "16384 1 full"; do
      read -r seq micro recompute <<<"$shape"
      late && exit 0
      name=$model-s$seq-mb$micro-$recompute
      keep "$name" "$meshplan" validate run "$model" "1x1x$gpu" --gpus 1 --trainer meshplan-gpu --gradients "$(gradients "$model")" \
        --seq "$seq" --global-batch $((2 * micro)) --micro-batch "$micro" --recompute "$recompute" --steps 4 --device cuda \
        --json
    done
  done
  ;;
4)
  for model in llama3.2-1b llama3-8b; do
    late && exit 0
    recompute=none states=master layers=0
    # with 16 bytes of state a parameter, 9 layers' activations fit beside them
    [ $model != llama3-8b ] || { recompute=selective states=bf16 layers=23; }
    keep "$model" "$meshplan" validate run "$model" "1x1x$gpu" --gpus 1 --trainer meshplan-gpu --gradients "$(gradients "$model")" \
      --seq 8192 --global-batch 4 --micro-batch 1 --recompute $recompute --recompute-layers $layers --steps 6 --device cuda --json
    "${python[@]}" - "$root/strategies/data/models/$model.yaml" >"$out/$model.config" <<'PY'
import json, re, sys
config = {}
for line in open(sys.argv[1]):  # the keys of config.json stand under `config:`, one a line
    found = re.match(r"\s+(\w+):\s*([^{\[#]+?)\s*(#.*)?$", line)
    if found:
        value = found[2].strip("\"'")
        config[found[1]] = {"true": True, "false": False}.get(value) if value in ("true", "false") else (
            float(value) if re.fullmatch(r"[-+.\deE]+", value) and not value.isdigit() else int(value) if value.isdigit() else value)
print(json.dumps(config))
PY
    keep "$model-torch" "${python[@]}" "$root/validate/bench/torch_gpu.py" train "$out/$model.config" --seq 8192 --micro-batch 1 \
      --micro-batches 4 --recompute $recompute --states $states --steps 4
  done
  ;;
5)
  keep simulated "$meshplan" simulate llama3.1-405b 1024x8xH100 --trainer meshplan-gpu --seq 8192 --global-batch 2048 --tp 8 --pp 16 \
    --dp 64 --zero 1 --micro-batch 1 --json --save "$out/plan.yaml"
  for rank in stage=0 stage=7 stage=15; do
    late && exit 0
    keep "rank-$rank" "$meshplan" validate run "$out/plan.yaml" --steps 2 --device cuda --emulate-rank $rank,tp=0 --json
  done
  ;;
6)
  keep rates "$(tool gpu_rates)"
  keep shares "${python[@]}" "$root/validate/bench/torch_gpu.py" rates "$out/rates.json"
  ;;
7)
  keep parity "$(tool gpu_graph)"
  if command -v compute-sanitizer >/dev/null; then
    keep memcheck sh -c 'compute-sanitizer --tool memcheck --error-exitcode 9 "$1" >&2; printf "{\"exit\": %d}\n" $?' sh "$(tool gpu_graph)"
  else
    echo "memcheck: no compute-sanitizer here" >&2
  fi
  graphs=$(mktemp -d)
  trap 'rm -rf "$graphs"' EXIT
  # graph NAME NODES EDGES RELATIONS KEYS...: edges stay inside groups of 20 nodes, so that there is something to rank
  graph() {
    local name=$1 nodes=$2 edges=$3 relations=$4
    shift 4
    [ -s "$graphs/$name.yaml" ] && return
    # Lehmer's generator, exact in doubles: the same edges by every awk
    awk -v n="$nodes" -v e="$edges" -v r="$relations" 'function below(m) { s = s * 16807 % 2147483647; return int(s / 2147483647 * m) }
      BEGIN { s = 7; for (i = 0; i < e; ++i) { x = below(n); r0 = below(r)
        printf "n%d\tr%d\tn%d\n", x, r0, x - x % 20 + below(20) } }' >"$graphs/$name.tsv"
    head -2000 "$graphs/$name.tsv" >"$graphs/$name-test.tsv"
    printf '%s\n' "entities: {node: {}}" "relations: [{name: all, lhs: node, rhs: node, operator: complex_diagonal}]" \
      "dynamic_relations: true" "data: {train: [$name.tsv], test: [$name-test.tsv]}" "comparator: dot" "loss: softmax" "learning_rate: 0.1" \
      "init_scale: 0.1" "$@" >"$graphs/$name.yaml"
  }
  graph small 20000 400000 20 "dimension: 104" "batch: 1000" "batch_negatives: 200" "uniform_negatives: 200" "epochs: 5"
  ranked=${MESHPLAN_GRAPH:-$graphs/small.yaml}
  keep ranked-gpu "$meshplan" validate run "$ranked" --device cuda --json
  keep ranked-gpu-bf16 "$meshplan" validate run "$ranked" --device cuda --precision bf16 --json
  keep ranked-cpu "$meshplan" validate run "$ranked" --threads "$(nproc)" --deterministic --json
  graph large 1000000 5000000 20 "dimension: 400" "batch: 20000" "batch_negatives: 500" "uniform_negatives: 500" "epochs: 3"
  # D, negatives of the batch and uniform ones, edges of a batch, products, partitions
  for setting in "400 500 500 20000 bf16 1" "400 500 500 20000 fp32 1" "400 500 500 50000 bf16 1" "400 500 500 5000 bf16 1" "400 500 500 20000 bf16 4" \
    "400 100 100 20000 bf16 1" "200 500 500 20000 bf16 1" "104 500 500 20000 bf16 1" "100 50 50 20000 fp32 1" "400 1000 1000 20000 bf16 1"; do
    read -r cols own uniform batch precision partitions <<<"$setting"
    late && exit 0
    sed -e "s/^dimension.*/dimension: $cols/" -e "s/^batch:.*/batch: $batch/" -e "s/^batch_negatives.*/batch_negatives: $own/" \
      -e "s/^uniform_negatives.*/uniform_negatives: $uniform/" "$graphs/large.yaml" >"$graphs/setting.yaml"
    keep "time-d$cols-n$own+$uniform-b$batch-$precision-p$partitions" "$meshplan" validate run "$graphs/setting.yaml" --device cuda \
      --precision "$precision" --partitions "$partitions" --cluster "1x$gpu" --evaluate none --threads "$(nproc)" --save-every 0 --json
  done
  ;;
esac
rm -f "$out"/*.part
case $stage in 3 | 5 | 7) "${python[@]}" "$root/validate/gpu_predict.py" "$results" "$meshplan" >"$results/predictions.json" ;; esac
"${python[@]}" "$root/validate/gpu_summary.py" "$results" | tee "$results/summary.json"
[ $failed = 0 ] || exit 5
