#!/usr/bin/env bash
# hone grad-check: a small network agrees, a large one is refused.   grad_check.sh HONE
set -u
hone=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/small.hone" <<'RECIPE'
use nn, optim, losses
option size = 6 "pixels"
option batch = 2 "pictures"
option width = 4 "channels"
module Net(classes = 5, width = 4) {
  conv1: Conv2d(3, width, 3, stride = 2, pad = 1, biased = false)
  bn1:   BatchNorm2d(width)
  conv2: Conv2d(width, width, 3, pad = 1)
  ln:    LayerNorm(width)
  fc:    Linear(width, classes)
  fn forward(x: [N, 3, H, W]) -> [N, classes] {
    x = relu(bn1(conv1(x)))
    x = max_pool(gelu(conv2(x)) + x, 2, stride = 1)
    return fc(ln(mean_pool(x)))
  }
}
data d {
  train = images("pictures", size = size)
  batch = batch
}
finetune t {
  model: Net(width = width)
  step b in d { loss = cross_entropy(model(b.image), b.label, smooth = 0.1) }
  optimizer SGD(lr = 1e-3)
  epochs = 1
  stage head { freeze "conv1" }
  stage full { epochs = 2 }
}
RECIPE
. "$(dirname "$0")/../support/expect.sh"
expect 0 '8 gradients, 0 differ' "$hone" grad-check "$folder/small.hone"
expect 0 '9 gradients, 0 differ' "$hone" grad-check "$folder/small.hone"
expect 0 '"parameter": "fc.bias"' "$hone" grad-check "$folder/small.hone" --json
expect 2 'E711' "$hone" grad-check "$folder/small.hone" --size 512 --width 512
expect 2 'wants a recipe file' "$hone" grad-check
expect 0 '0 not; 0 gradients differ' "$hone" grad-check nn
expect 0 '0 not; 0 gradients differ' "$hone" grad-check losses
expect 0 '1 items checked' "$hone" grad-check nn Conv2d
expect 0 '0 do not go down' "$hone" grad-check optim
expect 0 '"rule": "Muon", "rank": 2' "$hone" grad-check optim Muon --json
printf 'optimizer Up(lr = 0.1) {\n  fn update(p: f32[..], g: f32[..]) { p'"'"' = p + lr * g }\n}\n' >"$folder/up.hone"
expect 1 'does not go down' "$hone" grad-check "$folder/up.hone"
expect 2 'nothing in sched has a gradient' "$hone" grad-check sched
expect 0 'Bottleneck' "$hone" grad-check resnet Bottleneck
expect 0 '"item": "relu"' "$hone" grad-check nn relu --json
expect 2 'nothing in nn' "$hone" grad-check nn Conv7
# what was not checked, and why not; rules beside recipes
sed 's/loss = .* }/loss = max(cross_entropy(model(b.image), b.label) - 1000, 0) }/' "$folder/small.hone" >"$folder/flat.hone"
expect 0 '8 of them are 0 at the values that were made up' "$hone" grad-check "$folder/flat.hone"
sed 's/loss = .* }/nll[n] = log(-1.0 - float(b.label[n])) * model(b.image)[n, 0]; loss = mean(nll) }/' \
  "$folder/small.hone" >"$folder/log.hone"
expect 2 'made up too, `label`' "$hone" grad-check "$folder/log.hone"
cat "$folder/up.hone" >>"$folder/small.hone"
expect 1 'does not go down' "$hone" grad-check "$folder/small.hone" Up
expect 2 'no such finetune item' "$hone" grad-check "$folder/small.hone" other
exit $failed
