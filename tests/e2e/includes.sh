#!/usr/bin/env bash
# Which folder may include which: reads the #include lines of every source file. That compiler/README.md
# has a line for every file but headers. And what may stand at the top of the tree, so that nothing slips in
# that a run or a build left there.
set -eu
cd "$(dirname "$0")/../.."
bad=0
# allowed FOLDER FILE LINE PATTERN: a header of the system, one beside the file or in its folder, one that
# the parser's generators write, or one whose path starts with the pattern
allowed() {
  local name=${3#\#include ?}
  name=${name%%[\">]*}
  case $3 in
    '#include <sys/'* | '#include <llvm-c/'*) return 0 ;;
    */*) [[ $name =~ ^($4) ]] ;;
    '#include <'*) return 0 ;;
    *) [ -e "$1/$name" ] || [ -e "$(dirname "$2")/$name" ] || [[ $name =~ ^hone\.(tab|lex)\.h$ ]] ;;
  esac
}
# rule FOLDER 'ALLOWED|ALLOWED': what files of FOLDER include starts with one of these
rule() {
  [ -d "$1" ] || { echo "$1 is no folder"; bad=1; return; }
  while IFS=: read -r file line; do
    allowed "$1" "$file" "$line" "$2" && continue
    printf '%s: %s (allowed: %s)\n' "$file" "$line" "$2"
    bad=1
  done < <(grep -rE '^#include ["<]' --include='*.[chyl]' --include='*.def' "$1")
}
rule runtime            'hone/|data/|text/|weights/'
rule compiler/base      'hone/|base/'
rule compiler/syntax    'hone/|base/|syntax/'
rule grammar            'hone/|base/|syntax/'
rule compiler/target    'hone/|base/|target/'
rule compiler/graph     'hone/|base/|graph/'
rule compiler/passes    'hone/|base/|graph/|target/|passes/'
rule compiler/loop      'hone/|base/|graph/|target/|loop/'
rule compiler/emit      'hone/|base/|graph/|target/|loop/|emit/'
rule compiler/plan      'hone/|base/|graph/|target/|passes/|loop/|emit/|plan/'
rule compiler/model     'hone/|base/|graph/|syntax/|passes/|model/'
while IFS= read -r file; do
  printf '%s includes LLVM outside compiler/emit\n' "$file"
  bad=1
done < <(grep -rlE '^#include [<"]llvm-c' compiler runtime grammar tests | grep -v '^compiler/emit/' || true)
while IFS= read -r line; do
  case $line in
    '<'*) echo "compiler/README.md lacks ${line#< }" ;;
    '>'*) echo "compiler/README.md has a line for ${line#> }, which is no file" ;;
    *) continue ;;
  esac
  bad=1
done < <(diff <(find compiler grammar runtime -name '*.[cly]' -o -name '*.def' -o -name '*.hone' | sort) \
              <(awk '/^### / { folder = $2 } folder != "" && /^\| `/ { split($2, name, "`"); print folder name[2] }' \
                  compiler/README.md | sort))
top='CMakeLists.txt CMakePresets.json LICENSE README.md compiler grammar runtime samples tests .ci .clang-format .gitignore'
if [ -d .git ] || [ -f .git ]; then
  for name in $(git ls-files | cut -d/ -f1 | sort -u); do
    case " $top " in *" $name "*) ;; *) echo "$name does not belong at the top"; bad=1 ;; esac
  done
fi
exit $bad
