#!/usr/bin/env bash
# hone run --profile: the same bits as without; a table at the end, everything in profile.json, names for
# perf; also of a run that is stopped; and what happens when the file cannot be written.
set -eu
hone=$1
samples=$(dirname "$0")/../../samples/digits
work=$(mktemp -d); maps=(); trap 'rm -rf "$work" "${maps[@]}"' EXIT
cp "$samples"/*.{hone,npz} "$work"
cd "$work"
sed -i 's/epochs *= 10/epochs = 1/' pretrain.hone
wrong() { echo "profile: $1"; cat err 2>/dev/null; exit 1; }
number() { sed -n "s/.*\"$2\": \([-0-9.e+]*\).*/\1/p" "$1"; }

"$hone" run pretrain.hone --quiet
cp pretrained.safetensors plain.safetensors
"$hone" run pretrain.hone --quiet --profile --out run 2>err & pid=$!
maps+=("/tmp/perf-$pid.map")
wait $pid || wrong 'failed'
cmp plain.safetensors pretrained.safetensors || wrong 'other bits'
grep -Eq '^train\.train: [0-9]+ passes, kernels' err || wrong 'no table'
grep -Eq '^  contract +backward +.*nn\.hone:[0-9]+ d_weight' err || wrong 'no kernel of a weight gradient'
grep -Eq '^  std/nn\.hone:[0-9]+ +[0-9]+ ' err || wrong 'no line of the source'
grep -Eq '^kernels took [0-9]+ % of the run' err || wrong 'no share'
grep -Eq '^[0-9a-f]+ [0-9a-f]+ hone:contract:' "/tmp/perf-$pid.map" || wrong 'no names for perf'
awk '{ for (i = 1; i <= length($0); i++) { c = substr($0, i, 1); d += (c == "{" || c == "[") - (c == "}" || c == "]"); if (d < 0) exit 1 } }
     END { exit d != 0 }' run/profile.json || wrong 'brackets'
# rows and lines add up to the whole of their entry
awk '/"entry"/ { match($0, /"seconds": [0-9.e+-]+/); want = substr($0, RSTART + 11, RLENGTH - 11); sum = 0 }
     /"line":/ || /"kind":/ { match($0, /"seconds": [0-9.e+-]+/); sum += substr($0, RSTART + 11, RLENGTH - 11) }
     /\]}/ { n++; if (sum < 1.99 * want || sum > 2.01 * want) exit 1 } END { exit n < 3 }' run/profile.json ||
  wrong 'times do not add up'

sed 's/epochs = 1/epochs = 100000/' pretrain.hone >long.hone
"$hone" run long.hone --quiet --profile --out stopped 2>err & pid=$!
maps+=("/tmp/perf-$pid.map")
for _ in $(seq 200); do [ -s stopped/metrics.jsonl ] && break; sleep 0.1; done
kill -TERM $pid
status=0; wait $pid || status=$?
[ $status = 143 ] || wrong "stopped with $status"
grep -q '^train\.train: ' err && [ -s stopped/profile.json ] || wrong 'nothing of a run that was stopped'

before=$(wc -c <stopped/metrics.jsonl)
rm stopped/profile.json; mkdir stopped/profile.json
"$hone" run long.hone --quiet --profile --out stopped --resume 2>err & pid=$!
maps+=("/tmp/perf-$pid.map")
for _ in $(seq 200); do [ "$(wc -c <stopped/metrics.jsonl)" -gt "$before" ] && break; sleep 0.1; done
kill -TERM $pid
status=0; wait $pid || status=$?
[ $status = 143 ] || wrong 'a profile that cannot be written changed the exit'
grep -q 'cannot write stopped/profile.json' err || wrong 'silent'
