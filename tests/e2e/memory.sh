#!/usr/bin/env bash
# What a run takes is what was planned: ResNet-18 on 96 x 96, batch 8, takes within 5 % of it, and what the
# program itself keeps beside it is small, for the compilation is released; two recipes of one file run one
# after another all the same. (Sanitizers take memory of their own: there it only has to run.)
set -eu
hone=$1
samples=$(dirname "$0")/../../samples/digits
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cp "$samples"/*.{hone,npz} "$work"
cd "$work"
wrong() { echo "memory: $1"; cat out err 2>/dev/null; exit 1; }
number() { sed -n "s/.*\"$1\": \([-0-9.e+]*\).*/\1/p" out; }

cat >train.hone <<'EOF'
use resnet, losses, optim
data pictures { train = images("pictures", size = 96); batch = 8 }
finetune train {
  model: ResNet18(classes = 10)
  step b in pictures { loss = cross_entropy(model(b.image), b.label) }
  optimizer SGD(lr = 0.01, momentum = 0.9)
  steps = 1
}
EOF
"$hone" bench train.hone --steps 1 --json >out 2>err || wrong 'failed'
if ! grep -aqE '__asan_init|__tsan_init' "$hone"; then
  awk -v planned="$(number planned_bytes)" -v base="$(number base_bytes)" -v peak="$(number peak_bytes)" 'BEGIN {
    exit !(planned > 1e8 && peak - base < 1.05 * planned && peak - base > 0.95 * planned && base < 1e8) }' ||
    wrong 'measured is not as planned'
fi

sed 's/epochs = .*/steps = 2/' pretrain.hone >two.hone
sed -n '/^finetune/,/^}/{s/finetune pretrain/finetune again/;s/"pretrained/"again/;p}' two.hone >more
cat more >>two.hone
"$hone" run two.hone --json >out 2>err || wrong 'two recipes'
[ "$(grep -c '"event": "end"' out)" = 2 ] || wrong 'both recipes run'
