# SPDX-License-Identifier: Apache-2.0
# Sourced: reads tests/trainers/plans.txt and negative.txt.
trainers=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# releases TRAINER: those that files can be written for, newest first
releases() {
  case $1 in
    accelerate) echo 1.15 ;;
    deepspeed) echo 0.19 ;;
    megatron-bridge) echo 0.7 ;;
    megatron-lm) echo 0.20 0.19 ;;
    meshplan) echo 0.1 ;;
    nanotron) echo 0.4 ;;
    torchtitan) echo 0.4 0.3 0.2 ;;
  esac
}
# config_file TRAINER RELEASE: name of the configuration in the folder
config_file() {
  case $1-$2 in
    accelerate-*) echo accelerate.yaml ;;
    deepspeed-*) echo deepspeed.json ;;
    megatron-bridge-*) echo overrides.sh ;;
    megatron-lm-*) echo flags.sh ;;
    meshplan-*) echo plan.yaml ;;
    nanotron-*) echo nanotron.yaml ;;
    torchtitan-0.2) echo meshplan.toml ;;
    torchtitan-*) echo meshplan_recipe.py ;;
  esac
}
# graph_plan: flags of `meshplan launch pbg` for graph.yaml
graph_plan() { echo --partitions 16 --ranks 8 --threads 40; }
# plan_line ID: sets id trainer model cluster flags
plan_line() {
  read -r id trainer model cluster flags < <(grep -E "^$1 " "$trainers/plans.txt")
}
# beside FLAGS...: what check and import have to be told beside a file
beside() {
  local flags=" $* "
  for flag in --seq --global-batch --micro-batch; do
    [[ $flags =~ \ $flag\ ([0-9]+)\  ]] && echo "$flag ${BASH_REMATCH[1]}"
  done
  [[ $flags =~ \ --recompute\ ([a-z]+)\  ]] && echo "--recompute ${BASH_REMATCH[1]}"
}
# strategy_of PLAN_FILE: without what means nothing in it
strategy_of() {
  sed -n '/^strategy:/,/^model:/p' "$1" | awk '/^  tp: 1$/ { one = 1 } !(one && /sequence_parallel/)'
}
# golden_pairs TRAINER RELEASE ID FOLDER: "golden file, written file" for each file of the folder that has to stay
# as it is, to the byte: the configuration of every plan, of the 8B plans the scripts and the README, too
golden_pairs() {
  local at file
  at=$(cd "$trainers/.." && pwd)/golden/launch/$1-$2
  file=$(config_file "$1" "$2")
  [ "$1" = meshplan ] || echo "$at/$3.${file##*.} $4/$file"
  [[ $3 == *-8b ]] || return 0
  for file in "$4"/*.sh "$4/README.md"; do
    [ "$(basename "$file")" = "$(config_file "$1" "$2")" ] || echo "$at/$3.$(basename "$file") $file"
  done
}
