#!/usr/bin/env bash
# hone check of files without a recipe: definitions are checked, nothing runs.   check_library.sh HONE
set -u
hone=$1
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. "$(dirname "$0")/../support/expect.sh"
expect 0 '' "$hone" check "$here/../../samples/digits/net.hone"
for file in "$here"/../../compiler/std/*.hone "$here"/../../compiler/std/models/*.hone; do
  expect 0 '' "$hone" check "$file"
done
expect 0 "" "$hone" check "$here/../data/language.hone"
expect 2 'E201' "$hone" check "$here/../golden/model/library.hone"
expect 2 '"code":"E201"' "$hone" check "$here/../golden/model/library.hone" --json
expect 0 'W209' "$hone" check "$here/../golden/model/w209_dim.hone"
printf 'fn f(x: [N, K]) -> [N] {\n  y[n] = sum[k] x[n, k]\n  return y\n' >"$work/open.hone"
expect 2 'E002' "$hone" check "$work/open.hone"
: >"$work/empty.hone"
expect 0 '' "$hone" check "$work/empty.hone"
cat >"$work/heads.hone" <<'END'
use nn
module Attend(D, heads) {
  q: Linear(D, D)
  fn forward(x: [B, T, D]) -> [B, heads, T, D / heads] {
    y = reshape(q(x), [B, T, heads, D / heads])
    z[b, h, t, d] = y[b, t, h, d]
    return rotary(z)
  }
}
END
expect 0 'no errors' "$hone" check "$work/heads.hone"
expect 2 'cannot read' "$hone" check "$work"
exit $failed
