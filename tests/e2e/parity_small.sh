#!/usr/bin/env bash
# A small network of every layer under several update rules: the losses of PyTorch, step by step.
set -eu
hone=$1
here=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cp "$here"/data/parity/small.hone "$here"/data/parity/small.npz "$work"
cd "$work"
for recipe in adamw sgd adam; do
  "$hone" run small.hone "$recipe" --out "run-$recipe" --quiet
  awk -v name="$recipe" -v tolerance=2e-5 -f "$here/support/compare_losses.awk" \
    "$here/data/parity/small.txt" "run-$recipe/metrics.jsonl"
done
