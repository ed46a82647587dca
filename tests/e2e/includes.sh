#!/usr/bin/env bash
# Which folder may include which: reads the #include lines of every source file.
set -eu
cd "$(dirname "$0")/../.."
bad=0
# rule FOLDER 'ALLOWED|ALLOWED': quoted includes of FOLDER must start with one of these
rule() {
  while IFS=: read -r file line; do
    printf '%s: %s (allowed: %s)\n' "$file" "$line" "$2"
    bad=1
  done < <(grep -rE '^#include "' --include='*.[chyl]' --include='*.def' "$1" |
           grep -vE ":#include \"($2)|:#include \"[a-z_0-9.]+\"" || true)
}
rule runtime            'hone/|data/|weights/'
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
done < <(grep -rlE '#include [<"]llvm-c' compiler runtime grammar tests | grep -v '^compiler/emit/' || true)
exit $bad
