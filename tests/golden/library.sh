#!/usr/bin/env bash
# The tables of the library in grammar/README.md are what the files' doc comments say: every item, its
# arguments, its first sentence. HONE_BLESS=1 writes them anew.
set -eu
export LC_ALL=C
root=$(cd "$(dirname "$0")/../.." && pwd)
reference=$root/grammar/README.md
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

tables() {
  for file in "$root"/compiler/std/*.hone "$root"/compiler/std/models/*.hone; do
    awk -v name="$(basename "$file" .hone)" '
      function sentence(text) { if (match(text, /[.] +[A-Z`]/)) text = substr(text, 1, RSTART)
                                gsub(/\|/, "\\|", text); return text }
      function depth(text,  up, down) { up = gsub(/\(/, "(", text); down = gsub(/\)/, ")", text)
                                        return up - down }
      function signature(text,  n, i) {
        for (i = n = 0; i++ < length(text);) {
          n += depth(substr(text, i, 1))
          if (n == 0 && substr(text, i, 1) == ")") return substr(text, 1, i)
        }
      }
      NR == 1 { header = 1; sub(/^# [a-z0-9_]+[.]hone -- /, "# ") }
      /^# ---/ { doc = ""; next }
      /^#$/ && header { rest = 1 }
      rest && /^#/ { next }
      /^#/ { doc = doc (doc == "" ? "" : " ") substr($0, 3); next }
      header { printf "\n`use %s`: %s\n\n| | |\n|---|---|\n", name, sentence(doc); header = rest = 0; doc = "" }
      /^(fn|module|optimizer) / {
        text = $0; sub(/^[a-z]+ /, "", text)
        while (depth(text) > 0) { getline more; sub(/^ +/, " ", more); text = text more }
        if (doc == "") { print name ": " text " has no doc comment" > "/dev/stderr"; exit 1 }
        printf "| `%s` | %s |\n", signature(text), sentence(doc)
      }
      /^let / && doc != "" { printf "| `%s` | %s |\n", $2, sentence(doc) }
      { doc = "" }' "$file"
  done
}

tables >"$dir/tables"
awk -v tables="$dir/tables" '
  /^<!-- library -->$/ { print; while ((getline line < tables) > 0) print line; print ""; skip = 1 }
  /^<!-- end of library -->$/ { skip = 0 }
  !skip { print }' "$reference" >"$dir/README.md"
[ "$(grep -c '^| `' "$dir/tables")" -gt 100 ]
if [ -n "${HONE_BLESS:-}" ]; then
  cp "$dir/README.md" "$reference"
fi
diff -u "$reference" "$dir/README.md"
