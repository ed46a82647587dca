#!/usr/bin/env bash
# hone fmt: writes only what changes, whole; --check writes nothing; a file with errors stays.
set -eu
hone=$1
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
printf 'let a=1\nlet bb = 2\n' >loose.hone
printf 'let a  = 1\nlet bb = 2\n' >tidy.hone
printf 'let a = (1\n' >wrong.hone
cp loose.hone loose.before
cp wrong.hone wrong.before

status=0; "$hone" fmt --check loose.hone tidy.hone >out || status=$?
[ $status = 1 ] && [ "$(cat out)" = loose.hone ] && cmp -s loose.hone loose.before || exit 1
status=0; "$hone" fmt loose.hone tidy.hone wrong.hone >out 2>err || status=$?
[ $status = 2 ] && [ "$(cat out)" = loose.hone ] && grep -q 'E001' err || exit 1
cmp loose.hone tidy.hone
cmp wrong.hone wrong.before
"$hone" fmt --check loose.hone tidy.hone
[ "$(cp loose.before loose.hone; "$hone" fmt --json loose.hone)" = '{"file": "loose.hone"}' ]
ln -s loose.hone link.hone                 # a link stays one, and permissions stay
cp loose.before loose.hone; chmod 750 loose.hone
"$hone" fmt link.hone >out
[ -L link.hone ] && cmp loose.hone tidy.hone && [ "$(stat -c %a loose.hone)" = 750 ] || exit 1
rm link.hone
if [ -w /dev/full ]; then                  # names that nobody can read are a failure to write
  status=0; printf 'let a=1\n' >loose.hone; "$hone" fmt --check loose.hone >/dev/full 2>err || status=$?
  [ $status = 4 ] && grep -q E701 err || exit 1
  cp tidy.hone loose.hone
fi
status=0; "$hone" fmt none.hone 2>err || status=$?
[ $status = 3 ] && grep -q 'cannot read `none.hone`' err || exit 1
status=0; "$hone" fmt 2>err || status=$?
[ $status = 2 ]
[ "$(ls -A | sort | tr '\n' ' ')" = "err loose.before loose.hone out tidy.hone wrong.before wrong.hone " ]
