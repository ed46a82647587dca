#!/usr/bin/env bash
# hone doc: the libraries, what one has, one item; of a file of one's own; names that are not there.
set -eu
hone=$1
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
"$hone" doc >out
for library in nn losses optim sched resnet mobilenet_v1; do grep -q "^  $library  *[^ ]" out; done
"$hone" doc nn >out
grep -q '^  module  Conv2d  ' out && grep -q '^  fn  *softmax  ' out || exit 1
"$hone" doc nn.Linear >out
grep -q '^module Linear(I, O, biased = true)$' out
grep -q '^    weight  \[O, I\]  param$' out && grep -q '^    bias    \[O\]     param, if biased$' out || exit 1
"$hone" doc Linear | cmp - out
"$hone" doc optim --json | grep -q '{"kind": "optimizer", "name": "AdamW", "library": "optim", '

printf '# own.hone -- mine\n\n# Doubles x.\nfn twice(x: [..]) = 2 * x\n' >own.hone
"$hone" doc own.hone twice >out
grep -q '^fn twice(x: \[..\]) = 2 \* x$' out && grep -q '^    Doubles x.$' out || exit 1
status=0; "$hone" doc Conv2 2>err || status=$?
[ $status = 2 ] && grep -q 'did you mean `hone doc Conv2d`' err || exit 1
status=0; "$hone" doc none.hone 2>err || status=$?
[ $status = 3 ] && grep -q 'cannot read `none.hone`' err || exit 1
status=0; "$hone" doc normal 2>err || status=$?
[ $status = 2 ] && grep -q '`normal` is part of the language itself' err || exit 1
