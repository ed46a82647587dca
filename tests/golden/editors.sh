#!/usr/bin/env bash
# Every word of the scanner is in both syntax files, and the one that is JSON is whole.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
words=$(sed -n 's/^"\([a-z]*\)" *{ AS_WORD.*/\1/p; /T_REDUCE/s/[^a-z|].*//p' "$root/grammar/hone.l")
reductions=$(grep 'AS_WORD(T_REDUCE)' "$root/grammar/hone.l" | sed 's/{.*//; s/["|]/ /g')
count=0
for word in $words $reductions; do
  for file in hone.vim hone.tmLanguage.json; do
    grep -qwF "$word" "$root/grammar/editors/$file" || { echo "$file does not know \`$word\`"; exit 1; }
  done
  count=$((count + 1))
done
[ $count -ge 50 ] || { echo "only $count words found in hone.l"; exit 1; }
