#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Gives launch files to the parsers and validators of their own trainers: those of plans.txt have to be accepted, those
# of negative.txt show where meshplan and the trainer agree. Needs the trainers' packages, so it is no part of the test
# suite.
# usage: tests/trainers.sh path/to/meshplan path/to/python [TRAINER...]
# The packages (CPU is enough): torch deepspeed accelerate megatron-core nanotron torchtitan torchdata transformers
# grain datasets dacite tyro spmd_types omegaconf hydra-core. Environment: MEGATRON, TORCHTITAN (0.4), TORCHTITAN_0_2,
# NANOTRON, BRIDGE (with MEGATRON): checkouts for the releases that are not on PyPI.
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
chosen() { [ "$only" = "  " ] || [[ $only == *" $1 "* ]]; }

# ask TRAINER RELEASE FILE CLUSTER: notes a question to the trainer itself
ask() {
  local nodes=${4%%x*} rest=${4#*x}
  echo "$3 $((nodes * ${rest%%x*}))" >>"$work/ask.$1.$2"
}
# answers TRAINER RELEASE: the trainer's own words to all of its questions
answers() {
  local variable=
  case $1-$2 in
    torchtitan-0.4) variable=TORCHTITAN=${TORCHTITAN:-} ;;
    torchtitan-0.3) variable=TORCHTITAN= ;;
    torchtitan-0.2) variable=TORCHTITAN=${TORCHTITAN_0_2:-} ;;
    megatron-lm-0.20) variable=MEGATRON=${MEGATRON:-} ;;
    megatron-lm-0.19) variable=MEGATRON= ;;
    megatron-bridge-*) variable=BRIDGE=${BRIDGE:-} ;;
    nanotron-*) variable=NANOTRON=${NANOTRON:-} ;;
  esac
  case $1-$2=${variable#*=} in
    torchtitan-0.[24]= | megatron-lm-0.20= | megatron-bridge-*= | nanotron-*=)
      awk -v v="${variable%%=*}" '{ print $1 "\tabsent: " v " is not set" }' "$work/ask.$1.$2" ;;
    *) env ${variable:+"$variable"} "$python" tests/trainers/validate.py "$1" <"$work/ask.$1.$2" 2>"$work/said.$1.$2" ;;
  esac
}
answer_to() { awk -F '\t' -v f="$1" '$1 == f { print $2 }' "$work/answers"; }

while read -r id trainer model cluster flags; do
  chosen "$trainer" || continue
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
    ask "$trainer" "$release" "$file" "$cluster"
    printf '%s|%s|%s|%s\n' "$id" "$trainer $release" "$same" "$file" >>"$work/plans"
  done
done < <(grep -v '^#' tests/trainers/plans.txt)

if chosen pbg; then
  # shellcheck disable=SC2046
  said=$("$meshplan" launch pbg tests/trainers/graph.yaml $(graph_plan) -o "$work/pbg" | sed -n '1s/.*pbg 1.0, //p')
  read_back=$("$meshplan" import pbg "$work/pbg/config.py" -o "$work/back.yaml" 2>/dev/null | sed 's/.*yaml: //')
  same=same
  [ "$said" = "$read_back" ] || same=differs
  ask pbg 1.0 "$work/pbg/config.py" 8x1xH100
  printf '%s|%s|%s|%s\n' pbg-freebase "pbg 1.0" "$same" "$work/pbg/config.py" >>"$work/plans"
fi

number=0
touch "$work/rules"
while IFS='|' read -r base release rule edit _ expected; do
  plan_line "$base"
  chosen "$trainer" || continue
  file=$work/$base-$release/$(config_file "$trainer" "$release")
  number=$((number + 1))
  broken=$work/broken-$number.${file##*.}
  sed -E "$edit" "$file" >"$broken"
  # shellcheck disable=SC2046,SC2086
  found=$("$meshplan" check --trainer "$trainer" --trainer-version "$release" "$broken" --model "$model" \
    --cluster "$cluster" $(beside $flags) 2>/dev/null | grep -c "rule    $rule (")
  ours=refuses
  [ "$found" != 0 ] || ours=takes
  ask "$trainer" "$release" "$broken" "$cluster"
  printf '%s|%s|%s|%s|%s\n' "$trainer $release" "$rule" "$ours" "$expected" "$broken" >>"$work/rules"
done < <(grep -v '^#' tests/trainers/negative.txt)

for list in "$work"/ask.*; do
  question=${list#"$work"/ask.}
  answers "${question%%.*}" "${question#*.}"
done >"$work/answers"

printf '%-14s %-20s %-10s %s\n' plan trainer 'plan back' "trainer's own validator"
while IFS='|' read -r id trainer same file; do
  verdict=$(answer_to "$file")
  printf '%-14s %-20s %-10s %s\n' "$id" "$trainer" "$same" "$verdict"
  [[ $same == same && $verdict != refused* && -n $verdict ]] || failures=$((failures + 1))
done <"$work/plans"

printf '\n%-20s %-22s %-10s %-10s %s\n' trainer rule meshplan expected "trainer's own validator"
agree=0 all=0
while IFS='|' read -r trainer rule ours expected broken; do
  verdict=$(answer_to "$broken")
  word=takes
  [[ $verdict != refused* ]] || word=refuses
  [[ $verdict != absent* ]] || word=absent
  [ "$ours" = refuses ] || failures=$((failures + 1))
  if [ $word != absent ]; then
    all=$((all + 1))
    [ "$word" != refuses ] || agree=$((agree + 1))
    # What is only found when a step runs is accepted by the validator.
    [ "$word" = "${expected/later/takes}" ] || failures=$((failures + 1))
  fi
  printf '%-20s %-22s %-10s %-10s %s\n' "$trainer" "$rule" "$ours" "$expected" "$verdict"
done <"$work/rules"
echo
echo "$agree of $all broken configurations are refused by the trainer's own validator, too; the others it takes"
echo "(in silence, with a warning, or until a step runs): column 'expected' says which. Not as expected: $failures"
cat "$work"/said.* 2>/dev/null | grep -i 'error' | sort | uniq -c | sort -rn | head -5 >&2
[ "$failures" = 0 ]
