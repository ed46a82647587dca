#!/usr/bin/env bash
# Several models in one recipe, several recipes in one file, keys by `as` and `tie`, options, files that
# stand before the library's.   clauses_models.sh HONE
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../support/clauses.sh" "$1" "$here/../../samples"
. "$here/../support/expect.sh"

# a teacher, which stays as it is, and a smaller student that learns from it and never sees a label
recipe teacher <<'END'
  optimizer AdamW(lr = 0.01)
  steps = 120
END
train teacher || fail 'the teacher'
cat >distil.hone <<'END'
use net, nn, losses, optim
data old { train = arrays("old-train.npz"); valid = arrays("old-valid.npz"); batch = 16 }
finetune distil {
  teacher: Net()
  student: Net(H = 12)
  load "teacher.safetensors" into teacher
  step b in old {
    z    = student(b.image)
    y    = teacher(b.image)
    loss = distill(z, y)
    metric accuracy = total(hits(z, b.label)) / total(count(b.label))
    metric taught   = total(hits(y, b.label)) / total(count(b.label))
  }
  freeze "teacher"
  optimizer AdamW(lr = 0.02)
  epochs = 4
  checkpoint = 17
  save "distil.safetensors"
  save "student.safetensors" only "student" { rename "student.**" -> "**" }
  save "same.safetensors" only "teacher" { rename "teacher.**" -> "**" }
}
END
stable distil
same same teacher 'the teacher stays as it is'
"$hone" keys student.safetensors | grep -q '^fc1.weight .*\[12, 64\]' || fail "keys of the student"
"$hone" keys distil.safetensors | grep -q '^student.fc1.weight' || fail 'prefixes of several models'
grep -Eq '"accuracy": 0\.(8|9)[0-9]*, "taught": 0\.9' run-distil/metrics.jsonl || fail "what the student learnt: $(tail -1 run-distil/metrics.jsonl)"

# several recipes in one file run in order; names choose
cat >several.hone <<'END'
use net, nn, losses, optim
option rate: float = 0.01  "learning rate of both"
option width       = 24    "features between the layers"
option quick       = true  "only a few steps"
option low: float  = -1    "never read"
option sizes       = [3]   "never read"
data old { train = arrays("old-train.npz"); batch = 16 }
finetune first {
  model: Net(H = width)
  step b in old { loss = cross_entropy(model(b.image), b.label) }
  optimizer SGD(lr = rate)
  steps = select(quick, 2, 4)
  save "first.safetensors"
}
finetune second {
  model: Net(H = width)
  load "first.safetensors"
  step b in old { loss = cross_entropy(model(b.image), b.label) }
  optimizer SGD(lr = rate)
  steps = 1
  save "second.safetensors"
}
END
"$hone" run several.hone second --quiet 2>/dev/null && fail 'the second has nothing to start from'
"$hone" run several.hone --quiet || fail 'both'
[ -d runs/first ] && [ -d runs/second ] || fail 'each has a run directory'
first=$(sum first.safetensors)
"$hone" run several.hone second --quiet --rate 0.5 || fail 'the second alone'
[ "$(sum first.safetensors)" = "$first" ] || fail 'the first ran too'
[ -d runs/second-2 ] && [ ! -d runs/first-2 ] || fail 'run directories'
"$hone" run several.hone second first --quiet --no-quick --width 8 || fail 'both by name'
"$hone" keys second.safetensors | grep -q '^fc1.weight .*\[8, 64\]' || fail 'an option of the build clock'
[ "$(grep -c '"loss"' runs/first-2/metrics.jsonl)" = 4 ] || fail 'an option turned off'
expect 2 'did you mean `first`?' "$hone" run several.hone firts
expect 2 'it has `first`, `second`' "$hone" run several.hone third
help=$("$hone" run several.hone --help)
for line in '--rate NUMBER +learning rate of both; default: 0.01' \
  '--width INT +features between the layers; default: 24' '--quick +only a few steps; default: true' \
  '--low NUMBER +never read; default: -1'; do
  grep -Eq -- "$line" <<<"$help" || { echo "$help"; fail "no line \`$line\` in the help"; }
done
expect 2 'rate' "$hone" run several.hone --rat 1
expect 2 'its default is a list' "$hone" run several.hone --sizes 4

