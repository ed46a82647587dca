#!/usr/bin/env bash
# MobileNet on photographs against PyTorch: the untouched model's logits, the losses of the first steps.
# The weights and pictures stand outside of the repository: HONE_ASSETS, or ../shared/assets beside it.
set -eu
hone=$1
tests=$(cd "$(dirname "$0")/.." && pwd)
assets=${HONE_ASSETS:-$tests/../../shared/assets}
weights=$assets/weights/mobilenet_v1_0.25_imagenet/mobilenet_v1_0.25_224.safetensors
flowers=$assets/data/flowers5
if [ ! -f "$weights" ] || [ ! -d "$flowers" ]; then
  echo "skipped: no weights and pictures in $assets (set HONE_ASSETS)"
  exit 77
fi
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cp "$tests/data/parity/mobilenet.hone" "$work"
cd "$work"
data=(--train "$flowers/train" --valid "$flowers/val")

grep ' logits ' "$tests/data/parity/mobilenet.txt" >logits.txt
pictures=()
while read -r name _; do pictures+=("$flowers/val/$name"); done <logits.txt
"$hone" predict mobilenet.hone --weights "$weights" "${pictures[@]}" "${data[@]}" --json |
  sed 's/.*\[//; s/\].*//; s/,//g' >ours.txt
awk 'FNR == NR { for (i = 3; i <= NF; i++) want[FNR, i - 2] = $i; n[FNR] = NF - 2; rows = FNR; next }
     { if (NF != n[FNR]) bad = 1
       for (i = 1; i <= NF; i++) { d = $i - want[FNR, i]; if (d < 0) d = -d; if (d > worst) worst = d } }
     END { printf "logits: largest difference %.1e\n", worst
           exit bad || FNR != rows || !(worst <= 1e-4) }' logits.txt ours.txt

"$hone" run mobilenet.hone short --weights "$weights" "${data[@]}" --out run --quiet
awk -v name=short -v tolerance=1e-4 -f "$tests/support/compare_losses.awk" \
  "$tests/data/parity/mobilenet.txt" run/metrics.jsonl
