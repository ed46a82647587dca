#!/usr/bin/env bash
# Every block of grammar/README.md marked `hone check` is a program that `hone check` accepts without a warning.
set -eu
hone=$1
reference=$(dirname "$0")/../../grammar/README.md
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
awk -v dir="$dir" '/^```hone check$/ { n++; file = dir "/" n ".hone"; inside = 1; next }
                   /^```$/ { inside = 0 } inside { print > file }' "$reference"
count=0
for file in "$dir"/*.hone; do
  "$hone" check --werror "$file" >"$dir/out" 2>&1 || { cat "$file" "$dir/out"; exit 1; }
  count=$((count + 1))
done
[ "$count" -ge 12 ]
# The table of codes is that of diag.def.
sed -n 's/^DIAG(\([A-Z][0-9]*\), "\(.*\)",$/| \1 | \2 |/p' "$(dirname "$0")/../../compiler/base/diag.def" >"$dir/codes"
[ "$(wc -l <"$dir/codes")" -ge 75 ]
grep -E '^\| [EWN][0-9]+ \| ' "$reference" | diff "$dir/codes" -
