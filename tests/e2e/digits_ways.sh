#!/usr/bin/env bash
# samples/digits: the ways to fine-tune (ways.hone) and to keep what was known (keep.hone), in short.
#   digits_ways.sh HONE
set -eu
hone=$(realpath "$1")
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cp "$(dirname "$0")"/../../samples/digits/*.{hone,npz} "$work"
cd "$work"
last() { grep -o "\"$2\": *[-0-9.e+]*" "runs/$1/metrics.jsonl" | tail -n 1 | sed 's/.*: *//'; }
holds() { awk "BEGIN { exit !($1) }" || { echo "not so: $2: $1"; exit 1; }; }

"$hone" run pretrain.hone --quiet
"$hone" run keep.hone --epochs 5 --quiet
for name in plain near weighted echo twice; do
  printf '%-9s learnt %.3f  kept %.3f\n' $name "$(last $name learnt)" "$(last $name kept)"
  holds "$(last $name learnt) > 0.7" "$name learns 5-9"
done
holds "$(last plain kept_change) < -0.3" 'without care 0-4 are forgotten'
for name in near weighted echo; do
  holds "$(last $name kept) > $(last plain kept) + 0.2" "$name keeps more"
done

"$hone" run ways.hone head depth gradual adapter --epochs 4 --quiet
"$hone" run ways.hone student --epochs 10 --quiet
for name in head depth gradual adapter student; do
  printf '%-9s accuracy %.3f\n' $name "$(last $name accuracy)"
done
holds "$(last head accuracy) > 0.6" 'a head alone'
for name in depth gradual adapter student; do
  holds "$(last $name accuracy) > $(last head accuracy)" "$name is better than a head alone"
done
# the adapter's file has nothing else, the merged one is a plain network of the same accuracy
[ "$("$hone" keys adapter.safetensors | awk 'NR > 1 && !/lora_|^fc/' | wc -l)" = 0 ]
want=$(last adapter accuracy)
got=$("$hone" eval ways.hone depth --weights adapted.safetensors --json | grep -o '"accuracy": *[0-9.]*' | sed 's/.*: *//')
holds "$got - $want < 0.003 && $want - $got < 0.003" 'merged weights in the plain network'
