#!/usr/bin/env bash
# Every block of grammar/README.md marked `hone check` is a program that `hone check` accepts.
set -eu
hone=$1
reference=$(dirname "$0")/../../grammar/README.md
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
awk -v dir="$dir" '/^```hone check$/ { n++; file = dir "/" n ".hone"; inside = 1; next }
                   /^```$/ { inside = 0 } inside { print > file }' "$reference"
count=0
for file in "$dir"/*.hone; do
  "$hone" check "$file" >"$dir/out" 2>&1 || { cat "$file" "$dir/out"; exit 1; }
  count=$((count + 1))
done
[ "$count" -ge 5 ]
