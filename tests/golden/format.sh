#!/usr/bin/env bash
# Every program of the repository is in the canonical layout, but for one that does not parse on purpose.
set -eu
hone=$1
cd "$(dirname "$0")/../.."
list=$(mktemp); trap 'rm -f "$list"' EXIT
find compiler samples tests grammar -name '*.hone' ! -path '*/build/*' ! -path '*/runs/*' \
  ! -path tests/golden/parse/mistakes.hone ! -path "tests/golden/diag/E00*" ! -path tests/golden/diag/mistakes_habits.hone ! -path tests/golden/diag/mistakes_reserved.hone -print0 >"$list"
[ "$(tr -dc '\0' <"$list" | wc -c)" -gt 100 ]
xargs -0 "$hone" fmt --check <"$list"
