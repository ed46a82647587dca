#!/usr/bin/env bash
# What every clause of a recipe becomes, as text beside it: the recipe (where tensors start, what trains
# how, what is saved) and the equations of its graphs. HONE_BLESS=1 rewrites the texts.   clauses.sh HONE
set -u
hone=$(realpath "$1")
cd "$(dirname "$0")/clauses" || exit 1
got=$(mktemp)
trap 'rm -f "$got"' EXIT
count=0 failed=0
for file in *.hone; do
  text=${file%.hone}.txt
  grep -q '^finetune' "$file" || continue
  { "$hone" check "$file" --dump recipe; "$hone" check "$file" --dump graph; } >"$got" 2>/dev/null
  [ -n "${HONE_BLESS:-}" ] && cp "$got" "$text"
  diff -u "$text" "$got" || { echo "$text differs: HONE_BLESS=1 rewrites it, git diff shows what changed"; failed=1; }
  count=$((count + 1))
done
[ $count -ge 24 ] || { echo "only $count files"; exit 1; }
exit $failed
