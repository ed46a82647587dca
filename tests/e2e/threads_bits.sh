#!/usr/bin/env bash
# The same bits for 1, 2, 3 and 8 threads and in a repeat; resume.sh kills and goes on.
set -eu
hone=$1
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cp "$(dirname "$0")"/../../samples/digits/*.{hone,npz} "$work"
cd "$work"
sed -i 's/epochs *= 4/epochs = 1/; s/epochs *= 12/epochs = 2/' finetune.hone
sed -i 's/epochs *= 10/epochs = 2/' pretrain.hone

sum() { sha256sum <"$1" | cut -c1-64; }
"$hone" run pretrain.hone --quiet
"$hone" run finetune.hone --quiet --out one --threads 1
want=$(sum digits.safetensors)
for threads in 1 2 3 8; do
  rm digits.safetensors
  "$hone" run finetune.hone --quiet --out "t$threads" --threads $threads
  [ "$(sum digits.safetensors)" = "$want" ] || { echo "$threads threads: other bits"; exit 1; }
done
