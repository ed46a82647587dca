#!/usr/bin/env bash
# hone keys and hone groups: what they print, and what they say of bad input.   keys_groups.sh HONE
set -u
hone=$1
here=$(cd "$(dirname "$0")" && pwd)
samples=$here/../../samples
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. "$(dirname "$0")/../support/expect.sh"
digits=$samples/digits/finetune.hone
expect 0 'block2.shortcut.0.weight        f32    [32, 16, 1, 1]' "$hone" keys "$digits"
expect 0 '{"key": "bn1.running_mean", "dtype": "f32", "shape": [16], "kind": "state"}' \
  "$hone" keys "$digits" --json
expect 0 'image  |u1' "$hone" keys "$samples/digits/train.npz"
expect 0 'AdamW(lr = lr * cosine(progress, 0.1)' "$hone" groups "$digits"
expect 0 'frozen' "$hone" groups "$digits"
expect 0 'digits · stage full' "$hone" groups "$digits" digits --lr 1e-4
expect 0 '"stage": "head", "parameters": 330' "$hone" groups "$digits" --json
expect 0 '--lr NUMBER' "$hone" groups "$digits" --help
expect 0 'flowers · stage full' "$hone" groups "$samples/flowers/flowers.hone" --seed 3
# bad input
expect 2 'did you mean `--lr`?' "$hone" groups "$digits" --lrr 1
expect 2 '`--lr abc` is not a float' "$hone" groups "$digits" --lr abc
expect 2 'has no finetune item `nothing`' "$hone" groups "$digits" nothing
expect 2 'cannot read' "$hone" groups "$work/nothing.hone"
expect 2 'has no finetune item' "$hone" keys "$samples/digits/net.hone"
expect 3 'no such file' "$hone" keys "$work/nothing.safetensors"
expect 2 'wants a recipe file' "$hone" keys
printf 'not a weights file' >"$work/bad.safetensors"
expect 3 'E703' "$hone" keys "$work/bad.safetensors"
sed 's/cosine(/cosign(/' "$digits" >"$work/bad.hone"
cp "$samples/digits/net.hone" "$work"
expect 2 'did you mean `cosine`?' "$hone" groups "$work/bad.hone" --root "$samples/digits"
expect 2 '"code":"E101"' "$hone" groups "$work/bad.hone" --root "$samples/digits" --json
# the keys of a model are shown also while its weights do not fit: they are what a rename needs
expect 0 'fc2.weight' "$hone" keys "$here/../golden/model/e403_missing.hone"
expect 2 'E403' "$hone" groups "$here/../golden/model/e403_missing.hone"
expect 2 'E106' "$hone" keys "$here/../golden/model/e106_module.hone"
exit $failed
