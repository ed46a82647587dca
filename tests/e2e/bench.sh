#!/usr/bin/env bash
# hone bench: a recipe's step without data and weights, whole numbers that subscript included, and of
# several parts; an update rule of the library, and one made up here, over a recipe's and a file's shapes; and what is refused.
set -eu
hone=$1
samples=$(dirname "$0")/../../samples/digits
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cp "$samples"/*.{hone,npz} "$work"
cd "$work"
wrong() { echo "bench: $1"; cat out err 2>/dev/null; exit 1; }
number() { sed -n "s/.*\"$2\": \([-0-9.e+]*\).*/\1/p" "$1"; }

"$hone" bench pretrain.hone --steps 3 --threads 2 >out 2>err || wrong 'failed'
for part in forward backward step; do
  grep -Eq "^  $part +[0-9]+ +[0-9.]+ [um]?s .* %" out || wrong "no $part"
done
grep -q 'median of 3 steps' out || wrong '--steps'
ls runs 2>/dev/null && wrong 'left a run directory'
"$hone" bench finetune.hone --steps 2 --json >out 2>err || wrong 'failed on weights that are not there'
[ "$(grep -c '"step": {"seconds": [0-9.e-]*' out)" = 2 ] || wrong 'a line per stage'
grep -q '"peak_bytes": [1-9]' out || wrong 'memory'

cat >words.hone <<'EOF'
use optim, losses
module Words() {
  param table: [11, 16] = normal(0.1)
  fn forward(t: i32[N]) -> [N, 16] {
    y[n, d] = table[t[n], d]
    return y
  }
}
data d { train = images("pictures", size = 2); batch = 64 }
finetune words {
  model: Words()
  step b in d { loss = mean(model(b.label)^2) }
  optimizer SGD(lr = 0.1)
  steps = 1
}
EOF
"$hone" bench words.hone --steps 2 >out 2>err || wrong 'subscripts from made-up labels'

# an update of parts: each counted and trained as often as there are parts, updated once
sed 's/steps = 1/accumulate = 4; steps = 1/; s|loss = .*|loss = total(sum(model(b.label)^2)) / total(count(b.label)) }|' \
  words.hone >parts.hone
"$hone" bench words.hone --steps 2 --json >whole 2>err || wrong 'one part'
"$hone" bench parts.hone --steps 2 --json >parts 2>err || wrong 'parts'
part() { grep -o "\"$2\": {[^}]*}" "$1" >row; number row "$3"; }
for part in forward backward update; do
  awk -v n="$(part parts $part kernels)" -v t="$(part parts $part seconds)" 'BEGIN { exit !(n > 0 && t > 0) }' ||
    wrong "parts: no $part"
done
[ "$(number parts accumulate)" = 4 ] || wrong 'parts: how many'
[ $(($(part parts backward kernels) % 4)) = 0 ] || wrong 'parts: a backward pass each'
awk -v one="$(part whole backward flops)" -v four="$(part parts backward flops)" \
  'BEGIN { exit !(four > 3.5 * one) }' || wrong 'parts: FLOPs of all'
"$hone" bench parts.hone --steps 2 >out 2>err || wrong 'parts'
grep -q 'steps, each of 4 parts$' out || wrong 'parts: not said'
grep -q 'computed where its gradient is' out && wrong 'parts: an update of its own denied'

rule() { # rule RULE SHAPES BYTES [FILE]: "seconds" and "stream_seconds" above 0, bytes as wanted
  local rule=$1 shapes=$2 bytes=$3; shift 3
  "$hone" bench "$@" --update "$rule" --shapes "$shapes" --steps 3 --json >out 2>err || wrong "$rule"
  [ "$(number out bytes)" = "$bytes" ] || wrong "$rule: wanted $bytes bytes"
  awk -v a="$(number out seconds)" -v b="$(number out stream_seconds)" 'BEGIN { exit !(a > 0 && b > 0) }' ||
    wrong "$rule: times"
}
n=$("$hone" keys words.hone --json 2>/dev/null | wc -l); [ "$n" = 1 ] || wrong 'keys'
rule 'SGD(lr = 0.1)' words.hone $((11 * 16 * 3 * 4))
rule 'AdamW(lr = 1e-3 * cosine(progress))' words.hone $((11 * 16 * 7 * 4))
"$hone" run pretrain.hone --quiet
elements=$(($("$hone" keys pretrained.safetensors --json | sed 's/.*\[\(.*\)\].*/\1/; s/, /*/g; s/^$/1/' | paste -sd+)))
rule 'Lion(lr = 1e-4)' pretrained.safetensors $((elements * 5 * 4))
mkdir lib
cat >lib/mine.hone <<'EOF'
optimizer Mine(lr = 1e-2) {
  state a: f32[..] = zeros()
  fn update(p: f32[..], g: f32[..]) {
    a' = 0.5 * a + abs(g)
    p' = p - lr * g / (1 + a')
  }
}
EOF
rule 'Mine(lr = 0.1)' words.hone $((11 * 16 * 5 * 4)) lib/mine.hone
"$hone" bench --update 'SGD(lr = 0.1)' --shapes words.hone --steps 3 >out 2>err
grep -Eq 'of the time that reading and writing the same bytes takes' out || wrong 'text'

expect() { # expect EXIT TEXT WORD…
  local exit=$1 text=$2 got=0; shift 2
  "$hone" bench "$@" >out 2>err || got=$?
  [ $got = "$exit" ] && grep -q -- "$text" out err || wrong "$*: exit $got"
}
expect 2 'wants a recipe file'
expect 2 'cannot read the recipe' none.hone
expect 2 'go together' --update 'SGD()'
expect 2 'go together' --shapes words.hone
expect 2 'did you mean' --update 'AdmW()' --shapes words.hone
expect 2 '' --update 'SGD(' --shapes words.hone
expect 2 'no argument\|has no' --update 'SGD(speed = 1)' --shapes words.hone
expect 2 'E109' none.hone --update 'SGD()' --shapes words.hone
expect 3 'E702' --update 'SGD()' --shapes none.safetensors
printf 'torn' >torn.safetensors
expect 3 'torn.safetensors' --update 'SGD()' --shapes torn.safetensors
expect 2 'whole number' words.hone --steps 0
sed 's/train = arrays.*/train = arrays("none.npz")/' pretrain.hone >nodata.hone
expect 3 'fields of the data are not known' nodata.hone
