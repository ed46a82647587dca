#!/usr/bin/env bash
# The samples that go on from the network of samples/digits, in short: ways to fine-tune it, and to keep what
# it knew.   samples_digits.sh HONE
set -eu
hone=$(realpath "$1")
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$(dirname "$0")"/../../samples
cp -r digits head rates thaw lora distill keep "$work"
cd "$work"
rm -rf ./*/runs ./*/*.safetensors
last() { grep -o "\"$2\": *[-0-9.e+]*" "$1/metrics.jsonl" | tail -n 1 | sed 's/.*: *//'; }
holds() { awk "BEGIN { exit !($1) }" || { echo "not so: $2: $1"; exit 1; }; }

"$hone" run digits/pretrain.hone --quiet
"$hone" run keep/fisher.hone --quiet
for name in plain l2sp ewc echo rdrop; do
  "$hone" run keep/$name.hone --epochs 5 --out $name --quiet
  printf '%-9s learnt %.3f  kept %.3f\n' $name "$(last $name learnt)" "$(last $name kept)"
  holds "$(last $name learnt) > 0.7" "$name learns 5-9"
done
holds "$(last plain kept_change) < -0.3" 'without care 0-4 are forgotten'
for name in l2sp ewc echo; do
  holds "$(last $name kept) > $(last plain kept) + 0.2" "$name keeps more"
done

"$hone" run head/head.hone --epochs 4 --out head-run --quiet
"$hone" run rates/rates.hone --epochs 4 --out rates-run --quiet
"$hone" run thaw/thaw.hone --epochs 2 --out thaw-run --quiet
"$hone" run lora/digits.hone --epochs 4 --out lora-run --quiet
"$hone" run digits/finetune.hone --quiet
"$hone" run distill/distill.hone --epochs 10 --out distill-run --quiet
for name in head rates thaw lora distill; do
  printf '%-9s accuracy %.3f\n' $name "$(last $name-run accuracy)"
done
holds "$(last head-run accuracy) > 0.6" 'a head alone'
for name in rates thaw lora distill; do
  holds "$(last $name-run accuracy) > $(last head-run accuracy)" "$name is better than a head alone"
done
# the adapter's file has nothing else, the merged one is a plain network of the same accuracy
[ "$("$hone" keys lora/digits-adapter.safetensors | awk 'NR > 1 && !/lora_|^fc/' | wc -l)" = 0 ]
want=$(last lora-run accuracy)
got=$("$hone" eval head/head.hone --weights lora/digits-adapted.safetensors --json | grep -o '"accuracy": *[0-9.]*' |
  sed 's/.*: *//')
holds "$got - $want < 0.003 && $want - $got < 0.003" 'merged weights in the plain network'

# What a run says comes next does what it says: the metrics of weights that hold the whole model, else their keys.
next() { sed -n 's/^  next  *hone //p' said; }
"$hone" run head/head.hone --epochs 1 --no-cache >said 2>&1
[ "$(next)" = 'eval head/head.hone --weights head/head.safetensors --epochs 1' ]
"$hone" run distill/distill.hone --epochs 1 >said 2>&1
[ "$(next)" = 'keys distill/student.safetensors' ]
"$hone" run keep/fisher.hone >said 2>&1
[ "$(next)" = 'keys keep/fisher.safetensors' ]
sed 's/^finetune head /finetune first /' head/head.hone >head/two.hone
sed -n '/^finetune/,$p' head/head.hone >>head/two.hone
"$hone" run head/two.hone head --epochs 1 >said 2>&1
[ "$(next)" = 'eval head/two.hone head --weights head/head.safetensors --epochs 1' ]
eval "\"$hone\" $(next)" | grep -q accuracy
