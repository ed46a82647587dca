#!/usr/bin/env bash
# accumulate and ema: what they compute, the same bits for any number of threads and after resuming.
#   clauses_run.sh HONE
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../support/clauses.sh" "$1" "$here/../../samples"

# four parts of 16 are one batch of 64, for a mean …
end='  optimizer AdamW(lr = 0.01)
  clip = 0.5
  penalty(p, p0) in "**" = 0.01 * sumsq(p)
  steps = 12'
recipe parts <<END
$end
  accumulate = 4
  checkpoint = 5
END
recipe whole <<END
$end
END
sed -i 's/batch = 16/batch = 64/' whole.hone
stable parts
train whole || fail 'the large batch'
near parts whole 2e-4 'parts of an update'

# … and for totals, with an uneven count in every part: only images with some label count
sums='s/loss = .*/keep = float(b.label < 3)\n    nll[n] = -log_softmax(z)[n, b.label[n]]\n    loss = total(sum(keep * nll)) \/ total(sum(keep)) + 0.001 * mean(z * z)/'
for name in parts whole; do sed "$sums; s/$name.safetensors/sum-$name.safetensors/" $name.hone >sum-$name.hone; done
train sum-parts && train sum-whole || fail 'totals in a loss'
near sum-parts sum-whole 2e-4 'totals of an update'
"$hone" check sum-parts.hone | grep -q 'no errors' || fail 'check of an update in parts'
grep -q '"grad": ' run-sum-parts/metrics.jsonl || fail 'the norm of the whole gradient'

# samples a second count all parts: rate times the time that is left are the samples that are left
sed 's/steps = 12/steps = 1000000000000\n  every = 50/; /checkpoint/d; /save/d' parts.hone >endless.hone
"$hone" run endless.hone --out run-endless >out 2>said &
pid=$!
while kill -0 $pid 2>/dev/null && ! grep -q ' h left' said; do sleep 0.02; done
kill -TERM $pid; wait $pid
sed -n 's|.* step \([0-9]*\)/\([0-9]*\) .* \([0-9.]*\) samples/s .* \([0-9.]*\) h left.*|\1 \2 \3 \4|p' said | head -1 |
  awk '{ left = $3 * $4 * 3600 / ($2 - $1); n++ } END { exit !(n == 1 && left > 0.98 * 64 && left < 1.02 * 64) }' ||
  fail "samples a second: $(grep -m 1 ' h left' said)"

# averages: decay 0.5 over two updates, by hand, from weights before and after each
recipe start <<'END'
  optimizer SGD(lr = 0.0)
  steps = 1
END
recipe averaged <<'END'
  load "start.safetensors"
  optimizer SGD(lr = 0.1)
  steps = 12
  ema = 0.9
  every = 4
  checkpoint = 5
END
train start || fail 'start'
stable averaged
sed '/ema/d; s/averaged.safe/plain.safe/' averaged.hone >plain.hone
train plain || fail 'without averages'
differ averaged plain 'averages are saved'
# the run itself is the same, what is evaluated is not
grep '"loss"' run-averaged/metrics.jsonl >a; grep '"loss"' run-plain/metrics.jsonl >b
cmp -s a b || fail 'averages change the run'
# the saved averages are what the last evaluation saw
last=$(grep -o '"nll": [0-9.e-]*' run-averaged/metrics.jsonl | tail -1)
"$hone" eval averaged.hone --weights averaged.safetensors --json | grep -qF "${last%??}" || fail "other averages than evaluated: $last"
[ "$last" != "$(grep -o '"nll": [0-9.e-]*' run-plain/metrics.jsonl | tail -1)" ] || fail 'evaluation without averages'
# with a tiny decay the average is nearly the weights; the best of them is kept
sed 's/ema = 0.9/ema = 1e-12\n  monitor = min(nll)/; s/averaged.safe/tiny.safe/' averaged.hone >tiny.hone
train tiny || fail 'a tiny decay'
a=$(grep -o '"nll": [0-9.e-]*' run-tiny/metrics.jsonl | tail -1 | cut -c1-14)
grep -qF "$a" run-plain/metrics.jsonl || fail 'a tiny decay averages nothing'
exit 0
