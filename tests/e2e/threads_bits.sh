#!/usr/bin/env bash
# The same bits for 1, 2, 3 and 8 threads, in a repeat, and after kill -9 at any time plus --resume.
set -eu
hone=$1
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cp "$(dirname "$0")"/../../samples/digits/* "$work"
cd "$work"
sed -i 's/epochs = 4/epochs = 1/; s/epochs  = 12/epochs = 2/' finetune.hone
sed -i 's/epochs  = 10/epochs = 2/' pretrain.hone

sum() { sha256sum <"$1" | cut -c1-64; }
"$hone" run pretrain.hone --quiet
"$hone" run finetune.hone --quiet --out one --threads 1
want=$(sum digits.safetensors)
for threads in 1 2 3 8; do
  rm digits.safetensors
  "$hone" run finetune.hone --quiet --out "t$threads" --threads $threads
  [ "$(sum digits.safetensors)" = "$want" ] || { echo "$threads threads: other bits"; exit 1; }
done

for delay in 0.15 0.2 0.25 0.3 0.4 0.5; do
  rm -f digits.safetensors
  "$hone" run finetune.hone --quiet --out killed --threads 2 & pid=$!
  sleep $delay
  kill -9 $pid 2>/dev/null || true
  wait $pid 2>/dev/null || true
  [ ! -s killed/metrics.jsonl ] || head -n -1 killed/metrics.jsonl | while read -r line; do
    case $line in "{"*"}") ;; *) echo "not a whole record: $line"; exit 1 ;; esac
  done
  if [ ! -e digits.safetensors ]; then
    "$hone" run finetune.hone --quiet --out killed --threads 3 --resume
  fi
  [ "$(sum digits.safetensors)" = "$want" ] || { echo "killed after $delay s: other bits"; exit 1; }
  rm -rf killed
done
