#!/usr/bin/env bash
# What a run takes is what was planned: ResNet-18 on 96 x 96, batch 8, takes within 5 % of it, and what the
# program itself keeps beside it is small, for the compilation is released; two recipes of one file run one
# after another all the same. What is read ahead counts: for an update of parts all of them at once; of
# pictures also what the threads that decode need. (Sanitizers take memory of their own: there it only has to run.)
set -eu
hone=$1
samples=$(dirname "$0")/../../samples/digits
bert=$(realpath "$(dirname "$0")/../golden/parse/sst2.hone")
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

truncate -s 32M tokens.bin
cat >parts.hone <<'EOF'
use optim
module Net() {
  param table: [4, 2] = normal(0.1)
  fn forward(t: i32[N, T]) -> [N, T, 2] {
    y[n, i, d] = table[t[n, i], d]
    return y
  }
}
data d { train = tokens("tokens.bin", length = 100000); valid = tokens("tokens.bin", length = 100000); batch = 2 }
finetune parts {
  model: Net()
  step b in d {
    loss = mean(model(b.ids)^2)
    metric least = total(sum(model(b.ids)^2)) / total(count(b.ids))
  }
  optimizer SGD(lr = 0.1)
  steps = 4
  stage many { accumulate = 8 }
  stage one { accumulate = 1 }
}
EOF
same() { # same FILE: what `hone check` says of a recipe is what its run counts
  "$hone" check "$1" --threads 2 --json >out 2>err || wrong "check $1"
  peak=$(number peak_bytes) loading=$(number loading_bytes)
  "$hone" run "$1" --threads 2 --json >out 2>err || wrong "run $1"
  grep '"event": "end"' out >end; mv end out
  [ "$(number planned_bytes)" = "$peak" ] ||
    wrong "$1: the run planned otherwise than the $peak bytes of the check"
}
same parts.hone
[ "$loading" -gt 38400000 ] || wrong "three updates of eight parts take more than $loading bytes"
if ! grep -aqE '__asan_init|__tsan_init' "$hone"; then
  awk -v planned="$peak" -v measured="$(number measured_bytes)" 'BEGIN {
    exit !(measured < 1.05 * planned && measured > 0.95 * planned) }' || wrong 'parts: measured is not as planned'
fi
sed 's/epochs = .*/steps = 2/' pretrain.hone >short.hone
same short.hone

mkdir -p pictures/a pictures/b
cp "$samples"/../../tests/data/pictures/*.{jpg,png} pictures/a
cp pictures/a/* pictures/b
cat >pictures.hone <<'EOF'
use nn, losses, optim
data d { train = images("pictures", size = 8); batch = 2 }
finetune pictures {
  model: Linear(3, 2)
  step b in d { loss = cross_entropy(model(mean_pool(b.image)), b.label) }
  optimizer SGD(lr = 0.1)
  steps = 2
  workers = 5
}
EOF
same pictures.hone

# `hone check` of BERT-base, two recipes in five stages, takes less than 200 MB; as much again is the libraries' code.
if ! grep -aqE '__asan_init|__tsan_init' "$hone"; then
  (ulimit -v 400000; "$hone" check "$bert" >out 2>err) || wrong 'check takes too much'
fi
