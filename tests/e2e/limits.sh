#!/usr/bin/env bash
# Tensors of just under 2^48 elements, one and hundreds of them: sums of sizes are right or refused, and
# what cannot be counted is a diagnostic. And a long file is read in a time that grows as it does.
#   limits.sh HONE
set -u
hone=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$(cd "$(dirname "$0")/.." && pwd)/golden/model/d.safetensors" "$work"
cd "$work"
ulimit -c 0
failed=0
wrong() { echo "FAILED $*"; failed=1; }

# recipe MODULES MODEL STEP OPTIMIZER: writes r.hone
recipe() {
  cat >r.hone <<END
use nn, losses, optim
data d { train = arrays("d.safetensors"); batch = 8 }
$1
finetune r {
  model: $2
  step b in d {
    $3
  }
  optimizer $4
  epochs = 1
}
END
}
# says EXIT TEXT COMMAND…: exits so, and says the text
says() {
  local code=$1 text=$2 got
  shift 2
  "$@" >out 2>&1
  got=$?
  [ $got = "$code" ] && grep -qF -- "$text" out || wrong "$*: exit $got, wanted $code with: $text
$(cat out)"
}
# a model of $1 matrices
matrices() {
  echo 'module M() {'
  for ((i = 0; i < $1; i++)); do echo "  param w$i: [16777216, 16777215] = zeros()"; done
  echo '  fn forward(x: [N, I]) -> f32 {'
  echo '    y = mean(x)'
  for ((i = 0; i < $1; i++)); do echo "    y = y + sum(w$i)"; done
  printf '    return y\n  }\n}\n'
}

recipe "$(matrices 200)" 'M()' 'loss = model(b.x)' 'AdamW(lr = 1e-3)'
says 0 '56,294,991,986,688,000' "$hone" check r.hone --threads 2
grep -qF 'parameters 204,800 TiB · optimizer state 409,600 TiB' out || wrong "200 matrices: $(cat out)"
grep -qF 'peak         614,400 TiB' out || wrong "their peak: $(cat out)"
says 0 '"state_bytes": 450359935893504000' "$hone" check r.hone --json --threads 2
says 5 'E706' "$hone" run r.hone --quiet

# positions whose largest value leaves 64 bits: not one that wraps into the tensor again
for at in 'i * 3074457345618258603' 'i * 4611686018427387904' 'i + 9223372036854775807'; do
  recipe "module P() {
  param v: [5] = zeros()
  fn forward(x: [N, I]) -> [N] { z[n] = sum[i < 5] x[n, 0] * (v[$at] ?? 0.0); return z }
}" 'P()' 'loss = mean(model(b.x))' 'SGD(lr = 0.1)'
  says 2 'E211' "$hone" run r.hone --quiet
done

# more than 2^64 bytes, fewer than 2^63 elements
recipe 'module S() { param w: [281474976710656] = zeros() }
module M() {
  s[i < 20000]: S()
  fn forward(x: [N, I]) -> f32 = mean(x) + sum(s[0].w)
}' 'M()' 'loss = model(b.x)' 'SGD(lr = 0.1)'
says 2 'this takes more memory than can be counted' "$hone" check r.hone
grep -qF 'parameters: more than 2^64 bytes' out || wrong "no second fact: $(cat out)"

# activations; a chain of 40 of them shares its memory
recipe 'module M() {
  fc: Linear(4, 3)
  fn forward(x: [N, I]) -> f32 {
    z = fc(x)
    y[n, i < 17592186044416] = z[n, 0] * float(i)
    for k in 0..40 { y = softmax(y) }
    return mean(y)
  }
}' 'M()' 'loss = model(b.x)' 'SGD(lr = 0.1)'
says 0 'no errors' "$hone" check r.hone
says 0 '17592186044416' "$hone" check r.hone --dump=llvm

# a batch of pictures that cannot be; products of what is just possible
recipe '' 'Conv2d(3, 4, 3)' 'loss = mean(model(b.image)^2)' 'SGD(lr = 0.1)'
sed -i 's/arrays.*8 }/images("none", size = 4096); batch = 2147483647 }/' r.hone
says 2 'this field of the batch is too large' "$hone" check r.hone
recipe "$(matrices 2)" 'M()' 'loss = model(b.x)' 'Shampoo(lr = 1e-3)'
says 2 'E211' "$hone" check r.hone

# 10,000 lines of modules, functions and lets, and a recipe that uses few of them
lines() {
  for ((i = 0; i < $1; i++)); do
    cat <<END
# Part $i: a line, a norm and a gate.
module Part$i(D, slope = 0.1) {
  fc:   Linear(D, D)
  norm: LayerNorm(D)
  param gate: [D] = ones()
  fn forward(x: [N, D]) -> [N, D] {
    u       = norm(fc(x))
    s[n]    = mean[d] u[n, d]^2
    y[n, d] = u[n, d] * gate[d] * rsqrt(s[n] + eps$i) + gain$i(x)[n, d]
    return y
  }
}
let eps$i = 1e-5
fn gain$i(x: [..]) = max(x, 0.5 * x) / (1 + abs(x))

END
  done
}
recipe "$(lines 667)" 'Part7(4)' 'loss = mean(model(float(b.x))^2)' 'SGD(lr = 0.1)'
[ "$(wc -l <r.hone)" -gt 10000 ] || wrong 'the file is short'
(ulimit -t 10; says 0 'no errors' "$hone" check r.hone; exit $failed) || failed=1
sed '/^data d/d; /^finetune/,$d' r.hone >library.hone
(ulimit -t 10; says 0 'no errors' "$hone" check library.hone; exit $failed) || failed=1
exit $failed
