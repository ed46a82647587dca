#!/usr/bin/env bash
# remember: metrics over other data before the first update and at every evaluation, and their change; the
# same bits for any number of threads and after resuming.   clauses_remember.sh HONE
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../support/clauses.sh" "$1" "$here/../../samples"

recipe base <<'END'
  optimizer AdamW(lr = 0.01)
  epochs = 3
END
train base || fail 'the old task'
# the classes change places: what was learnt is lost
cat >turned.hone <<'END'
use net, nn, losses, optim
data new { train = arrays("old-train.npz"); batch = 16 }
data old { train = arrays("old-train.npz"); valid = arrays("old-valid.npz"); batch = 25 }
finetune turned {
  model: Net()
  load "base.safetensors"
  step b in new { loss = cross_entropy(model(b.image), 4 - b.label) }
  remember b in old {
    z = model(b.image)
    metric kept = total(hits(z, b.label)) / total(count(b.label))
    metric nll  = total(cross_entropy(z, b.label) * count(b.label)) / total(count(b.label))
  }
  optimizer AdamW(lr = 0.01)
  steps      = 20
  every      = 6
  checkpoint = 5
  save "turned.safetensors"
}
END
stable turned
records() { grep '"kept"' run-turned/metrics.jsonl; }
[ "$(records | wc -l)" = 5 ] || fail 'before the first update, at 6, 12, 18 and in the end'
number() { grep -o "\"$1\": [0-9.e-]*" | sed 's/.*: //'; }
first=$(records | head -1)
grep -q '"step": 0,' <<<"$first" || fail "the start: $first"
grep -q change <<<"$first" && fail 'nothing has changed at the start'
records | tail -n +2 | while read -r line; do
  awk -v f="$(number kept <<<"$first")" -v k="$(number kept <<<"$line")" -v c="$(number kept_change <<<"$line")" \
    'BEGIN { d = k - f - c; exit !(c < 0 && d < 1e-6 && d > -1e-6) }' || { echo "$first $line"; exit 1; }
done || fail 'the change since the start'
# what is remembered is what `hone eval` says of the same weights, before and after
value() { "$hone" eval "$1.hone" --weights "$2.safetensors" --json | number nll | cut -c1-8; }
[ "$(number nll <<<"$first" | cut -c1-8)" = "$(value base base)" ] || fail 'the value at the start'
[ "$(records | tail -1 | number nll | cut -c1-8)" = "$(value base turned)" ] || fail 'the value in the end'
out=$("$hone" eval turned.hone --weights turned.safetensors --json)
grep -q '"kept"' <<<"$out" || fail 'hone eval of what is remembered'
grep -q change <<<"$out" && fail 'hone eval knows no start'
# a remembered metric may be monitored: the weights of the least loss are kept
sed 's/  steps /  monitor = max(kept)\n  steps /; s/turned.safe/best.safe/; /checkpoint/d' turned.hone >best.hone
train best || fail 'monitor of a remembered metric'
[ "$("$hone" eval turned.hone --weights best.safetensors --json | number kept)" = \
  "$(grep '"kept_change"' run-best/metrics.jsonl | number kept | sort -rn | head -1)" ] || fail 'the best kept'
# beside metrics of the step's own
sed 's/^data new .*/data new { train = arrays("old-train.npz"); valid = arrays("old-valid.npz"); batch = 16 }/
  s/  step b in new .*/  step b in new {\n    y = model(b.image)\n    loss = cross_entropy(y, 4 - b.label)\n    metric turned = total(hits(y, 4 - b.label)) \/ total(count(b.label))\n  }/' turned.hone >both.hone
train both || fail 'metrics of both'
tail -1 run-both/metrics.jsonl | grep -Eq '"turned": [0-9.]*, "kept": [0-9.]*, "nll": [0-9.]*, "kept_change": -[0-9.]*, "nll_change": [0-9.]' ||
  fail "metrics of both: $(tail -1 run-both/metrics.jsonl)"
exit 0
