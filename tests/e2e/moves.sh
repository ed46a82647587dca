#!/usr/bin/env bash
# --without=MOVE: every move of fusion can be left out, alone and all together; the plan is another, the
# losses of a run are the same within float error; what is no move is refused.
set -eu
hone=$1
here=$(cd "$(dirname "$0")/.." && pwd)
samples=$here/../samples/digits
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cp "$samples"/*.{hone,npz} "$work"
cd "$work"
wrong() { echo "moves: $1"; cat out err 2>/dev/null; exit 1; }
sed -i 's/epochs = .*/steps = 10/; s/^  save .*//' pretrain.hone

losses() { # losses NAME [OPTION]: the losses of a run
  local name=$1; shift
  "$hone" run pretrain.hone --quiet --out "run-$name" "$@" >out 2>err || wrong "$name failed"
  grep -o '"loss": [-0-9.e+]*' "run-$name/metrics.jsonl" | cut -d' ' -f2 >"losses-$name"
  [ -s "losses-$name" ] || wrong "$name: no losses"
}
losses nothing
"$hone" check pretrain.hone --dump=plan >plan-nothing 2>err
moves='slots inline recompute loops rows chain contraction'
for move in $moves $(echo $moves | tr ' ' ,); do
  losses "$move" "--without=$move"
  paste losses-nothing "losses-$move" | awk '{ d = $1 - $2; d = d < 0 ? -d : d }
    d > 1e-4 * ($1 < 0 ? -$1 : $1) { exit 1 }' || { paste losses-nothing "losses-$move"; wrong "$move: other losses"; }
  "$hone" check pretrain.hone --without="$move" --dump=plan >plan-other 2>err
  case $move in slots | recompute | chain) ;; *) cmp -s plan-nothing plan-other && wrong "$move: the same plan" ;; esac
done
for text in fuse inline,none rows,rows; do
  got=0; "$hone" check pretrain.hone --without="$text" >out 2>err || got=$?
  [ $got = 2 ] && grep -q 'moves are slots inline recompute loops rows chain contraction' err || wrong "$text accepted"
done

# Attention: without its chains scores are stored, forward and backward; the losses are the same.
cp "$here"/data/parity/text.hone "$here"/data/parity/{gpt2,bert}.{npz,safetensors} .
for recipe in gpt2 bert; do
  activations=()
  for without in nothing chain; do
    option=${without/nothing/}
    "$hone" run text.hone $recipe --quiet --out "run-$recipe-$without" ${option:+--without=$option} >out 2>err ||
      wrong "$recipe without $without failed"
    grep -o '"loss": [-0-9.e+]*' "run-$recipe-$without/metrics.jsonl" | cut -d' ' -f2 >"losses-$without"
    [ -s "losses-$without" ] || wrong "$recipe $option: no losses"
    activations+=("$("$hone" check text.hone $recipe ${option:+--without=$option} --dump=plan | awk '/^activations/ { print $2; exit }')")
  done
  paste losses-nothing losses-chain | awk '{ d = $1 - $2; d = d < 0 ? -d : d } d > 1e-5 * $1 { exit 1 }' ||
    { paste losses-nothing losses-chain; wrong "$recipe: other losses without chains"; }
  [ "${activations[0]}" -lt "${activations[1]}" ] || wrong "$recipe: chains save no memory: ${activations[*]}"
done
