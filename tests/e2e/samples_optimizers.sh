#!/usr/bin/env bash
# samples/optimizers, shortened: both rules go down, both recipes train, the rule is timed as it says.
set -u
here=$(cd "$(dirname "$0")" && pwd)
hone=$(realpath "$1")
. "$here/../support/expect.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r "$here/../../samples/optimizers" "$here/../../samples/digits" "$work"
cd "$work/optimizers" || exit 1
sed -i 's/epochs  = 12/epochs  = 3/' digits.hone
expect 0 '4 first steps of update rules, 0 do not go down' "$hone" grad-check rules.hone
expect 0 "rules.hone:9 p'" "$hone" explain digits.hone --threads 1
expect 0 'cautious finished' "$hone" run digits.hone --start 2
# p and m read and written, g read; m is half as wide: 16 bytes of each of 4,810 numbers
expect 0 '"bytes": 76960,' "$hone" bench rules.hone --update 'Cautious(lr = 1e-3)' --shapes digits.hone \
  --json --steps 2
exit $failed
