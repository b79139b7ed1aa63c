#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Launch files of every trainer and release: the same bytes as the golden files, no finding in them,
# the same plan back. A broken configuration is named with its rule and the nearest legal value.
. "$(dirname "$0")/lib.sh"
. "$root/tests/trainers/lib.sh"

while read -r id trainer model cluster flags; do
  # shellcheck disable=SC2086
  run 0 simulate "$model" "$cluster" $flags --trainer "$trainer" --save "$work/$id.yaml"
  # shellcheck disable=SC2046
  told=(--model "$model" --cluster "$cluster" $(beside $flags))
  for release in $(releases "$trainer"); do
    folder=$work/$id-$release
    run 0 launch --trainer "$trainer" --trainer-version "$release" "$work/$id.yaml" -o "$folder"
    out_lacks "not said"
    file=$(config_file "$trainer" "$release")
    [ -x "$folder/slurm.sh" ] || problem "slurm.sh is not executable"
    for script in "$folder"/*.sh; do bash -n "$script" || problem "$script is no shell script"; done
    while read -r known written; do
      cmp -s "$known" "$written" || problem "$written is not $known (tests/trainers/golden.sh writes them)"
    done < <(golden_pairs "$trainer" "$release" "$id" "$folder")
    [ "$trainer" = meshplan ] && continue
    run 0 check --trainer "$trainer" --trainer-version "$release" "$folder/$file" "${told[@]}"
    run 0 import --trainer "$trainer" --trainer-version "$release" "$folder/$file" "${told[@]}" \
      -o "$work/back.yaml"
    cmp -s <(strategy_of "$work/$id.yaml") <(strategy_of "$work/back.yaml") ||
      problem "the plan read back differs: $(diff <(strategy_of "$work/$id.yaml") \
        <(strategy_of "$work/back.yaml") | tr '\n' ' ')"
  done
done < <(grep -v '^#' "$root/tests/trainers/plans.txt")
run 0 simulate "$work/back.yaml"
# torchtitan does not compile unless told to: another trainer then.
machine=(--cluster 2x8xH100 --global-batch 64)
sed 's/enable=True/enable=False/' "$work/tt-8b-0.4/meshplan_recipe.py" >"$work/eager.py"
sed '/^# Priced/,/^# memory/d;/^\[compile\]/,$s/= true/= false/' "$work/tt-8b-0.2/meshplan.toml" >"$work/eager.toml"
for file in eager.py eager.toml tt-8b-0.4/meshplan_recipe.py; do
  release=0.4
  [ "$file" != eager.toml ] || release=0.2
  run 0 import --trainer torchtitan --trainer-version $release "$work/$file" "${machine[@]}" -o "$work/back.yaml"
  trainer=torchtitan said=0
  [ "${file%%.*}" != eager ] || trainer=torchtitan-eager said=1
  [ "$file" != eager.toml ] || trainer=torchtitan-eager-2025
  [ "$(grep -c "not compiled" "$work/err")" = $said ] || problem "$file: is it compiled?"
  grep -q "^trainer: \"$trainer\"\$" "$work/back.yaml" || problem "$file: not $trainer's plan"
  run 0 launch --trainer-version $release "$work/back.yaml" -o "$work/again" --force
  cmp -s "$work/$file" "$work/again/$(config_file torchtitan $release)" || problem "$file is written otherwise"
done
# What a file turns on or off stands in the plan, and in the file that the plan gives.
settings_of() {
  sed -n '/^trainer_settings:/,/^strategy:/p' "$1" |
    awk '/^  [a-z]/ { section = substr($1, 1, length($1) - 1) }
         /^    / { sub(/^ +/, ""); printf "%s%s.%s", comma, section, $0; comma = ", " }'
}
words_of() { tr -s ', \n' '\n' <"$1" | sort; }
while IFS='|' read -r base release edit expected; do
  plan_line "$base"
  file=$(config_file "$trainer" "$release")
  # shellcheck disable=SC2046
  told=(--model "$model" --cluster "$cluster" $(beside $flags))
  mkdir -p "$work/edited"
  sed "$edit" "$work/$base-$release/$file" >"$work/edited/$file"
  run 0 import --trainer "$trainer" --trainer-version "$release" "$work/edited/$file" "${told[@]}" \
    -o "$work/back.yaml"
  found=$(settings_of "$work/back.yaml")
  [ "$found" = "$expected" ] || problem "$edit gives '$found', not '$expected'"
  err_has "${expected%%,*}"
  run 0 simulate "$work/back.yaml"
  out_has "trainer set to: ${expected%%,*}"
  run 0 launch --trainer-version "$release" "$work/back.yaml" -o "$work/again" --force
  out_lacks "not said"
  cmp -s <(words_of "$work/edited/$file") <(words_of "$work/again/$file") ||
    problem "$edit is written otherwise: $(diff <(words_of "$work/edited/$file") <(words_of "$work/again/$file") | tr '\n' ' ')"
done < <(grep -v '^#' "$root/tests/trainers/mechanisms.txt")
# Recipes: the precision that a helper is called with, the model by its name on the hub.
cat >"$work/recipe.py" <<'PYTHON'
def low(precision):
    made = get_mixed_precision_config(precision)
    cfg = common()
    cfg.model = AutoBridge.from_hf_pretrained("Qwen/Qwen2.5-7B").to_megatron_provider(load_weights=False)
    cfg.model.tensor_model_parallel_size = 2
    cfg.dataset.seq_length = 4096
    cfg.train.global_batch_size = 64
    cfg.train.micro_batch_size = 1
    cfg.mixed_precision = made
    return cfg
def eight_bit():
    return low("bf16_with_fp8_current_scaling_mixed")
PYTHON
run 0 import --trainer megatron-bridge "$work/recipe.py" --entry eight_bit --cluster 1x8xH100 -o "$work/back.yaml"
! grep -q "no such key" "$work/err" || problem "an argument of a method is taken for a key"
grep -q '^  compute: fp8$' "$work/back.yaml" || problem "the helper's precision is not read"
grep -q '^  id: "qwen2.5-7b"$' "$work/back.yaml" || problem "the hub's name is not read"
printf '%s\n' 'def bench():' '    cfg = llama3_70b_pretrain_config()' '    cfg.mixed_precision = _perf_precision("fp8_cs")' \
  '    cfg.train.global_batch_size = 64' '    return cfg' >"$work/perf.py"
run 0 import --trainer megatron-bridge "$work/perf.py" --cluster 1x8xH100 --seq 8192 -o "$work/back.yaml"
err_has "begins with llama3_70b_pretrain_config() of another file"
grep -q '^  id: "llama3-70b"$' "$work/back.yaml" || problem "the recipe that it begins with is not read"
grep -q '^  compute: fp8$' "$work/back.yaml" || problem "fp8_cs is not read"
sed 's/llama3_70b_/gpt_oss_120b_/' "$work/perf.py" >"$work/perf2.py"
run 0 import --trainer megatron-bridge "$work/perf2.py" --cluster 8x8xH100 --seq 4096 -o "$work/back.yaml"
grep -q '^  id: "gpt-oss-120b"$' "$work/back.yaml" || problem "the name of that recipe is not read"
sed 's/attn_backend="flex",/& converters=[MXFP8LinearConverter.Config(model_compile_enabled=True)],/' \
  "$work/tt-8b-0.4/meshplan_recipe.py" >"$work/mx.py"
run 0 import --trainer torchtitan --trainer-version 0.4 "$work/mx.py" "${machine[@]}" -o "$work/back.yaml"
grep -q '^  compute: fp8$' "$work/back.yaml" || problem "MXFP8 linear layers are not read"
# A recipe with a comm_overlap sets anew what ddp says.
sed 's/ddp.overlap_grad_reduce=true/ddp.overlap_grad_reduce=false/' "$work/mb-70b-0.7/overrides.sh" >"$work/ddp.sh"
run 0 import --trainer megatron-bridge "$work/ddp.sh" --cluster 64x8xH100 -o "$work/back.yaml"
[ -z "$(settings_of "$work/back.yaml")" ] || problem "ddp prevails over comm_overlap"
err_has "comm_overlap sets it anew"
# A setting that the trainer's file has no word for is named, with its price.
sed 's/^strategy:/trainer_settings: {overlap: {bucket_bytes: 1e6}}\n&/' "$work/nt-8b.yaml" >"$work/odd.yaml"
run 0 launch "$work/odd.yaml" -o "$work/again" --force
out_has "not said    trainer_settings overlap.bucket_bytes: 1e6 in the plan"
sed 's/^strategy:/trainer_settings: {overlap: {grad_redduce: false}}\n&/' "$work/nt-8b.yaml" >"$work/odd.yaml"
run 4 simulate "$work/odd.yaml"
err_has "did you mean 'grad_reduce'"
graph=$root/tests/trainers/graph.yaml
# shellcheck disable=SC2046
run 0 launch pbg "$graph" $(graph_plan) -o "$work/pbg"
out_has "not said    order of buckets"
for file in README.md config.py train.sh; do
  cmp -s "$root/tests/golden/launch/pbg-1.0/$file" "$work/pbg/$file" || problem "pbg/$file is not the golden one"
done
run 0 import pbg "$work/pbg/config.py"
out_has "dimension: 400"
run 3 launch pbg "$graph" --partitions 8 --ranks 8 -o "$work/pbg2"
err_has "16 partitions"
sed 's/batch: 10000/batch: 10001/' "$graph" >"$work/odd.yaml"
run 3 launch pbg "$work/odd.yaml" --partitions 8 -o "$work/pbg2"
err_has "batch-by-negatives (pbg)"
err_has "10500"
run 2 launch pbg "$graph" -o "$work/pbg"

# Rules: each has a configuration that breaks it.
while IFS='|' read -r base release rule edit nearest _; do
  plan_line "$base"
  file=$(config_file "$trainer" "$release")
  sed -E "$edit" "$work/$base-$release/$file" >"$work/broken.${file##*.}"
  cmp -s "$work/broken.${file##*.}" "$work/$base-$release/$file" && problem "$base $rule: no edit"
  # shellcheck disable=SC2046
  run 5 check --trainer "$trainer" --trainer-version "$release" "$work/broken.${file##*.}" \
    --model "$model" --cluster "$cluster" $(beside $flags)
  out_has "rule    $rule ("
  grep -A1 -F "rule    $rule (" "$work/out" | grep -qF -- "$nearest" ||
    problem "$base $rule: the nearest is not '$nearest'"
done < <(grep -v '^#' "$root/tests/trainers/negative.txt")
"$meshplan" list config-rules 2>/dev/null | awk 'NR > 1 && /^[^ ]/ { print $1 }' >"$work/rules"
[ -s "$work/rules" ] || problem "no configuration rules are listed"
while read -r rule; do
  grep -qE "^[^|]*\|[^|]*\|${rule#*/}\|" "$root/tests/trainers/negative.txt" ||
    problem "no configuration breaks $rule"
