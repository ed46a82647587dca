#!/usr/bin/env bash
# Hostile safetensors files through `hone keys`, `hone check` and `hone run`: exit 3, one diagnostic with
# its reason, nothing written. What each is refused for stands in tests/unit/safetensors.c too.
#   hostile_files.sh HONE
set -u
hone=$(realpath "$1")
samples=$(cd "$(dirname "$0")/../../samples" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$samples"/digits/train.npz "$work"
cd "$work"
failed=0
cat >tiny.hone <<'END'
use nn, losses, optim
module Net() {
  fc: Linear(1, 10)
  fn forward(image: u8[N, 1, 8, 8]) -> [N, 10] = fc(mean_pool(float(image)))
}
data d { train = arrays("train.npz"); batch = 32 }
finetune tiny {
  model: Net()
  load "hostile.safetensors"
  step b in d { loss = cross_entropy(model(b.image), b.label) }
  optimizer SGD(lr = 0.1)
  steps = 1
}
END

# hostile.safetensors: header length $1 (0: the true one), $2 zero bytes of data, header $3 (as printf %b)
put() {
  local length=$1 header text='' i
  printf -v header '%b.' "$3"
  header=${header%.}
  [ "$length" != 0 ] || length=$(printf '%s' "$header" | wc -c)
  for ((i = 0; i < 8; i++)); do
    printf -v text '%s\\x%02x' "$text" $((length >> 8 * i & 255))
  done
  { printf "$text"; printf '%s' "$header"; head -c "$2" /dev/zero; } >hostile.safetensors
}

refused() {                                # refused TEXT COMMAND…
  local text=$1 out got
  shift
  out=$("$@" 2>&1)
  got=$?
  if [ $got != 3 ] || [ "$(grep -c '^error\[E703\]' <<<"$out")" != 1 ] || ! grep -qF -- "$text" <<<"$out" ||
    [ -e runs ]; then
    printf 'FAILED %s: exit %s, wanted 3 with the text: %s\n%s\n' "$(tail -c +9 hostile.safetensors | head -c 80 |
      tr -d '\0')" $got "$text" "$out"
    failed=1
  fi
}

count=0
while IFS='|' read -r length data header text; do
  put "$length" "$data" "$header"
  refused "$text" "$hone" keys hostile.safetensors
  refused "$text" "$hone" check tiny.hone
  refused "$text" "$hone" run tiny.hone
  count=$((count + 1))
done <<'END'
100000001|16|{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}|100000000 are the limit
99999999|16|{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}|cut short
-1|16|{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}|18446744073709551615 bytes
40|16|{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}|a text is never closed
0|0|["a"]|neither a safetensors file
0|0| {}|neither a safetensors file
0|3|{|it ends too early
0|0|{}x|something follows its end
0|0|{} {}|something follows its end
0|4|{}|no tensor has the last 4 bytes
0|16|{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},}|a text was expected
0|16|{,"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}|a text was expected
0|16|{"a" {"dtype":"F32","shape":[4],"data_offsets":[0,16]}}|a colon was expected
0|16|{a:{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}|a text was expected
0|16|{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]} // note\n}|a comma or a closing bracket
0|16|{"a|a text is never closed
0|16|{"\\q":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}|an unknown escape
0|16|{"\\u12":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}|a bad \u escape
0|16|{"\\ud800x":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}|half of a surrogate
0|16|{"\\udc00":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}|half of a surrogate
0|16|{"a\\u0000b":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}|a NUL in a text
0|16|{"a\nb":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}|a control character in a text
0|16|{"\xff":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}|not UTF-8
0|16|{"\xc0\xaf":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}|not UTF-8
0|16|{"\xed\xa0\x80":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}|not UTF-8
0|0|{"a":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[|an object was expected
0|0|{"a":{"a":{"a":{"a":{}}}}}|nothing else
0|0|{"a":null}|an object was expected
0|0|{"a":1e999}|an object was expected
0|16|{"":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}|has no name
0|16|{"a\\u001b[31m":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}|control character at byte 1
0|32|{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"a":{"dtype":"F32","shape":[4],"data_offsets":[16,32]}}|two tensors have the name `a`
0|0|{"__metadata__":{},"__metadata__":{}}|`__metadata__` stands twice
0|0|{"__metadata__":{"a":1}}|a text was expected
0|0|{"__metadata__":[]}|an object was expected
0|16|{"a":{"shape":[4],"data_offsets":[0,16]}}|`dtype` is missing
0|16|{"a":{"dtype":"F32","data_offsets":[0,16]}}|`shape` is missing
0|16|{"a":{"dtype":"F32","shape":[4]}}|`data_offsets` is missing
0|16|{"a":{"dtype":"F32","dtype":"F64","shape":[4],"data_offsets":[0,16]}}|`dtype` stands twice
0|16|{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16],"file":"b"}}|nothing else
0|16|{"a":{"dtype":32,"shape":[4],"data_offsets":[0,16]}}|a text was expected
0|16|{"a":{"dtype":"F33","shape":[4],"data_offsets":[0,16]}}|unknown dtype `F33`
0|16|{"a":{"dtype":"F32","shape":[-4],"data_offsets":[0,16]}}|negative
0|16|{"a":{"dtype":"F32","shape":[4.0],"data_offsets":[0,16]}}|not whole
0|16|{"a":{"dtype":"F32","shape":[04],"data_offsets":[0,16]}}|starts with 0
0|16|{"a":{"dtype":"F32","shape":["4"],"data_offsets":[0,16]}}|a whole number was expected
0|16|{"a":{"dtype":"F32","shape":[18446744073709551616],"data_offsets":[0,16]}}|a number is too large
0|16|{"a":{"dtype":"F32","shape":[9223372036854775808],"data_offsets":[0,16]}}|a dimension is too large
0|16|{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,16]}}|not a number of bytes
0|16|{"a":{"dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,16]}}|not a number of bytes
0|16|{"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1,1,1,1,4],"data_offsets":[0,16]}}|more than 12 dimensions
0|16|{"a":{"dtype":"F32","shape":4,"data_offsets":[0,16]}}|an array was expected
0|16|{"a":{"dtype":"F32","shape":[4],"data_offsets":[16,0]}}|before it begins
0|20|{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,20]}}|has 20 bytes, its dtype and shape ask for 16
0|15|{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}|cut short
0|16|{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,18446744073709551615]}}|cut short
0|16|{"a":{"dtype":"F32","shape":[4],"data_offsets":[18446744073709551600,18446744073709551615]}}|cut short
0|16|{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16,32]}}|more than two numbers
0|16|{"a":{"dtype":"F32","shape":[4],"data_offsets":[16]}}|fewer than two numbers
0|24|{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"b":{"dtype":"F32","shape":[4],"data_offsets":[8,24]}}|`b` at offset 8 overlaps `a`
0|36|{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"b":{"dtype":"F32","shape":[4],"data_offsets":[20,36]}}|the 4 bytes before `b`
0|20|{"a":{"dtype":"F32","shape":[4],"data_offsets":[4,20]}}|the 4 bytes before `a`
0|20|{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}|no tensor has the last 4 bytes
END
[ $count -ge 60 ] || { echo "only $count files"; failed=1; }
exit $failed
