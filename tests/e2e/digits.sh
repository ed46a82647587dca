#!/usr/bin/env bash
# The main job of samples/digits: trains, fine-tunes, evaluates; a file changes only when it is whole.
set -eu
hone=$1
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cp "$(dirname "$0")"/../../samples/digits/*.{hone,npz} "$work"
cd "$work"

number() { grep -o "\"$2\": *[-0-9.e+]*" "$1" | tail -n 1 | sed 's/.*: *//'; }
at_least() { awk -v a="$2" -v b="$3" 'BEGIN { exit !(a >= b) }' || { echo "$1 is $2, wanted $3"; exit 1; }; }

"$hone" run pretrain.hone --quiet
"$hone" eval pretrain.hone --weights pretrained.safetensors --json >before.json
at_least 'accuracy on the old digits' "$(number before.json accuracy)" 0.97

"$hone" run finetune.hone --quiet
"$hone" eval finetune.hone --weights digits.safetensors --json >after.json
at_least 'accuracy on all digits' "$(number after.json accuracy)" 0.95
at_least 'accuracy on the known digits' "$(number after.json known)" 0.94
