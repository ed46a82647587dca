#!/usr/bin/env bash
# GPT-2 and BERT with weights that Hugging Face's transformers wrote: its logits, and the losses of its
# steps under AdamW and SGD (tests/parity/text.py).
set -eu
hone=$1
here=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cp "$here"/data/parity/text.hone "$here"/data/parity/{gpt2,bert}.{npz,safetensors} "$work"
cd "$work"
for model in gpt2 bert; do
  "$hone" eval text.hone "$model" --weights "$model.safetensors" --json >off.json
  awk -F'[:}]' -v model="$model" '$1 == "{\"off\"" && $2 > 0 && $2 < 1e-5 { ok = 1 }
    END { if (!ok) { print model ": logits differ"; exit 1 } }' off.json || { cat off.json; exit 1; }
  for recipe in "$model" "${model}_sgd"; do
    "$hone" run text.hone "$recipe" --out "run-$recipe" --quiet
    awk -v name="$recipe" -v tolerance=1e-5 -f "$here/support/compare_losses.awk" \
      "$here/data/parity/text.txt" "run-$recipe/metrics.jsonl"
  done
done
"$hone" keys gpt2.safetensors | awk 'NR > 1 { print $1 }' | sort >before
"$hone" keys gpt2-after.safetensors | awk 'NR > 1 { print $1 }' | sort >after
diff before after       # what comes back has Hugging Face's names
