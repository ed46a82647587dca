#!/usr/bin/env bash
# penalty, layers and depth, stages made by `for`, save … state: what they compute, the same bits for
# any number of threads and after resuming.   clauses_update.sh HONE
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../support/clauses.sh" "$1" "$here/../../samples"

# the derivative of c |p|^2 is 2 c p: weight decay, in the same pass
recipe decay <<'END'
  optimizer SGD(lr = 0.1, momentum = 0.9, decay = 0.125)
  group "**" where rank == 1 { decay = 0 }
  steps = 20
END
recipe penalty <<'END'
  optimizer SGD(lr = 0.1, momentum = 0.9)
  penalty(p, p0) in "**" where rank == 2 = 0.0625 * sumsq(p)
  steps = 20
END
train decay && train penalty || fail 'penalty and decay'
near decay penalty 1e-5 'a penalty is a decay'
kernels() { "$hone" check "$1.hone" --dump kernels | awk '/^# kernels of eval/ { exit } /^kernel/ { n++ } END { print n }'; }
[ "$(kernels decay)" = "$(kernels penalty)" ] || fail 'a penalty has kernels of its own'
"$hone" groups penalty.hone | grep -q 'penalty 0.0625 \* sumsq(p)' || fail 'hone groups does not show the penalty'

# towards the start: with a huge weight nothing moves away from p0
recipe tight <<'END'
  load "decay.safetensors"
  optimizer SGD(lr = 1e-3)
  penalty(p, p0) in "**" = 400.0 * sumsq(p - p0)
  steps = 10
  checkpoint = 3
END
stable tight

# every layer its own rate: group by group the same
recipe depth <<'END'
  layers "fc1", "blocks.#", "fc2"
  optimizer AdamW(lr = 0.01 * 0.5^depth)
  steps = 20
END
recipe groups <<'END'
  optimizer AdamW(lr = 0.01)
  group "blocks.1" { lr = 0.01 * 0.5 }
  group "blocks.0" { lr = 0.01 * 0.25 }
  group "fc1"      { lr = 0.01 * 0.125 }
  steps = 20
END
train depth && train groups || fail 'layers and groups'
same depth groups 'layers are groups'
"$hone" groups depth.hone | grep -Eq '^ +3 .* fc1' || fail 'hone groups does not show the depth'

# stages of a `for` are those written by hand; states and t of a parameter live on
recipe loop <<'END'
  layers "fc1", "blocks.#", "fc2"
  optimizer AdamW(lr = 0.01 * 0.5^depth)
  for k in 0..3 {
    stage thaw { steps = 5; checkpoint = 2; freeze "**" where depth > k + 1 }
  }
END
recipe hand <<'END'
  layers "fc1", "blocks.#", "fc2"
  optimizer AdamW(lr = 0.01 * 0.5^depth)
  stage a { steps = 5; freeze "fc1", "blocks.0" }
  stage b { steps = 5; freeze "fc1" }
  stage c { steps = 5 }
END
stable loop
train hand || fail 'stages by hand'
same loop hand 'stages of a for'
grep -q '"stage": "thaw\[2\]"' run-loop/metrics.jsonl || fail 'the name of a stage'

# a rule that only watches: squared gradients of the old task, kept for the new one (EWC)
{ cat <<'END'
optimizer Fisher() {
  state f: f32[..] = zeros()
  fn update(p: f32[..], g: f32[..]) {
    f' = f + g^2
    p' = p
  }
}
END
  printf '%s\n' "$head"
  printf '  load "decay.safetensors"\n  optimizer Fisher()\n  steps = 10\n  save "fisher.safetensors" state f\n  save "watched.safetensors"\n}\n'
} >watch.hone
train watch || fail 'the Fisher rule'
same decay watched 'a rule that leaves p alone'
"$hone" keys fisher.safetensors | grep -q '^blocks.1.weight' || fail 'keys of a saved state'
recipe ewc <<'END'
  load "decay.safetensors"
  optimizer SGD(lr = 0.05)
  penalty(p, p0, f) in "**" from "fisher.safetensors" = 0.5 * sum(f * (p - p0)^2)
  steps = 10
  checkpoint = 4
END
stable ewc
"$hone" check ewc.hone | grep -q '8 of 8 tensors fit' || fail 'hone check of a penalty from a file'
rm fisher.safetensors
"$hone" check ewc.hone 2>&1 | grep -q 'N521' || fail 'check without the file'
"$hone" run ewc.hone --quiet >/dev/null 2>&1
[ $? = 3 ] || [ $? = 2 ] || fail 'run without the file'
exit 0
