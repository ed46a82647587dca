#!/usr/bin/env bash
# adapt … with LoRA: keys, what trains, the start is the base, merged files compute the same, the same bits
# for any number of threads and after resuming.   clauses_adapt.sh HONE
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../support/clauses.sh" "$1" "$here/../../samples"

recipe base <<'END'
  optimizer AdamW(lr = 0.01)
  steps = 20
END
train base || fail 'the base'
recipe adapted <<'END'
  load "base.safetensors"
  adapt "blocks.#", "fc1" with LoRA(r = 2, p = 0.1)
  freeze "**" except "**.lora_*"
  optimizer AdamW(lr = 0.01)
  steps = 20
  checkpoint = 7
  save "merged.safetensors" merged
  save "adapter.safetensors" only "**.lora_*" { rename "**" -> "base_model.model.**" }
END
stable adapted
"$hone" keys adapter.safetensors | grep -q '^base_model.model.blocks.1.lora_B.weight .*\[24, 2\]' || fail 'keys'
[ "$("$hone" keys adapter.safetensors | grep -c lora_)" = 6 ] || fail 'only the adapter is saved'
"$hone" groups adapted.hone | grep -q '2,885 .*frozen' || fail 'the base is frozen'
# B starts at 0: before it trains the adapted network is the base
sed 's/lr = 0.01/lr = 0.0/; s/p = 0.1/p = 0.0/; /checkpoint/d; /adapter/d; /merged/d; s/adapted.safe/still.safe/' adapted.hone >still.hone
train still || fail 'an adapter at rest'
want=$("$hone" eval base.hone --weights base.safetensors --json)
[ "$("$hone" eval still.hone --weights still.safetensors --json)" = "$want" ] || fail 'an adapter at rest changes the network'
[ "$("$hone" eval adapted.hone --weights adapted.safetensors --json)" != "$want" ] || fail 'nothing was learnt'

# base and adapter, each from its own file, and the two folded into one: every logit is the same to 1e-5
"$hone" keys base.safetensors >base.keys
"$hone" keys merged.safetensors | cmp -s base.keys - || fail 'a merged file has the keys of the base'
differ merged base 'nothing was folded in'
cat >compare.hone <<'END'
use lora, net, nn, losses, optim
data old { train = arrays("old-train.npz"); valid = arrays("old-valid.npz"); batch = 16 }
finetune compare {
  apart: Net()
  whole: Net()
  load "base.safetensors" into apart
  load "adapter.safetensors" into apart { rename "base_model.model.**" -> "**" }
  load "merged.safetensors" into whole
  adapt "apart.blocks.#", "apart.fc1" with LoRA(r = 2)
  step b in old {
    y    = apart(b.image)
    z    = whole(b.image)
    loss = cross_entropy(z + y, b.label)
    metric far  = total(sum(float(abs(z - y) > 1e-5)))
    metric size = total(sumsq(z))
  }
  optimizer SGD(lr = 0.0)
  steps = 1
}
END
train compare || fail 'base and adapter beside the merged file'
grep -Eq '"far": 0, "size": [1-9][0-9]{2}' run-compare/metrics.jsonl || fail "merged logits: $(tail -1 run-compare/metrics.jsonl)"
# a merged file is the same whatever else is saved
sed '/adapter.safe/d; /adapted.safe/d; /checkpoint/d; s/merged.safe/alone.safe/' adapted.hone >alone.hone
train alone || fail 'only the merged file'
same merged alone 'a merged file by itself'
# training goes on from the adapter's own file
sed 's/steps = 20/steps = 1/; s/lr = 0.01/lr = 0.0/; /checkpoint/d; /merged/d; /only/d; s/adapted.safe/again.safe/
  /^  load/a\  load "adapter.safetensors" { rename "base_model.model.**" -> "**" }' adapted.hone >again.hone
train again || fail 'going on from an adapter'
same adapted again 'base and adapter loaded apart'
exit 0
