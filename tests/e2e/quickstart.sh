#!/usr/bin/env bash
# The first command of README.md, word for word, in a fresh clone: builds, trains, ends with the table that
# README.md shows, and leaves nothing that git would see. (The second command is what runs this test.)
set -eu
hone=$1
here=$(cd "$(dirname "$0")/../.." && pwd)
[ -e "$here/.git" ] || { echo 'skipped: no repository to clone'; exit 0; }
if grep -aqE '__asan_init|__tsan_init' "$hone"; then echo 'skipped: once, beside the release build'; exit 0; fi
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
git clone -q "$here" "$work/hone"
cd "$work/hone"
command=$(sed -n 's|^    \(./samples/quickstart\) .*|\1|p' README.md)
[ "$command" = ./samples/quickstart ]
$command >out 2>err || { cat out err; exit 1; }
rm err
# rows FILE: the words of the table, without the figures
rows() { sed -n 's/^ *\(all ten digits\|the five old\|both trainings\|peak memory\|weights  \|next:\)/\1/p' "$1" | sed 's/[0-9.]* \(%\|s\|MiB\)$//'; }
diff <(rows out) <(rows <(sed '/^## /,$d' README.md)) || { echo 'README.md shows another table'; exit 1; }
[ "$(sed -n 's/^  weights  *//p' out | xargs ls)" = samples/digits/digits.safetensors ]
rm out
[ -z "$(git status --porcelain)" ] || { echo 'left behind:'; git status --short; exit 1; }
