#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Gives launch files to the parsers and validators of their own trainers: those of plans.txt have to
# be accepted, those of negative.txt show where meshplan and the trainer agree. Needs the trainers'
# packages, so it is no part of the test suite.
# usage: tests/trainers.sh path/to/meshplan path/to/python [ID...]
# The packages (CPU is enough): torch deepspeed accelerate megatron-core nanotron torchtitan
# torchdata transformers datasets dacite tyro spmd_types. Environment: MEGATRON, TORCHTITAN (0.4),
# TORCHTITAN_0_2, NANOTRON: checkouts for the releases that are not on PyPI.
set -uo pipefail
meshplan=$(realpath "$1")
python=$2
shift 2
cd "$(dirname "$0")/.."
. tests/trainers/lib.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
only=" $* "

# judged TRAINER RELEASE FILE CLUSTER: the trainer's own word
judged() {
  local nodes=${4%%x*} rest=${4#*x} variables=()
  [ "$1-$2" = torchtitan-0.4 ] && variables=("TORCHTITAN=${TORCHTITAN:-/absent}")
  [ "$1-$2" = torchtitan-0.3 ] && variables=("TORCHTITAN=")
  [ "$1-$2" = torchtitan-0.2 ] && variables=("TORCHTITAN=${TORCHTITAN_0_2:-/absent}")
  [ "$1-$2" = megatron-lm-0.20 ] && variables=("MEGATRON=${MEGATRON:-/absent}")
  [ "$1-$2" = megatron-lm-0.19 ] && variables=("MEGATRON=")
  for variable in "${variables[@]}"; do
    [ "${variable#*=}" != /absent ] || { echo "absent: ${variable%%=*} is not set"; return 6; }
  done
  env "${variables[@]}" timeout 300 "$python" tests/trainers/validate.py "$1" "$3" \
    $((nodes * ${rest%%x*})) 2>/dev/null | tail -1
  return "${PIPESTATUS[0]}"
}

printf '%-14s %-20s %-10s %s\n' plan trainer 'plan back' "trainer's own validator"
while read -r id trainer model cluster flags; do
  [ "$only" = "  " ] || [[ $only == *" $id "* ]] || continue
  # shellcheck disable=SC2086
  "$meshplan" simulate "$model" "$cluster" $flags --trainer "$trainer" --save "$work/$id.yaml" >/dev/null
  for release in $(releases "$trainer"); do
    folder=$work/$id-$release
    file=$folder/$(config_file "$trainer" "$release")
    "$meshplan" launch --trainer "$trainer" --trainer-version "$release" "$work/$id.yaml" -o "$folder" >/dev/null
    [ "$trainer" = meshplan ] && continue
    # shellcheck disable=SC2046,SC2086
    "$meshplan" import --trainer "$trainer" --trainer-version "$release" "$file" --model "$model" \
      --cluster "$cluster" $(beside $flags) -o "$work/back.yaml" 2>/dev/null
    same=same
    cmp -s <(strategy_of "$work/$id.yaml") <(strategy_of "$work/back.yaml") || same=differs
    verdict=$(judged "$trainer" "$release" "$file" "$cluster")
    printf '%-14s %-20s %-10s %s\n' "$id" "$trainer $release" "$same" "$verdict"
    [[ $verdict == refused* ]] && failures=$((failures + 1))
  done
done < <(grep -v '^#' tests/trainers/plans.txt)

printf '\n%-20s %-22s %-10s %-10s %s\n' trainer rule meshplan expected "trainer's own validator"
agree=0 all=0
while IFS='|' read -r base release rule edit _ expected; do
  [ "$only" = "  " ] || [[ $only == *" $base "* ]] || continue
  plan_line "$base"
  file=$work/$base-$release/$(config_file "$trainer" "$release")
  broken=$work/broken.${file##*.}
  sed -E "$edit" "$file" >"$broken"
  # shellcheck disable=SC2046,SC2086
  found=$("$meshplan" check --trainer "$trainer" --trainer-version "$release" "$broken" --model "$model" \
    --cluster "$cluster" $(beside $flags) 2>/dev/null | grep -c "rule    $rule (")
  ours=takes
  [ "$found" = 0 ] || ours=refuses
  verdict=$(judged "$trainer" "$release" "$broken" "$cluster")
  word=takes
  [[ $verdict == refused* ]] && word=refuses
  [[ $verdict == absent* ]] && word=absent
  [ "$ours" = refuses ] || failures=$((failures + 1))
  if [ $word != absent ]; then
    all=$((all + 1))
    [ "$word" = refuses ] && agree=$((agree + 1))
    [ "$word" = refuses ] || [ "$expected" != refuses ] || failures=$((failures + 1))
    [ "$word" = takes ] || [ "$expected" = refuses ] || failures=$((failures + 1))
  fi
  printf '%-20s %-22s %-10s %-10s %s\n' "$trainer $release" "$rule" "$ours" "$expected" "$verdict"
done < <(grep -v '^#' tests/trainers/negative.txt)
echo
echo "$agree of $all broken configurations are refused by the trainer's own validator, too; the others it takes"
echo "(in silence, with a warning, or until a step runs): column 'expected' says which. Not as expected: $failures"
[ "$failures" = 0 ]