done <"$work/rules"

# Nothing is overwritten unasked, nothing foreign is touched.
run 2 launch --trainer megatron-lm "$work/ml-8b.yaml" -o "$work/ml-8b-0.20"
err_has "--force"
echo mine >"$work/ml-8b-0.20/mine.txt"
run 0 launch --trainer megatron-lm "$work/ml-8b.yaml" -o "$work/ml-8b-0.20" --force --json
out_has '"schema": "meshplan.launch/1"'
[ "$(cat "$work/ml-8b-0.20/mine.txt")" = mine ] || problem "a file that was there is gone"
[ ! -e "$work/ml-8b-0.20.partial" ] || problem "something half written was left"
# What a trainer has no words for is listed with its price, or refused by the rule.
run 0 launch --trainer megatron-bridge "$work/ml-70b.yaml" -o "$work/other"
sed 's/reshard_after_forward: true/reshard_after_forward: false/' "$work/ml-8b-2.yaml" >"$work/kept.yaml"
run 3 launch --trainer megatron-lm "$work/kept.yaml" -o "$work/kept"
err_has "always-reshards"
sed 's/^  layer_split: .*/  layer_split: [20, 20, 20, 20]/' "$work/nt-70b.yaml" >"$work/even.yaml"
run 0 launch --trainer nanotron "$work/even.yaml" -o "$work/even"
out_has "not said    --layer-split"
out_has "that costs"
run 3 launch --trainer torchtitan "$work/ml-8b.yaml" -o "$work/never"
err_has "fully-sharded-only (torchtitan)"
[ ! -e "$work/never" ] || problem "a refused plan left files"
run 2 launch --trainer megatron "$work/ml-8b.yaml" -o "$work/never" --trainer-version 9.9
err_has "known: "
run 2 launch --trainer nanotro "$work/nt-8b.yaml" -o "$work/never"
err_has "did you mean 'nanotron'?"
run 2 check --trainer megatron-lm
run 4 check --trainer nanotron "$work/absent.yaml"
printf 'a: [1\n' >"$work/bad.yaml"
run 4 check --trainer nanotron "$work/bad.yaml"
err_has "bad.yaml:"
run 2 import --trainer deepspeed "$work/ds-8b-0.19/deepspeed.json"
err_has "--model"
run 5 check --trainer deepspeed "$work/ds-8b-0.19/deepspeed.json" --cluster 3x8xH100 --json
out_has '"schema": "meshplan.check/1"'
out_has '"rule": "batch-product (deepspeed)"'

