#!/usr/bin/env bash
# The same bits for 1, 2, 3 and 8 threads and in a repeat; resume.sh kills and goes on.
set -eu
hone=$1
here=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cp "$here"/../samples/digits/*.{hone,npz} "$work"
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

# Attention, whose backward pass sums over blocks of rows: many heads, few threads.
cp "$here"/data/parity/text.hone "$here"/data/parity/{gpt2,bert}.{npz,safetensors} .
for model in gpt2 bert; do
  want=
  for threads in 1 2 3 8; do
    "$hone" run text.hone ${model}_sgd --quiet --out "$model$threads" --threads $threads
    got=$(sum $model-after.safetensors)
    [ "${want:=$got}" = "$got" ] || { echo "$model, $threads threads: other bits"; exit 1; }
    rm $model-after.safetensors
  done
done
