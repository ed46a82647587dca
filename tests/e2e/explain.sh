#!/usr/bin/env bash
# hone explain FILE: every kernel with its equations, parts of the step, totals that add up; FLOPs of a
# network that can be counted by hand; and what is said of files and words that are nothing.
set -eu
hone=$1
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
cat >mlp.hone <<'EOF'
use nn, losses, optim
option batch = 32
module Net() {
  a: Linear(256, 128)
  b: Linear(128, 10)
  fn forward(x: [N, 256]) -> [N, 10] = b(relu(a(x)))
}
data d { train = images("pictures", size = 16); batch = batch }
finetune mlp {
  model: Net()
  step s in d {
    x[n, k<256] = s.image[n, 0, k // 16, k % 16]
    loss = cross_entropy(model(x), s.label)
  }
  optimizer SGD(lr = 0.1)
  steps = 1
}
EOF
wrong() { echo "explain: $1"; cat out err 2>/dev/null; exit 1; }
number() { sed -n "s/.*\"$2\": \([-0-9.e+]*\).*/\1/p" "$1"; }

"$hone" explain mlp.hone --threads 1 --target generic >out 2>err || wrong 'failed'
grep -Eq '^mlp on .*generic, 1 thread: [0-9.]+ GFLOP/s, [0-9.]+ GB/s$' out || wrong 'title'
grep -Eq '^train\.train: [0-9]+ kernels, ' out || wrong 'entry'
for part in forward backward; do grep -Eq "^  $part +[0-9]+ " out || wrong "$part"; done
grep -Eq '^  contract +forward +nn\.hone:[0-9]+ y' out || wrong 'forward product'
grep -Eq '^  contract +backward .*nn\.hone:[0-9]+ d_weight' out || wrong 'weight gradient'
grep -Eq 'optim\.hone:[0-9]+ ' out || wrong 'update'

# products that an update rule takes, in a function of the library, are the update's, of parts or not
sed 's/optimizer SGD.*/optimizer Muon(lr = 0.1); group "*.bias" { optimizer SGD(lr = 0.1) }/' mlp.hone >muon.hone
sed 's/steps = 1/accumulate = 2; steps = 1/' muon.hone >parts.hone
for file in muon parts; do
  "$hone" explain $file.hone >out 2>err || wrong "$file"
  grep -Eq '^  contract +update +optim\.hone:[0-9]+ x' out || wrong "$file: products of the update"
  grep -Eq '^  contract +backward .*nn\.hone:[0-9]+ d_weight' out || wrong "$file: weight gradient"
  grep -Eq '^  contract +(forward|backward) +optim' out && wrong "$file: products of the update elsewhere"
done
grep -A 5 '^train\.train' out | grep -Eq '^  backward +[0-9]+ ' || wrong 'parts: no backward'
grep -A 5 '^update\.train' out | grep -Eq '^  (forward|backward) ' && wrong 'parts: an update is nothing else'

"$hone" explain mlp.hone --json --threads 1 --target generic >json 2>err
grep '"kind"' json >rows; grep '"kernels"' json | head -1 >sum
for what in flops bytes limit_s expected_s; do
  number rows $what | awk -v all="$(number sum $what)" '{ s += $1 }
    END { exit !(s > 0 && (s - all) ^ 2 <= (1e-6 * all) ^ 2) }' || wrong "$what do not add up"
done
number rows calls | awk -v all="$(number sum kernels)" '{ s += $1 } END { exit s != all }' ||
  wrong 'calls do not add up'
# products: 2 * batch * (256*128 + 128*10) forward, as much for weights, 2 * batch * 128*10 for the hidden layer
number rows flops | awk -v least=$((2 * 32 * (2 * (256 * 128 + 128 * 10) + 128 * 10))) \
  '{ s += $1 } END { exit !(s >= least && s < 1.1 * least) }' || wrong 'FLOPs'
number sum flops >small
"$hone" explain mlp.hone --json --cost --batch 64 >json 2>err
[ "$(grep -c '"kind"' json)" = 0 ] || wrong '--cost has rows'
awk -v a="$(cat small)" -v b="$(number <(grep '"kernels"' json | head -1) flops)" \
  'BEGIN { exit !(b > 1.9 * a && b < 2.1 * a) }' || wrong 'cost is not linear in the batch'
[ "$("$hone" explain mlp.hone --top 2 2>err | grep -c ' of ')" -ge 1 ] || wrong '--top'
"$hone" explain mlp.hone --top 2 2>err | grep -q 'more rows' || wrong '--top says nothing'

expect() { # expect EXIT TEXT WORD…
  local exit=$1 text=$2 got=0; shift 2
  "$hone" explain "$@" >out 2>err || got=$?
  [ $got = "$exit" ] && grep -q "$text" out err || wrong "$*: exit $got"
}
expect 0 'W522: contraction' w522
expect 2 'did you mean' E40
expect 2 'wants a code'
expect 2 'cannot read the recipe' nosuch.hone
expect 2 'cannot read the recipe' ./nosuch
expect 2 'no finetune item' mlp.hone other
expect 2 'has an option' mlp.hone --bathc 3
expect 2 'no target' mlp.hone --target vax
sed 's/train = images.*; b/train = arrays("none.npz"); b/' mlp.hone >fields.hone
expect 3 'fields of the data are not known' fields.hone
sed 's/relu/rleu/' mlp.hone >bad.hone
expect 2 'E101' bad.hone
echo 'fn f(x: [N]) -> [N] = x' >library.hone
expect 2 'no finetune item' library.hone
