#!/usr/bin/env bash
# Every folder of samples/ has a README, its files have at most 40 lines, and each passes `hone check`,
# whether what other recipes make is there or not.   samples.sh HONE
set -u
hone=$(realpath "$1")
cd "$(dirname "$0")/../../samples" || exit 1
failed=0
fail() { echo "FAILED $*"; failed=1; }
for folder in */; do
  [ -s "$folder/README.md" ] || fail "$folder has no README"
  for file in "$folder"*.hone; do
    [ "$(wc -l <"$file")" -le 40 ] || fail "$file has more than 40 lines"
    said=$("$hone" check --werror "$file" 2>&1) || fail "$file"$'\n'"$said"
  done
done
exit $failed
