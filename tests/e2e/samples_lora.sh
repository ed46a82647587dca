#!/usr/bin/env bash
# samples/lora in short: what was learned from prose helps with code, to all of the network or to an adapter,
# which can be folded in.   samples_lora.sh HONE
set -eu
hone=$1
from=$(cd "$(dirname "$0")/../../samples/lora" && pwd)
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cp "$from"/{pretrain,code,adapter}.hone "$work"
"$from"/make_data "$work"
cd "$work"
bits() { grep -o '"bits": *[0-9.]*' "$1/metrics.jsonl" | tail -n 1 | sed 's/.*: *//'; }
"$hone" run pretrain.hone --epochs 2 --out prose --quiet
"$hone" run code.hone --epochs 1 --out code --quiet
"$hone" run adapter.hone --epochs 1 --out adapter --quiet
"$hone" run pretrain.hone --train code-train.txt --valid code-valid.txt --to scratch.safetensors --epochs 1 \
  --out scratch --quiet
awk -v prose="$(bits prose)" -v code="$(bits code)" -v adapter="$(bits adapter)" -v scratch="$(bits scratch)" 'BEGIN {
  print "bits a byte: prose " prose ", code " code ", adapter " adapter ", code from scratch " scratch
  exit !(prose < 5.5 && code < scratch - 0.2 && adapter < scratch - 0.2) }'
"$hone" eval code.hone --weights code.safetensors
# the adapter has PEFT's keys, and folded in it is a plain network that does the same
"$hone" keys adapter.safetensors | grep -q '^base_model.model.transformer.h.1.mlp.c_fc.lora_A.weight .*\[8, 64\]'
merged=$("$hone" eval code.hone --weights adapted.safetensors --json | grep -o '"bits": *[0-9.]*' | sed 's/.*: *//')
awk -v merged="$merged" -v adapter="$(bits adapter)" 'BEGIN { d = merged - adapter; exit !(d < 1e-5 && d > -1e-5) }'
