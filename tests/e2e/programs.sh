#!/usr/bin/env bash
# programs/: fine-tunes written from the language reference alone. Every one passes the check without a
# warning, and some run; a file with several recipes runs all.   programs.sh HONE
set -u
hone=$(realpath "$1")
here=$(cd "$(dirname "$0")/../programs" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$here"/* "$work"
cd "$work"
failed=0
for file in *.hone; do
  "$hone" check --werror --quiet "$file" >out 2>&1 || { echo "FAILED check $file"; cat out; failed=1; }
done
[ "$(ls *.hone | wc -l)" -ge 56 ] || failed=1
for name in attention distill gru lora_mlp thaw unet vae weighted ewc houlsby multitask one_sided ranking \
            squeeze_excite transfer two_towers; do
  rm -rf runs
  "$hone" run --quiet "$name.hone" >out 2>&1 || { echo "FAILED run $name"; cat out; failed=1; }
  grep -q '"loss"' runs/*/metrics.jsonl || { echo "FAILED $name: no loss in its metrics"; failed=1; }
done
exit $failed
