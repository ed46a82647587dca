#!/usr/bin/env bash
# hone new: what it makes is formatted, runs and learns; nothing that exists is touched.
set -eu
hone=$1
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
"$hone" new first --quiet
"$hone" fmt --check first/first.hone
"$hone" check first/first.hone --quiet
"$hone" run first/first.hone --json >out
grep '"event": "end"' out | sed 's/.*"best": //; s/,.*//' | awk '{ exit !($1 > 0.9) }'
[ -s first/first.safetensors ]
eval "$("$hone" run first/first.hone 2>&1 | sed -n "s|^  next  *hone|\"$hone\"|p")" | grep -q accuracy      # as it says

find first -type f ! -path '*/runs/*' -exec sha256sum {} + | sort >before
status=0; "$hone" new first 2>err || status=$?
[ $status = 2 ] && grep -q 'is there already' err || exit 1
find first -type f ! -path '*/runs/*' -exec sha256sum {} + | sort | cmp - before
for name in 2x a/b "" ..; do
  status=0; "$hone" new "$name" 2>err || status=$?
  [ $status = 2 ] && grep -q 'wants a name' err || exit 1
done
mkdir shut; chmod a-w shut; cd shut
[ -w . ] && exit 0          # root writes everywhere
status=0; "$hone" new other 2>err || status=$?
[ $status = 4 ]
