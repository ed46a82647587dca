#!/usr/bin/env bash
# adapt … with LoRA: keys, what trains, the start is the base, the same bits for any number of threads
# and after resuming.   clauses_adapt.sh HONE
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
  save "adapter.safetensors" only "**.lora_*" { rename "**" -> "base_model.model.**" }
END
stable adapted
"$hone" keys adapter.safetensors | grep -q '^base_model.model.blocks.1.lora_B.weight .*\[24, 2\]' || fail 'keys'
[ "$("$hone" keys adapter.safetensors | grep -c lora_)" = 6 ] || fail 'only the adapter is saved'
"$hone" groups adapted.hone | grep -q '2,885 .*frozen' || fail 'the base is frozen'
# B starts at 0: before it trains the adapted network is the base
sed 's/lr = 0.01/lr = 0.0/; s/p = 0.1/p = 0.0/; /checkpoint/d; /adapter/d; s/adapted.safe/still.safe/' adapted.hone >still.hone
train still || fail 'an adapter at rest'
want=$("$hone" eval base.hone --weights base.safetensors --json)
[ "$("$hone" eval still.hone --weights still.safetensors --json)" = "$want" ] || fail 'an adapter at rest changes the network'
[ "$("$hone" eval adapted.hone --weights adapted.safetensors --json)" != "$want" ] || fail 'nothing was learnt'
exit 0
