#!/usr/bin/env bash
# Rules of one's own: an `if` on the step's number is decided before the step, and what it leaves out is
# not computed; the same bits as if it were, for any number of threads, and after resuming.
#   optimizers.sh HONE
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../support/clauses.sh" "$1" "$here/../../samples"

# rule NAME TEXT: an optimizer of matrices whose u' is made by TEXT
rule() {
  printf 'optimizer %s(lr = 0.02, every = 3) {\n  state m: f32[R, C] = zeros()\n  state u: f32[R, C] = zeros()
  fn update(p: f32[R, C], g: f32[R, C], t: int) {\n    m'"'"' = 0.9 * m + g\n    %s
    p'"'"' = p - lr * u'"'"'\n  }\n}\n' "$1" "$2"
}
head=$(rule Late "if t % every == 1 { u' = newton_schulz(m', 3) }"
  rule Else "if t % every != 1 { u' = u } else { d = newton_schulz(m', 2); u' = 0.5 * d + 0.5 * newton_schulz(d, 1) }"
  rule Whole "u' = select(t % every == 1 and sum(abs(p)) >= 0.0, newton_schulz(m', 3), u)"
  printf '%s\n' "$head")
for rule in Late Whole Else; do
  recipe "$rule" <<END
  optimizer SGD(lr = 0.1)
  group "**.weight" { optimizer $rule() }
  steps = 31
  checkpoint = 4
END
done
stable Late
stable Else
train Whole || fail 'Whole'
same Late Whole 'a branch that is decided before the step'
waiting() { "$hone" check "$1.hone" --dump=plan | awk '/^# plan of eval/ { exit } / if t[0-9]+| unless t[0-9]+/ { n++ } END { print n + 0 }'; }
[ "$(waiting Late)" -gt 20 ] && [ "$(waiting Else)" -gt 20 ] || fail 'nothing waits for the condition'
[ "$(waiting Whole)" = 0 ] || fail 'a condition of data is no decision'
"$hone" explain Late.hone --threads 1 | grep -q "contract .*Late.hone:6 u' if t % every == 1" ||
  fail 'hone explain does not say what waits'

# a state in bfloat16 takes half the memory, in the run, in its checkpoints and in files
head="$(rule Short "if t % every == 1 { u' = newton_schulz(m', 3) }" | sed 's/state m: f32/state m: bf16/')
$head"
recipe Short <<'END'
  optimizer SGD(lr = 0.1)
  group "**.weight" { optimizer Short() }
  steps = 31
  checkpoint = 4
  save "short.m.safetensors" state m
END
stable Short
differ Late Short 'a state of bfloat16 is rounded'
"$hone" keys short.m.safetensors | grep -q 'fc1.weight *BF16 ' || fail 'the state is not saved as bfloat16'

# what a rule does to every element is one pass over p, g and its states, reads and writes counted:
# passes RULE STREAM…: kernels over all elements and how many tensors each reads and writes, most first
cat >rules.hone <<'END'
use optim, sched
option lr = 1e-3
module W() {
  param w: [3, 256, 256] = normal(1.0)
  fn forward(x: [N, 3, 256, 256]) -> f32 {
    y[c, h, v] = w[c, h, v] * x[0, c, h, v]
    return sum(y)
  }
}
data d { train = images("pictures", size = 256); batch = 1 }
finetune r {
  model: W()
  step s in d { loss = model(s.image) }
  optimizer RULE
  steps = 1
}
END
passes() {
  local rule=$1 got; shift
  sed "s/RULE/$rule/" rules.hone >rule.hone
  got=$("$hone" explain rule.hone --json --threads 1 | grep '"kind": "\(map\|rowwise\)"' |
    sed 's/.*"bytes": \([0-9.e+]*\),.*/\1/' | awk '{ n = int($1 / 786432); if (n) printf " %d", n }')
  [ "$got" = " $*" ] || fail "$rule: passes of$got tensors, not $*"
}
passes 'SGD(lr = 0.1)' 3
passes 'SGD(lr = 0.1, momentum = 0.9)' 5
passes 'AdamW(lr = lr * cosine(progress, 0.1))' 7
passes 'AdamW(amsgrad = true)' 9
passes 'Adamax()' 7
passes 'NAdam()' 7
passes 'RAdam()' 7
passes 'Adagrad()' 5
passes 'Adadelta()' 7
passes 'RMSprop()' 5
passes 'Lion()' 5
passes 'Adan()' 11
passes 'ScheduleFreeAdamW()' 7
passes 'LARS()' 5          # after the two norms
passes 'LAMB()' 7 3        # the step and both norms; the step scaled

# a rate is an argument of the step: another one compiles nothing
sed 's/RULE/AdamW(lr = lr * cosine(progress, 0.1))/' rules.hone >rule.hone
code() { "$hone" check rule.hone --dump=asm "$@" 2>/dev/null; }
[ "$(code | wc -l)" -gt 100 ] && [ "$(code)" = "$(code --lr 0.25)" ] || fail "another rate is other code"

# functions of whole matrices: Shampoo and SOAP
for rule in 'Shampoo(lr = 0.02, every = 5, eps = 1e-3)' 'SOAP(lr = 5e-3, every = 4)'; do
  name=${rule%%(*}
  recipe "$name" <<END
  optimizer SGD(lr = 0.1)
  group "**.weight" { optimizer $rule }
  steps = 31
  checkpoint = 4
END
  stable "$name"
done
"$hone" explain Shampoo.hone --threads 1 | grep -Eq '^ +call .* if \(t - 1\) % every == 0 +24x24 ' ||
  fail 'hone explain does not show the roots'
refused() { # refused CODE TEXT: of a step whose loss is TEXT
  printf '%s\n' "$head" | sed "s/^    loss = .*/    loss = $2/" >refused.hone
  printf '  optimizer SGD(lr = 0.1)\n  steps = 1\n}\n' >>refused.hone
  "$hone" check refused.hone 2>&1 | grep -q "error\[$1\]" || fail "$2: not $1"
}
refused E605 'sum(inverse_root(model.fc2.weight @ model.fc2.weight.T, 2))'
refused E106 'sum(inverse_root(model.fc2.weight, 2))'
refused E106 'sum(inverse_root(model.fc2.weight @ model.fc2.weight.T, model.fc2.weight))'