# Topologies, by file and from Slurm.
printf 'SwitchName=leaf0 Nodes=n[0-3]\nSwitchName=leaf1 Nodes=n[4-7]\nSwitchName=top Switches=leaf[0-1]\n' \
  >"$work/topology.conf"
run 0 import "$work/topology.conf" --gpu H100 --gpus-per-node 8 -o "$work/cluster.yaml"
run 0 show "$work/cluster.yaml"
out_has "64 = 8 nodes x 8"
mkdir "$work/bin"
cat >"$work/bin/scontrol" <<'FAKE'
#!/bin/sh
case "$*" in
  "show topology") printf 'SwitchName=leaf0 Level=0 LinkSpeed=1 Nodes=n[0-3]\nSwitchName=leaf1 Level=0 LinkSpeed=1 Nodes=n[4-7]\nSwitchName=top Level=1 LinkSpeed=1 Nodes=n[0-7] Switches=leaf[0-1]\n' ;;
  *) echo 'NodeName=n0 Arch=x86_64 Gres=gpu:h100:8(S:0-1) State=IDLE' ;;
esac
FAKE
chmod +x "$work/bin/scontrol"
PATH=$work/bin:$PATH run 0 import --from-slurm -o "$work/slurm.yaml"
cmp -s <(grep -vE '^(id|name|source):' "$work/cluster.yaml") <(grep -vE '^(id|name|source):' "$work/slurm.yaml") ||
  problem "Slurm's answer is another cluster than its file"
PATH=/nowhere run 6 import --from-slurm 2>/dev/null
run 2 import
finish
