#!/usr/bin/env bash
# recompute: less memory for activations, the same training.   clauses_recompute.sh HONE
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../support/clauses.sh" "$1" "$here/../../samples"
cat >net.hone <<'END'
use nn
module Block(D, p = 0.1) {
  norm: LayerNorm(D)
  up:   Linear(D, 2*D)
  down: Linear(2*D, D)
  fn forward(x: [N, D]) -> [N, D] = x + down(dropout(gelu(up(norm(x))), p))
}
module Net(D = 24, n = 4, K = 5) {
  stem: Linear(64, D)
  h[i < n]: Block(D)
  head: Linear(D, K)
  fn forward(image: u8[N, 1, 8, 8]) -> [N, K] {
    x = stem(reshape(float(image) / 16, [N, 64]))
    for block in h { x = block(x) }
    return head(x)
  }
}
END
recipe kept <<'END'
  optimizer AdamW(lr = 0.01)
  clip = 1.0
  steps = 15
END
recipe again <<'END'
  recompute "h.#"
  optimizer AdamW(lr = 0.01)
  clip = 1.0
  steps = 15
  checkpoint = 4
END
train kept || fail 'without'
stable again
near kept again 1e-5 'what is computed again is the same'

# the name of the array stands for its elements
sed 's/recompute "h.#"/recompute "h"/; s/again.safe/array.safe/; /checkpoint/d' again.hone >array.hone
train array || fail 'an array of modules'
same array again 'an array of modules'

# of all that a block computes only its output is kept: two thirds less in a deep network of a large batch
for name in kept again; do
  sed '/clip/d; s/model: Net()/model: Net(D = 256, n = 8)/; s/batch = 16/batch = 256/' $name.hone >big-$name.hone
done
activations() { "$hone" check "$1.hone" --json | grep -o '"activations_bytes": *[0-9]*' | sed 's/.*: *//'; }
kept=$(activations big-kept) again=$(activations big-again)
echo "activations: $kept bytes, with recompute $again"
[ "$again" -lt $((kept / 2)) ] || fail 'activations are kept'
# parts of an update, and an adapter inside of what is computed again
sed 's/  steps = 15/  accumulate = 2\n  steps = 8/; /checkpoint/d; s/again.safe/parts.safe/' again.hone >parts.hone
sed 's/  steps = 15/  accumulate = 2\n  steps = 8/; s/kept.safe/whole.safe/' kept.hone >whole.hone
train parts && train whole || fail 'with accumulate'
near parts whole 1e-5 'with accumulate'
exit 0
