#!/usr/bin/env bash
# samples/text in short: what was learned from prose helps with code.
set -eu
hone=$1
from=$(cd "$(dirname "$0")/../../samples/text" && pwd)
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cp "$from"/*.hone "$work"
"$from"/make_data "$work"
cd "$work"
bits() { grep -o '"bits": *[0-9.]*' "$1/metrics.jsonl" | tail -n 1 | sed 's/.*: *//'; }
"$hone" run pretrain.hone --epochs 2 --out prose --quiet
"$hone" run finetune.hone code --epochs 1 --out code --quiet
"$hone" run finetune.hone scratch --epochs 1 --out scratch --quiet
awk -v prose="$(bits prose)" -v code="$(bits code)" -v scratch="$(bits scratch)" 'BEGIN {
  print "bits a byte: prose " prose ", code " code ", code from scratch " scratch
  exit !(prose < 5.5 && code < scratch - 0.2) }'
"$hone" eval finetune.hone code --weights code.safetensors
