#!/usr/bin/env bash
# Object code is kept between runs: the second compiles nothing, the bits are the same, and a folder
# that is damaged, forbidden, a file, or missing altogether changes nothing but time.
set -eu
hone=$1
work=$(mktemp -d); trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
cp "$(dirname "$0")"/../../samples/digits/*.{hone,npz} "$work"
cd "$work"
sed -i 's/epochs *= 10/epochs = 1/' pretrain.hone
export XDG_CACHE_HOME=$work/cache

n=0
run() { # run NAME WANTED [OPTION…]: the line of --time says how many modules were found
  n=$((n + 1)) what=$1 wanted=$2; shift 2
  said="said-${what// /-}"
  "$hone" run pretrain.hone --quiet --time --out "run$n" "$@" 2>"$said" || { cat "$said"; exit 1; }
  grep -Eq "$wanted modules from the cache" "$said" || { echo "$what:"; cat "$said"; exit 1; }
  sum=$(sha256sum <pretrained.safetensors)
  [ "${first:=$sum}" = "$sum" ] || { echo "$what: other weights"; exit 1; }
}
run 'empty'          ' 0 of [1-9][0-9]*'
run 'filled'         ' ([1-9][0-9]*) of \1'
run '--no-cache'     ' 0 of [1-9][0-9]*' --no-cache
for file in cache/hone/*.o; do printf 'torn' >"$file"; done
run 'torn'           ' 0 of [1-9][0-9]*'
run 'mended'         ' ([1-9][0-9]*) of \1'
rm -rf cache
run 'deleted'        ' [0-9]+ of [1-9][0-9]*' &     # either may find what the other has written
run 'two writers'    ' [0-9]+ of [1-9][0-9]*' --out other
wait $!
run 'both gone'      ' ([1-9][0-9]*) of \1'
rm -rf cache; echo 'a file' >cache
run 'a file'         ' 0 of [1-9][0-9]*'
export XDG_CACHE_HOME=/proc/none
run 'forbidden'      ' 0 of [1-9][0-9]*'
unset XDG_CACHE_HOME; mkdir home
HOME=$work/home run 'home'      ' 0 of [1-9][0-9]*'
HOME=$work/home run 'home kept' ' ([1-9][0-9]*) of \1'
[ -n "$(ls "$work"/home/.cache/hone)" ]
unset HOME
run 'no home'        ' 0 of [1-9][0-9]*'
