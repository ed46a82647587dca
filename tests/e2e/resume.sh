#!/usr/bin/env bash
# A run that is killed (-9) or stopped at any step and resumed ends with the bytes of the run that was
# not, and its metrics.jsonl has the same lines.   resume.sh HONE
set -u
hone=$(realpath "$1")
samples=$(cd "$(dirname "$0")/../../samples" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$samples"/digits/*.hone "$samples"/digits/*.npz "$work"
cd "$work"
set -m                                     # background jobs hear SIGINT
fail() { echo "FAILED: $*"; exit 1; }
sum() { sha256sum <"$1" | cut -c1-64; }
# Every line is a record; the last one may miss while a run goes on.
lines_whole() {
  [ ! -s "$1/metrics.jsonl" ] ||
    [ -z "$(grep -vE '^\{"stage": "[a-z]+", "step": [0-9]+, .*\}$' "$1/metrics.jsonl")" ]
}
# Waits until the run of process $1 has $2 lines of metrics, or is over.
wait_lines() {
  for ((i = 0; i < 4000; i++)); do
    kill -0 "$1" 2>/dev/null || return 0
    [ -f "$3/metrics.jsonl" ] && [ "$(wc -l <"$3/metrics.jsonl")" -ge "$2" ] && return 0
    sleep 0.005
  done
  fail "no $2 lines of metrics"
}

# 10 steps of the head, then 40 of everything; the head is saved at step 4 and 8, the rest every 7
sed -i 's/epochs *= 10/steps = 20/' pretrain.hone
sed -i 's/epochs *= 4/steps = 10\n    checkpoint = 4\n    every = 5/' finetune.hone
sed -i 's/epochs *= 12/steps = 40\n    checkpoint = 7\n    every = 10/' finetune.hone
"$hone" run pretrain.hone --quiet || fail 'the pretraining'
"$hone" run finetune.hone --quiet --out whole || fail 'the run that is not stopped'
want=$(sum digits.safetensors)
lines=$(sum whole/metrics.jsonl)
total=$(wc -l <whole/metrics.jsonl)

# resumed THREADS WHAT: resumes until it is through and compares
resumed() {
  "$hone" run finetune.hone --quiet --out killed --threads "$1" --resume || fail "resuming after $2"
  [ "$(sum digits.safetensors)" = "$want" ] || fail "$2: other weights"
  [ "$(sum killed/metrics.jsonl)" = "$lines" ] || fail "$2: other metrics"
  rm -rf killed digits.safetensors
}

RANDOM=20
for at in 1 9 $((12 + RANDOM % 15)) $((30 + RANDOM % 15)) $((total - 1)); do
  rm -f digits.safetensors
  "$hone" run finetune.hone --quiet --out killed --threads 2 &
  pid=$!
  wait_lines $pid "$at" killed
  kill -9 $pid 2>/dev/null
  wait $pid 2>/dev/null
  lines_whole killed || fail "killed after line $at: half a line of metrics"
  if [ -d killed ]; then
    resumed 1 "kill -9 after line $at"
  fi
done

# killed again and again: every life makes some way
rm -f digits.safetensors
for life in 6 14 38; do
  "$hone" run finetune.hone --quiet --out killed --threads 1 $([ -d killed/best ] && echo --resume) &
  pid=$!
  wait_lines $pid $life killed
  kill -9 $pid 2>/dev/null
  wait $pid 2>/dev/null
done
resumed 2 'three kills'

# asked to stop: exit 130 and 143, a checkpoint at that very step, one line that says so
for signal in INT TERM HUP; do
  "$hone" run finetune.hone --out killed --threads 2 2>killed.err &
  pid=$!
  wait_lines $pid 8 killed
  kill -$signal $pid 2>/dev/null
  wait $pid
  code=$?
  if [ $code != 0 ]; then                  # else it was through before the signal came
    [ $code = 130 ] || [ $code = 143 ] || fail "SIG$signal: exit $code"
    step=$(sed -n 's/.*stopped by SIG'$signal' after step \([0-9]*\); checkpoint-\1 saved.*/\1/p' killed.err)
    [ -n "$step" ] && [ -f "killed/checkpoint-$step/manifest.json" ] || fail "SIG$signal: $(cat killed.err)"
  fi
  resumed 2 "SIG$signal"
done

# one run at a time in a run directory; the first is still at it whenever the second comes
sed 's/steps = 40/steps = 40000000/' finetune.hone >long.hone
"$hone" run long.hone --quiet --out busy 2>/dev/null &
pid=$!
wait_lines $pid 3 busy
"$hone" run long.hone --out busy --resume >busy.err 2>&1
[ $? = 4 ] && grep -q 'another run is writing' busy.err || fail "two runs at once: $(cat busy.err)"
kill -TERM $pid
wait $pid 2>/dev/null
[ $? = 143 ] || fail 'the run that was first'

# what a run does not depend on may change; what it does is named
printf '# a remark\n\n' | cat - finetune.hone | sed 's/save "digits/save "other/' >remark.hone
"$hone" run remark.hone --quiet --out whole --resume || fail 'a remark and another place to save'
[ "$(sum other.safetensors)" = "$want" ] || fail 'a remark: other weights'
sed 's/batch = 32/batch = 16/' finetune.hone >batch.hone
# other TEXT COMMAND…: exits with 7 and says the text
other() {
  local text=$1 code
  shift
  "$@" >other.err 2>&1
  code=$?
  [ $code = 7 ] && grep -qF -- "$text" other.err || fail "$*: exit $code, wanted 7 with $text: $(cat other.err)"
}
other 'then `batch = 32`, now `batch = 16`' "$hone" run batch.hone --out whole --resume
other 'now `# --lr 0.1`' "$hone" run finetune.hone --out whole --resume --lr 0.1
other 'no run in `hwole` to resume' "$hone" run finetune.hone --out hwole --resume
[ ! -e hwole ] || fail 'a folder that was misspelt is made'

# what an imported file says counts: a list of numbers, first values, how long a stage is
cat >parts.hone <<'EOF'
let tint = [0.5, 2.0, 1.5]
fn times(n: int) { return n * 20 }
module Net() {
  param weight: [3, 5] = normal(0.1)
  fn forward(image: u8[N, 1, 8, 8]) -> [N, 5] {
    x[n, k<3] = mean[i, j] float(image[n, 0, i, j]) * tint[k]
    z[n, c] = sum[k] x[n, k] * weight[k, c]
    return z
  }
}
EOF
cat >imports.hone <<'EOF'
use parts, losses, optim
data d { train = arrays("old-train.npz"); batch = 32 }
finetune imports {
  model: Net()
  step b in d { loss = cross_entropy(model(b.image), b.label) }
  optimizer SGD(lr = 0.01)
  steps = times(2)
  checkpoint = 10
}
EOF
"$hone" run imports.hone --quiet --out imports || fail 'a recipe that imports'
cp parts.hone parts.saved
for edit in 's/1.5\]/1.25]/' 's/normal(0.1)/normal(0.2)/' 's/n \* 20/n * 21/'; do
  sed -i "$edit" parts.hone
  cmp -s parts.hone parts.saved && fail "no edit: $edit"
  "$hone" run imports.hone --out imports --resume >edit.err 2>&1
  [ $? = 7 ] && grep -q 'E708.*made by another recipe' edit.err || fail "an import, $edit: $(cat edit.err)"
  cp parts.saved parts.hone
done
"$hone" run imports.hone --quiet --out imports --resume || fail 'the import as it was'

# damaged: the newest checkpoint is passed over, the one before it serves
"$hone" run finetune.hone --quiet --out killed --threads 2 &
pid=$!
wait_lines $pid 30 killed
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
newest=$(ls -d killed/checkpoint-* | sort -t- -k2n | tail -1)
[ "$(ls -d killed/checkpoint-* | wc -l)" -ge 2 ] || fail 'fewer than two checkpoints'
printf 'x' | dd of="$newest/weights.safetensors" bs=1 seek=5000 conv=notrunc 2>/dev/null
"$hone" run finetune.hone --out killed --resume 2>damaged.err >/dev/null || fail 'a damaged checkpoint'
grep -q '1 damaged checkpoint passed over' damaged.err || fail "nothing said: $(cat damaged.err)"
[ "$(sum digits.safetensors)" = "$want" ] || fail 'damaged checkpoint: other weights'
exit 0
