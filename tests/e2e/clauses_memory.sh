#!/usr/bin/env bash
# memory: what is computed again so that a run fits; the same training, and memory as planned.   clauses_memory.sh HONE
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../support/clauses.sh" "$1" "$here/../../samples"
cat >net.hone <<'END'
use nn
module Block(D, p = 0.1) {
  norm: LayerNorm(D)
  up:   Linear(D, 4*D)
  down: Linear(4*D, D)
  fn forward(x: [N, D]) -> [N, D] = x + down(dropout(gelu(up(norm(x))), p))
}
module Net(D = 64, n = 4, K = 5) {
  stem: Linear(64, D)
  h[i < n]: Block(D)
  head: Linear(D, K)
  fn forward(image: u8[N, 1, 8, 8]) -> [N, K] {
    x = stem(reshape(float(image) / 16, [N, 64]))
    for block in h { x = block(x) }
    return head(x)
  }
}
END
head=${head/batch = 16/batch = 256}
number() { sed -n "s/.*\"$1\": \([-0-9.e+]*\).*/\1/p"; }
# checked NAME OPTION…: what `hone check` prints; a recipe that was asked before is not planned again
checked() {
  local name=$1 known; shift
  known=known-$(sum "$name.hone")$(tr -d ' ' <<<"$*")
  [ -e "$known" ] || { "$hone" check "$name.hone" "$@" >known && mv known "$known"; } && cat "$known"
}
ask() { checked "$1" --threads "${3:-16}" --json | number "$2"; }
chosen() { checked "$1" | sed -n 's/^  recompute *//p'; }
recipe kept <<'END'
  optimizer AdamW(lr = 0.01)
  clip = 1.0
  steps = 12
END
most=$(ask kept peak_bytes)
least=$(sed 's/  clip/  recompute "h"\n  clip/' kept.hone >all.hone; ask all peak_bytes)
[ "$least" -lt $((most * 8 / 10)) ] || fail "between $least and $most bytes there is nothing to choose"

# with NAME BYTES: the recipe that keeps within so many
with() { sed "s/  clip/  memory = \"$(awk -v b="$2" 'BEGIN { printf "%.6f", b / 1024 }')KiB\"\n  clip/; s/kept.safe/$1.safe/" kept.hone >"$1.hone"; }
with enough $((most + 1))
[ -z "$(chosen enough)" ] || fail "it fits without: $(chosen enough)"
for part in 9 6 3 0; do
  with some $((least + (most - least) * part / 10 + 1))
  peak=$(ask some peak_bytes)
  [ "$peak" -le $((least + (most - least) * part / 10 + 1)) ] || fail "$part: planned are $peak bytes"
  echo "$peak of $most: $(chosen some)"
done
[[ $(chosen some) == 'h.0 .. h.'?' (memory): +'*'FLOP a step' ]] || fail "all: $(chosen some)"
with some $((least + (most - least) / 2))
[[ $(chosen some) == 'h.0'*'h.'[12]' (memory): +'*'FLOP a step' ]] || fail "half: $(chosen some)"
# one fewer would not do: what is chosen is as little as `recompute` can name
last=$(chosen some | sed 's/.*h.\([0-9]\) (.*/\1/')
sed "s/  clip/  recompute \"h.{$(seq -s, 0 $((last - 1)))}\"\n  clip/" kept.hone >fewer.hone
[ "$(ask fewer peak_bytes)" -gt $((least + (most - least) / 2)) ] || fail "h.0 .. h.$last: fewer fit"
for threads in 1 2 5; do
  [ "$(ask some activations_bytes $threads)" = "$(ask some activations_bytes)" ] || fail "$threads threads: another choice"
done

sed -i 's/  steps = 12/  steps = 12\n  checkpoint = 4/' some.hone
train kept || fail 'without'
stable some
near kept some 1e-5 'what is computed again is the same'
"$hone" run some.hone --threads 2 --json --out run-json >out 2>err || fail 'a run'
grep '"event": "end"' out >end
[ "$(number planned_bytes <end)" = "$(ask some peak_bytes 2)" ] || fail 'the run planned otherwise than the check'
if ! grep -aqE '__asan_init|__tsan_init' "$hone"; then
  awk -v planned="$(number planned_bytes <end)" -v measured="$(number measured_bytes <end)" 'BEGIN {
    print "planned", planned, "measured", measured
    exit !(measured < 1.05 * planned + 262144 && measured > 0.95 * planned - 262144) }' || fail 'measured is not as planned'
fi

# beside `recompute`, which counts first
with beside $((least + (most - least) / 2))
sed -i 's/  clip/  recompute "h.3"\n  clip/' beside.hone
[[ $(chosen beside) == 'h.0'* && $(chosen beside) != *h.3* ]] || fail "beside recompute: $(chosen beside)"
[ "$(ask beside peak_bytes)" -le $((least + (most - least) / 2)) ] || fail 'beside recompute: too much'

# every stage fits, parts of an update too; where little trains nothing is computed again
recipe whole <<'END'
  optimizer AdamW(lr = 0.01)
  stage head { steps = 4; freeze "**" except "head" }
  stage full { steps = 4; accumulate = 2 }
END
sed -i 's/batch = 256/batch = 192/' whole.hone
limit=$(($(ask whole peak_bytes) * 9 / 10240))
sed "s/  stage head/  memory = \"${limit}KiB\"\n  stage head/; s/whole.safe/staged.safe/" whole.hone >staged.hone
[[ $(chosen staged) == h.0* ]] || fail "stages: chosen is '$(chosen staged)'"
[ "$(ask staged peak_bytes)" -le $((limit * 1024)) ] || fail 'stages: too much'
train staged && train whole || fail 'stages'
near staged whole 1e-5 'stages'

# more threads than there is room for; and what cannot be
with tight $((least + 1))
"$hone" check tight.hone --threads 200 2>err
[ $? = 5 ] && grep -q 'there is room for `--threads 16`' err || fail "200 threads: $(cat err)"
with less $((least / 4))
for command in check run; do
  "$hone" $command less.hone 2>err >out
  [ $? = 5 ] && grep -q 'error\[E706\]: the run does not fit `memory`' err && grep -q 'activations' err &&
    grep -q 'the least is' err || fail "$command: $(cat out err)"
done
exit 0
