#!/usr/bin/env bash
# `precision = bf16`: trains about as well as f32 does, in less memory; the same bits for any number of
# threads and after resuming; a stage may say otherwise; weights stay f32.   clauses_precision.sh HONE
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../support/clauses.sh" "$1" "$here/../../samples"

for name in f32 bf16; do
  recipe $name <<END
  optimizer AdamW(lr = 3e-3)
  precision = $name
  steps = 62
  checkpoint = 9
END
done
stable bf16
train f32 || fail 'f32'
differ f32 bf16 'what is kept in bf16 is rounded'
near f32 bf16 0.05 'bf16 is not far from f32'
"$hone" keys bf16.safetensors | grep -q 'fc1.weight *F32 ' || fail 'weights are not kept in f32'

# the recipe's own precision in one stage, another one in the next
recipe mixed <<'END'
  optimizer AdamW(lr = 3e-3)
  precision = bf16
  stage one { steps = 31; precision = f32 }
  stage two { steps = 31 }
END
stable mixed
differ mixed bf16 'a stage has a precision of its own'

# parameters that are declared so are kept and saved in 2 bytes, whatever the precision
sed 's/^use nn$//; s/fc1: Linear(64, H)/fc1: Short(64, H)/' net.hone >shortnet.hone
cat >>shortnet.hone <<'END'
use nn
module Short(I, O) {
  param weight: bf16[O, I] = kaiming_uniform(I)
  param bias: f16[O] = zeros()
  fn forward(x: [.., I]) -> [.., O] {
    y[.., o] = sum[i] x[.., i] * weight[o, i]
    return y + bias
  }
}
END
head=${head/use lora, net,/use lora, shortnet,}
recipe kept <<'END'
  optimizer AdamW(lr = 3e-3)
  steps = 62
END
train kept || fail 'kept'
grep -o '"loss": [^,}]*' run-kept/metrics.jsonl | awk '{ last = $2 } END { exit !(last < 0.4) }' || fail 'short parameters do not learn'
recipe kept <<'END'
  optimizer AdamW(lr = 3e-3)
  clip = 1.0
  ema = 0.9
  accumulate = 2
  steps = 31
  checkpoint = 9
END
stable kept
"$hone" keys kept.safetensors >out
grep -q 'fc1.weight *BF16 ' out && grep -q 'fc1.bias *F16 ' out || fail 'files do not hold what is kept'

"$hone" run kept.hone --out run-dump --dump=graph >out 2>&1
grep -q '^d_fc1.weight: f32' out && ! grep -q '^d_fc1.weight: bf16' out || fail 'gradients of short parameters are not f32'

# their averages move by less than what is kept can tell apart
last_nll() { grep -o '"nll": [^,}]*' run-average/metrics.jsonl | tail -n 1 | cut -d' ' -f2; }
recipe average <<'END'
  optimizer SGD(lr = 0.1)
  steps = 1240
END
train average || fail 'average'
without=$(last_nll)
sed -i 's/  steps = /  ema = 0.995\n  steps = /' average.hone
train average || fail 'average'
awk -v a="$(last_nll)" -v p="$without" 'BEGIN { exit !(a > 0 && a < 1.1 * p) }' ||
  fail "averages of short parameters stay behind: $(last_nll), without $without"

# convolutions: what is kept for the backward pass takes half
cp "$here"/../../samples/digits/*.hone .
sed '/^finetune/a\  precision = bf16' pretrain.hone >short.hone
activations() { "$hone" check "$1" --json 2>/dev/null | tr ',' '\n' | sed -n 's/.*"activations[a-z_]*": *\([0-9]*\).*/\1/p' | head -1; }
whole=$(activations pretrain.hone) less=$(activations short.hone)
[ "${whole:-0}" -gt 0 ] && [ "$less" -lt $((whole * 8 / 10)) ] || fail "activations: $whole in f32, $less in bf16"
"$hone" run short.hone --quiet --out short || fail 'convolutions'
awk '{ a = $0; if (sub(/.*"accuracy": /, "", a)) { sub(/[,}].*/, "", a); last = a } } END { exit !(last >= 0.98) }' short/metrics.jsonl ||
  fail 'the digits are not learnt'
sed 's/DigitNet(classes = 5)/DigitNet(classes = 5, width = 5)/' short.hone >narrow.hone
cmp -s short.hone narrow.hone && fail 'no narrow network'
"$hone" grad-check narrow.hone >out || { cat out; fail 'gradients'; }