# one tensor, two keys: either is read, both where they agree, one is written
tied() { # NAME KEYS: a recipe whose two layers are one, loaded from a file of the keys
  cat <<END
use net, nn, losses, optim
module Tied() {
  a, b: Linear(64, 64, biased = false)
  $2
  fn forward(image: u8[N, 1, 8, 8]) -> [N, 64] = b(relu(a(reshape(float(image) / 16, [N, 64]))))
}
data old { train = arrays("old-train.npz"); batch = 16 }
finetune r {
  model: Tied()
  $3
  step b in old { loss = cross_entropy(model(b.image), b.label) }
  optimizer SGD(lr = 0.0)
  steps = 1
  save "$1.safetensors" $4
}
END
}
tied two '' '' '' >two.hone
tied one 'tie b.weight = a.weight' 'load "two.safetensors" { ignore "b" }' '' >one.hone
tied other 'tie b.weight = a.weight' 'load "two.safetensors" { ignore "a" }' '' >other.hone
train two && train one && train other || fail 'tied layers'
"$hone" keys one.safetensors | grep -q '^b.weight' && fail 'a tied tensor is written twice'
differ one other 'either key is read'
tied both 'tie b.weight = a.weight' 'load "two.safetensors"' '' >both.hone
expect 2 'E406' "$hone" run both.hone --quiet
# a file that has both and agrees: two models of one recipe write it
sed 's/model: Tied()/a: Tied()\n  c: Tied()\n  load "one.safetensors" into a\n  load "one.safetensors" into c/
  s/^  load "two.*//; s/model(/a(/; s/save .*/save "agree.safetensors" { rename "a.a" -> "a"; rename "c.a" -> "b" }/
  s/cross_entropy(a(b.image)/cross_entropy(a(b.image) + c(b.image)/' one.hone >agree.hone
train agree || fail 'two models'
tied again 'tie b.weight = a.weight' 'load "agree.safetensors"' '' >again.hone
train again || fail 'both keys, and they agree'
same again one 'both keys, and they agree'

# keys that are no names
sed 's/  a, b: Linear/  a as "layers.0.0": Linear(64, 64, biased = false)\n  b as "": Linear/
  s/load .*/load "two.safetensors" { rename "a" -> "layers.0.0"; rename "b.weight" -> "weight" }/
  s/save .*/save "renamed.safetensors"/; s/tie .*//' one.hone >as.hone
train as || fail 'keys by as'
[ "$("$hone" keys renamed.safetensors | awk 'NR > 1 { printf "%s ", $1 }')" = 'layers.0.0.weight weight ' ] || fail 'keys by as'

# a file beside the recipe stands before the library's of the same name
printf 'fn cross_entropy(z: [N, K], y: i32[N]) -> f32 = 7.0 + 1e-30 * sum(z)\n' >losses.hone
train two || fail 'a file beside the recipe'
grep -q '"loss": 7,' run-two/metrics.jsonl || fail 'the file beside the recipe'
rm losses.hone

# what a run proposes next names the recipe, and a file that has all of the model
cat >next.hone <<'END'
use net, nn, losses, optim
data old { train = arrays("old-train.npz"); valid = arrays("old-valid.npz"); batch = 16 }
finetune whole {
  model: Net()
  step b in old {
    z    = model(b.image)
    loss = cross_entropy(z, b.label)
    metric accuracy = total(hits(z, b.label)) / total(count(b.label))
  }
  optimizer SGD(lr = 0.01)
  steps = 2
  save "head.safetensors" only "fc2"
  save "renamed.safetensors" { rename "fc1.**" -> "first.**" }
  save "whole.safetensors"
}
finetune part {
  model: Net()
  load "renamed.safetensors" { rename "first.**" -> "fc1.**" }
  step b in old {
    z    = model(b.image)
    loss = cross_entropy(z, b.label)
    metric accuracy = total(hits(z, b.label)) / total(count(b.label))
  }
  optimizer SGD(lr = 0.01)
  steps = 2
  save "part.safetensors" only "fc2"
}
END
sed -i 's/^  steps = 2/  let unused = 1\n  steps = 2/' next.hone
"$hone" run next.hone >out 2>&1 || fail 'next'
[ "$(grep -c W210 out)" = 2 ] || fail "each warning is said once: $(cat out)"
sed -n 's/^  next *hone //p' out >next
[ "$(cat next)" = "$(printf 'eval next.hone whole --weights whole.safetensors\nkeys part.safetensors')" ] || fail "what is next: $(cat next)"
"$hone" $(head -1 next) | grep -q accuracy || fail 'it does not work'
expect 3 'E403' "$hone" eval next.hone part --weights part.safetensors
exit $failed
