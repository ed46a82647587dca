#!/usr/bin/env bash
# length = [8, 16, 32]: batches of text of one length each, a graph for each length, one set of parameters
# and states. The loss of a network that looks at the mask does not see the difference; the same bits for any
# number of threads, after resuming, and as one length where only one is met.   lengths.sh HONE
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../support/clauses.sh" "$1" "$here/../../samples"

printf '%s\n' '[PAD]' '[UNK]' '[CLS]' '[SEP]' good bad a b c d >vocab.txt
# the label is whether `good` is there; 3 to 29 words
lines() {
  awk -v n="$1" -v seed="$2" 'BEGIN { srand(seed); print "sentence\tlabel"
    for (i = 0; i < n; i++) {
      words = 3 + int(27 * rand()); good = rand() < 0.5; at = int(words * rand()); text = ""
      for (k = 0; k < words; k++) text = text (k ? " " : "") (k == at ? (good ? "good" : "bad") : substr("abcd", 1 + int(4 * rand()), 1))
      print text "\t" good } }'
}
lines 200 1 >train.tsv
lines 60 2 >valid.tsv
head='use nn, losses, optim
module Net() {
  param table: [16, 8] = normal(1.0)
  fc: Linear(8, 2)
  fn forward(ids: i32[N, T], mask: i32[N, T]) -> [N, 2] {
    sums[n, d] = sum[t] table[ids[n, t], d] * float(mask[n, t])
    return fc(tanh(sums))
  }
}
data d {
  train = text("train.tsv", vocab = "vocab.txt")
  valid = text("valid.tsv", vocab = "vocab.txt")
  batch = 8
  length = LENGTH
}
finetune r {
  model: Net()
  step s in d {
    z = model(s.ids, s.mask)
    loss = cross_entropy(z, s.label)
    metric nll = total(cross_entropy(z, s.label) * count(s.label)) / total(count(s.label))
    metric acc = total(hits(z, s.label)) / total(count(s.label))
  }
  optimizer AdamW(lr = 0.03)'
all=$head
make() { # make NAME LENGTH KNOB…
  local name=$1 length=$2; shift 2
  head=${all/LENGTH/$length}
  printf '  %s\n' "$@" | recipe "$name"
}
make several '[8, 16, 32]' 'epochs = 6' 'checkpoint = 7'
stable several
grep '"acc"' run-several/metrics.jsonl | tail -1 | sed 's/.*"acc": //; s/[,}].*//' |
  awk '{ acc = $1 } END { exit !(acc > 0.9) }' || fail 'several lengths: it does not learn'
for entry in train eval eval-one; do
  for length in 8 16; do
    "$hone" check several.hone --dump=plan | grep -q "^# plan of $entry.train.$length\$" || fail "no $entry of $length"
  done
done
# frozen weights: every sample is evaluated once, whatever its length
make many '[4, 8, 16, 32]' 'steps = 1' 'every = 1' 'group "**" { lr = 0; decay = 0 }'
make one '32' 'steps = 1' 'every = 1' 'group "**" { lr = 0; decay = 0 }'
train many && train one || fail 'one step'
values() { grep '"nll"' "run-$1/metrics.jsonl" | sed 's/.*"nll": //; s/[,}].*//'; }
awk -v a="$(values many)" -v b="$(values one)" 'BEGIN { exit !(a > 0 && (a - b) ^ 2 <= 1e-12 * b * b) }' ||
  fail "evaluation: $(values many) and $(values one)"
"$hone" eval many.hone --weights many.safetensors | grep -q "nll  *$(values many | cut -c1-5)" ||
  fail "hone eval: not $(values many)"

# an update of two parts is a batch of twice the size, of one length: also for totals, and for a parameter
# that only short samples read; what is remembered is evaluated over all lengths
parts() { # parts NAME BATCH KNOB…
  local name=$1 batch=$2; shift 2
  make "$name" '[8, 16, 32]' 'clip = 1.0' 'ema = 0.5' 'epochs = 3' \
    'remember s in d { metric kept = total(hits(model(s.ids, s.mask), s.label)) / total(count(s.label)) }' "$@"
  sed -i 's/^  fc: /  param short: [8] = ones()\n  &/; s/^    return fc/    if T < 10 { sums = sums * short }\n&/
    s/loss = .*/w = float(s.label + 1)\n    nll[n] = -log_softmax(z)[n, s.label[n]]\n    loss = total(sum(w * nll)) \/ total(sum(w))/
    s/batch = .*/batch = '"$batch/" "$name.hone"
}
parts half 8 'accumulate = 2' 'checkpoint = 7'
parts whole 16
stable half
train whole || fail 'batches of 16'
near half whole 1e-4 'parts of an update of several lengths'
"$hone" check half.hone --dump=plan | grep -q '^# plan of count.train.8$' || fail 'no count of 8'
awk -F'"acc": |, "kept": |, "kept_change"' '/"acc"/ { n++; bad = bad || $2 != $3 } END { exit n != 3 || bad }' run-half/metrics.jsonl ||
  fail 'what is remembered is not what is evaluated'

. "$here/../support/expect.sh"
bad() { sed "$1" several.hone >bad.hone; shift; expect 2 "$1" "$hone" check bad.hone; }
bad 's/length = \[.*/length = [32, 8]/' 'E516'
bad 's/length = \[.*/length = 0.5/' 'E516'
bad 's/batch = 8/batch = 128/' ' samples of one length, batch 128'
bad 's/epochs = 6/epochs = 6; accumulate = 16/' ' samples of one length, an update takes 16 batches of 8'
bad 's/vocab = "vocab.txt")/vocab = "vocab.txt", length = 8)/' 'E510'
bad 's/train = text(.*/train = tokens("x")/' 'give one `length`'
bad 's/epochs = 6/epochs = 6; accumulate = 2/; s/loss = .*/loss = cross_entropy(z, s.label) + sum(total(s.ids) * 0)/' 'E201'
bad 's/return fc(tanh(sums))/return fc(tanh(sums)) + fold(ids)/; s/^module Net/fn fold(ids: i32[N, 32]) -> [N, 2] { y[n, k<2] = float(ids[n, k])\n  return y\n}\nmodule Net/' 'E201'
# words are numbered in byte order: beside numbers they would mean something else
sed 's/\t0$/\tno/; s/\t1$/\tyes/' train.tsv >words.tsv
bad 's/"train.tsv"/"words.tsv"/' '`valid` has other classes than `train`'
bad 's/"valid.tsv"/"words.tsv"/' 'write all labels as words, or all as whole numbers'
exit $failed
