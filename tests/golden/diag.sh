#!/usr/bin/env bash
# Every code of diag.def has an example that raises it, with what the person reads beside it: a recipe in
# model/ (unit/model_golden compares those), or here a file that `hone check` refuses or a script. And
# `hone explain CODE` prints its long text. HONE_BLESS=1 rewrites the texts of diag/.   diag.sh HONE
set -u
hone=$(realpath "$1")
export hone XDG_CACHE_HOME NO_COLOR=1
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
fail() { echo "FAILED $*"; failed=1; }

# No example can be given: E508 speaks of binaries that `hone build` made, which does not exist yet; E799 of
# mistakes in hone itself that nobody knows of (unit/diag prints one).
none="E508 E799"

# example CODE: what the command prints, in a folder with a small recipe that runs
example() {
  rm -rf "$work/folder"
  mkdir "$work/folder"
  cp "$here"/diag/r.hone "$here"/model/d.safetensors "$work/folder"
  cd "$work/folder" || exit 1
  if [ -f "$here/diag/$1.hone" ]; then
    cp "$here/diag/$1.hone" .
    "$hone" check "$1.hone"
  else
    bash "$here/diag/$1.sh"
  fi 2>&1
}

for code in $(sed -n 's/^DIAG(\([A-Z][0-9]*\),.*/\1/p' "$here/../../compiler/base/diag.def"); do
  "$hone" explain "$code" >"$work/text" || fail "$code: no long text"
  [ "$(head -1 "$work/text" | cut -c1-6)" = "$code: " ] && [ "$(wc -l <"$work/text")" -ge 3 ] ||
    fail "$code: its long text is short"
  wants=$here/diag/$code.txt
  if [ -f "$here/diag/$code.hone" ] || [ -f "$here/diag/$code.sh" ]; then
    example "$code" >"$work/got"
    [ -n "${HONE_BLESS:-}" ] && cp "$work/got" "$wants"
    diff "$wants" "$work/got" || fail "$code: other text than diag/$code.txt"
    grep -q "^[a-z]*\[$code\]" "$work/got" || fail "$code: its example does not raise it"
  elif [[ " $none " == *" $code "* ]]; then
    [ "$code" = E799 ] || ! grep -rqw "$code" "$here"/../../{compiler,runtime,grammar} --include='*.c' ||
      fail "$code can be raised now: give an example"
  else
    lower=$(tr A-Z a-z <<<"$code")
    grep -q "^[a-z]*\[$code\]" "$here/model/${lower}"_*.txt 2>/dev/null || fail "$code has no example"
  fi
done

# Files with many mistakes: every line that ends with a number is named, in order, and nothing else.
for file in "$here"/diag/mistakes*.hone; do
  name=$(basename "$file" .hone)
  example "$name" >"$work/got"
  [ -n "${HONE_BLESS:-}" ] && cp "$work/got" "$here/diag/$name.txt"
  diff "$here/diag/$name.txt" "$work/got" || fail "$name: other text than diag/$name.txt"
  grep -n '# [0-9]*$' "$file" | cut -d: -f1 >"$work/lines"
  awk '/^error/ { wants = 1 } wants && /^ *-->/ { split($2, at, ":"); print at[2]; wants = 0 }' "$work/got" |
    diff "$work/lines" - || fail "$name: mistakes on other lines"
done
exit $failed
