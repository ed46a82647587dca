#!/usr/bin/env bash
# The command line: help, version, explain, suggestions, exit codes.   command_line.sh HONE
set -u
hone=$1
. "$(dirname "$0")/../support/expect.sh"
expect 0 'hone explain' "$hone"
expect 0 'hone explain' "$hone" help
expect 0 'hone explain' "$hone" --help
expect 0 '--json' "$hone" help explain
expect 0 '--json' "$hone" explain --help
expect 0 'MIT licence' "$hone" version
expect 0 '"target":"' "$hone" version --json
expect 0 '"version"' "$hone" version --json
expect 0 'checkpoint' "$hone" explain E402
expect 0 'checkpoint' "$hone" explain e402
expect 2 'did you mean' "$hone" explain E42
expect 2 'wants a code' "$hone" explain
expect 2 'did you mean `hone version`' "$hone" verison
expect 2 'hone run x.hone' "$hone" x.hone
expect 2 'neither `hone grad-check` nor' "$hone" grad-check "$(dirname "$0")/../../samples/digits/pretrain.hone" --lrr 1
expect 2 '`hone grad-check` wants a recipe file' "$hone" grad-check
expect 2 'did you mean `--quiet`' "$hone" explain E402 --quit
expect 2 'two dashes' "$hone" explain -q
expect 2 'takes one recipe' "$hone" eval "$(dirname "$0")/../data/parity/text.hone" gpt2 bert
expect 2 '`--color` wants' "$hone" version --color purple
expect 2 '`--json` wants no value' "$hone" version --json=1
expect 2 '"code":"E710"' "$hone" explain E42 --json
# every code has a long text
for code in E001 E101 E201 E301 E401 E501 E601 E701; do
  [ "$("$hone" explain "$code" | wc -l)" -ge 3 ] || { echo "FAILED explain $code"; failed=1; }
done
# every command that compiles prints every stage, and the same one
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cp "$(dirname "$0")"/../../samples/digits/{train,valid}.npz "$work"
recipe=$work/small.hone
cat >"$recipe" <<'END'
use nn, losses, optim
module Net() {
  fc: Linear(64, 10)
  fn forward(image: u8[N, 1, 8, 8]) -> [N, 10] = fc(reshape(float(image) / 16, [N, 64]))
}
data d { train = arrays("train.npz"); valid = arrays("valid.npz"); batch = 32 }
finetune small {
  model: Net()
  step b in d {
    z    = model(b.image)
    loss = cross_entropy(z, b.label)
    metric accuracy = total(hits(z, b.label)) / total(count(b.label))
  }
  optimizer SGD(lr = 0.1)
  epochs = 1
}
END
for stage in ast recipe graph densify simplify fold cse clamp narrow prune separate lift split kernels plan llvm asm; do
  want=$("$hone" check "$recipe" --dump=$stage --threads 2)
  [ -n "$want" ] || { echo "FAILED check --dump=$stage"; failed=1; }
  for command in run explain bench 'eval --weights none'; do
    [ "$("$hone" $command "$recipe" --dump=$stage --threads 2)" = "$want" ] ||
      { echo "FAILED $command --dump=$stage"; failed=1; }
  done
  [ -n "$("$hone" bench --update 'SGD(lr = 0.1)' --shapes "$recipe" --dump=$stage)" ] ||
    { echo "FAILED bench --update --dump=$stage"; failed=1; }
done
expect 2 'there is no stage' "$hone" bench --update 'SGD(lr = 0.1)' --shapes "$recipe" --dump=nothing
expect 2 'is no move of fusion' "$hone" bench --update 'SGD(lr = 0.1)' --shapes "$recipe" --without=nothing
# a standard output that takes nothing is a failure, not silence
if [ -w /dev/full ]; then
  "$hone" help >/dev/full 2>/dev/null
  [ $? = 4 ] || { echo 'FAILED full disk'; failed=1; }
fi
exit $failed
