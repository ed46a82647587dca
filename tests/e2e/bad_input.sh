#!/usr/bin/env bash
# Bad input through the command: each case gives its exit code, one diagnostic with a text, and leaves
# every file that was there as it was.   bad_input.sh HONE
set -u
hone=$(realpath "$1")
samples=$(cd "$(dirname "$0")/../../samples" && pwd)
picture=$(cd "$(dirname "$0")/../data/pictures" && pwd)/rgb.png
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
cp "$samples"/digits/*.hone "$samples"/digits/*.npz "$work"
cd "$work"
failed=0
ulimit -c 0

cat >tiny.hone <<'END'
use nn, losses, optim
option lr = 0.1
option deep = false
option wide = 1
module Net(classes = 10) {
  fc: Linear(wide, classes)
  fn forward(image: u8[N, 1, 8, 8]) -> [N, classes] = fc(mean_pool(float(image)))
}
data d {
  train = arrays("train.npz")
  valid = arrays("valid.npz")
  batch = 32
}
finetune tiny {
  model: Net()
  step b in d {
    z    = model(b.image)
    loss = cross_entropy(z, b.label)
    metric acc = total(hits(z, b.label)) / total(count(b.label))
  }
  optimizer SGD(lr = lr)
  steps = 5
  save "tiny.safetensors"
}
END
sed 's/option deep = false//; s/option wide = 1//; s/wide/1/' -i tiny.hone

# --- helpers ---------------------------------------------------------------------------------------
state() { find . -type f -not -path './.state*' -exec sha256sum {} + 2>/dev/null | sort; }
# refused EXIT TEXT COMMAND…: exits so, says one error with the text, changes no file
refused() {
  local code=$1 text=$2 out got
  shift 2
  state >.state.before
  out=$("$@" 2>&1)
  got=$?
  state >.state.after
  if [ "$got" != "$code" ] || ! grep -qF -- "$text" <<<"$out"; then
    printf 'FAILED %s\n  exit %s, wanted %s with the text: %s\n%s\n' "$*" "$got" "$code" "$text" "$out"
    failed=1
  elif [ "$(grep -c '^error\[' <<<"$out")" != 1 ]; then
    printf 'FAILED %s: not one diagnostic\n%s\n' "$*" "$out"
    failed=1
  elif ! cmp -s .state.before .state.after; then
    printf 'FAILED %s: files changed\n' "$*"
    diff .state.before .state.after
    failed=1
  fi
}
fine() {                                  # fine TEXT COMMAND…: exits 0 and says the text
  local text=$1 out got
  shift
  out=$("$@" 2>&1)
  got=$?
  if [ "$got" != 0 ] || ! grep -qF -- "$text" <<<"$out"; then
    printf 'FAILED %s\n  exit %s, wanted 0 with the text: %s\n%s\n' "$*" "$got" "$text" "$out"
    failed=1
  fi
}
# edited SCRIPT EXIT TEXT: tiny.hone after sed SCRIPT is refused so by check and run
edited() {
  sed "$1" tiny.hone >edited.hone
  cmp -s tiny.hone edited.hone && { echo "FAILED: $1 changes nothing"; failed=1; }
  refused "$2" "$3" "$hone" run edited.hone --out never
}

fine 'tiny finished' "$hone" run tiny.hone --out first
fine 'acc' "$hone" eval tiny.hone --weights tiny.safetensors

sed '/save/d' tiny.hone >unsaved.hone
fine 'the recipe has no `save`; they lie in unsaved/checkpoint-*' "$hone" run unsaved.hone --out unsaved
"$hone" run tiny.hone --json --out $'name\xff' 2>/dev/null | grep -qF '"run": "name\ufffd"' ||
  { echo 'FAILED: JSON of a name that is not UTF-8'; failed=1; }

# --- the recipe's file -------------------------------------------------------------------------------
refused 2 'wants a recipe file' "$hone" run
refused 2 'cannot read the recipe `nothing.hone`: no such file' "$hone" run nothing.hone
mkdir folder.hone
refused 2 'is a directory' "$hone" check folder.hone
: >empty.hone
refused 2 'has no finetune item' "$hone" run empty.hone
fine 'a library' "$hone" check empty.hone
head -c 4000 /dev/zero >zero.hone
refused 2 'this is no text' "$hone" check zero.hone
cp "$(command -v sed)" binary.hone
refused 2 'this is no text' "$hone" run binary.hone
printf 'let x = \xff\xfe\n' >latin.hone
refused 2 'not UTF-8' "$hone" check latin.hone
head -c 1000000 /dev/zero | tr '\0' 'a' >long.hone
refused 2 'unknown item' "$hone" check long.hone
[ "$("$hone" check long.hone 2>&1 | wc -c)" -lt 5000 ] || { echo 'FAILED: a long message'; failed=1; }
{ printf 'let x = '; head -c 100000 /dev/zero | tr '\0' '('; } >deep.hone
refused 2 'nested too deep' "$hone" check deep.hone
{ printf 'let x = 1'; for i in {1..3000}; do printf ' + 1'; done; echo; } >chain.hone
refused 2 'nested too deep' "$hone" check chain.hone
for i in {1..300}; do printf 'if 1 == 1 {\n'; done | sed '1i module M {' >blocks.hone
refused 2 'nested too deep' "$hone" check blocks.hone
sed '/^}/,$d' tiny.hone >cut.hone
refused 2 'this `{` is never closed' "$hone" check cut.hone

# --- the command line -----------------------------------------------------------------------------------
refused 2 'did you mean `hone run`' "$hone" rum tiny.hone
refused 2 'did you mean `--resume`' "$hone" run tiny.hone --resum
refused 2 'did you mean `--lr`' "$hone" run tiny.hone --ir 1
refused 2 'from 1 to 1024' "$hone" run tiny.hone --threads 0
refused 2 'from 1 to 1024' "$hone" run tiny.hone --threads two
refused 2 '`--out` needs a value' "$hone" run tiny.hone --out
refused 2 '`--lr` needs a value' "$hone" run tiny.hone --lr
refused 2 '`--lr fast` is not a float' "$hone" run tiny.hone --lr fast
refused 2 '`--lr nan` is not a float' "$hone" run tiny.hone --lr nan
refused 2 '`--lr 0x10` is not a float' "$hone" run tiny.hone --lr 0x10
refused 2 '`--lr 1e400` is not a float' "$hone" run tiny.hone --lr 1e400
refused 2 '`hone grad-check` wants a recipe file' "$hone" grad-check
refused 2 '`/dev/null`: a device, a pipe or a socket, not a file' "$hone" run /dev/null
refused 2 'only a bool can be turned off' "$hone" run tiny.hone --no-lr
sed '1i option unused = 3' tiny.hone >unused.hone
refused 2 '`--unused 3.5` is not an int' "$hone" run unused.hone --unused 3.5
refused 2 'no finetune item `other`' "$hone" run tiny.hone other
refused 2 'there is no stage `grph`' "$hone" check tiny.hone --dump=grph
refused 2 'the targets are' "$hone" run tiny.hone --target pdp-11
refused 2 'wants --weights' "$hone" eval tiny.hone
refused 2 'wants --weights' "$hone" predict tiny.hone x.png
sed 's/^    loss/    predict scores = softmax(z)\n&/' tiny.hone >scores.hone
refused 2 'its data are `arrays(…)`' "$hone" predict scores.hone --weights tiny.safetensors x.npz
refused 2 'does not say what to predict' "$hone" predict tiny.hone --weights tiny.safetensors x.png

# --- words of the recipe ----------------------------------------------------------------------------------
edited 's/use nn/use nnn/' 2 'no file for `use nnn`'
edited 's/steps = 5/step = 5/' 2 'did you mean `steps`'
edited 's/steps = 5/stepps = 5/' 2 'did you mean `steps`'
edited 's/steps = 5/steps = 0/' 2 '`steps` must be'
edited 's/steps = 5/epochs = -1/' 2 '`epochs` must be above 0'
edited 's/steps = 5/epochs = 1e38/' 2 '`epochs` must be at most 1e6'
edited 's/steps = 5/epochs = inf/' 2 '`epochs` must be at most 1e6'
edited 's/steps = 5/steps = 9223372036854775807/' 2 '`steps` must be at most 1e12'
edited 's/optimizer SGD/optimiser SGD/' 2 'did you mean `optimizer`'
edited 's/SGD(lr/SGD(rate/' 2 'has no argument `rate`'
edited 's/SGD(/SDG(/' 2 'did you mean `SGD`'
edited 's/batch = 32/bach = 32/' 2 'did you mean `batch`'
edited 's/batch = 32/batch = 32\n  skip_bad = true/' 2 '`skip_bad` is a knob of the recipe'
edited 's/batch = 32/batch = 0/' 2 '`batch` must be from 1'
edited 's/batch = 32/batch = 9999999999/' 2 '`batch` must be from 1'
edited 's/batch = 32/batch = 5000/' 2 'fewer samples than a batch'
edited 's/b.image/b.imag/' 2 'did you mean `image`'
edited 's/cross_entropy(z, b.label)/cross_entropy(z, b.image)/' 2 'dimension mismatch'
edited 's/Linear(1,/Linear(3,/' 2 'dimension mismatch'
edited 's/steps = 5/steps = 5\n  monitor = max(ac)/' 2 'did you mean `acc`'
edited 's/steps = 5/steps = 5\n  group "fd" { lr = 1 }/' 2 'pattern matches no parameter'
edited 's/steps = 5/steps = 5\n  freeze "**"/' 2 'nothing is trainable'
edited 's/steps = 5/steps = 5\n  seed = -1/' 2 '`seed` must be'
edited 's/arrays("valid/array("valid/' 2 'there is no data source `array`'
edited 's/arrays("valid.npz")/arrays(3)/' 2 'this is an int'
edited 's/save "tiny.safetensors"/save ""/' 2 'needs the name of a file'
edited 's/save "tiny.safetensors"/save "."/' 4 'is a directory'
edited 's|save "tiny.safetensors"|save "no/tiny.safetensors"|' 4 'no such file'

# --- data ---------------------------------------------------------------------------------------------------
edited 's/train.npz/gone.npz/' 3 'no such file'
fine 'not there yet' "$hone" check edited.hone
edited 's/train.npz/folder.hone/' 3 'is a directory'
edited 's/train.npz/empty.hone/' 3 'too few for a safetensors or npz file'
head -c 3000 train.npz >short.npz
edited 's/train.npz/short.npz/' 3 'E703'
edited 's/valid.npz/tiny.safetensors/' 2 '`valid` and `train` have different fields'
edited 's/classes = 10/classes = 7/' 3 '`label` of the data has the value 9, the model has 7 outputs'

# a position that only the run knows: exit 3 with value, range and place
# stops EXIT TEXT FILE: the run begins, and ends so
stops() {
  local out got
  out=$("$hone" run "$3" --quiet --out "stopped" 2>&1)
  got=$?
  rm -rf stopped
  [ $got = "$1" ] && grep -qF -- "$2" <<<"$out" ||
    { printf 'FAILED %s: exit %s, wanted %s with the text: %s\n%s\n' "$3" $got "$1" "$2" "$out"; failed=1; }
}
# labels that are no class, and not the one that is left out
sed 's/cross_entropy(z, b.label)/cross_entropy(z, b.label - 1)/' tiny.hone >below.hone
stops 3 'a subscript from data is -1, outside 0 .. 9' below.hone
sed 's/cross_entropy(z, b.label)/cross_entropy(z, b.label + 1)/' tiny.hone >above.hone
stops 3 'a subscript from data is 10, outside 0 .. 9' above.hone
sed 's/cross_entropy(z, b.label)/cross_entropy_weighted(z, b.label - 1, [1, 1, 1, 1, 1, 1, 1, 1, 1, 2])/' tiny.hone >below.hone
stops 3 'a subscript from data is -1, outside 0 .. 9' below.hone
sed 's/cross_entropy(z, b.label)/cross_entropy(z, b.label - 1, skip = -1)/; /save/d' tiny.hone >skipped.hone
stops 0 '' skipped.hone
# options that the command line could not reach
edited 's/option lr = 0.1/&\noption threads = 2/' 2 '`--threads` is an option of hone itself'
edited 's/option lr = 0.1/&\noption cache = true/' 2 '`--no-cache` is an option of hone itself'
# a penalty without a slope where training begins
sed 's/steps = 5/&\n  penalty(p, p0) in "**" = 0.1 * sqrt(sumsq(p - p0))/' tiny.hone >slope.hone
stops 6 '`fc.weight` is not finite, which the penalty at slope.hone:23:3 moves' slope.hone
sed -i 's/sumsq(p - p0)/& + 1e-12/; /save/d' slope.hone
stops 0 '' slope.hone
sed 's/loss = cross_entropy(z, b.label)/loss = cross_entropy(z, b.label) + far(b.label)/' tiny.hone >far.hone
cat >>far.hone <<'END'
fn far(l: i32[N]) -> f32 {
  table[i < 5] = 1.0 + float(i)
  y[n] = table[2 * l[n]]
  return mean(y)
}
END
out=$("$hone" run far.hone --out far 2>&1)
[ $? = 3 ] && grep -qF 'a subscript from data is 18, outside 0 .. 4' <<<"$out" &&
  grep -qF 'far.hone:26:3' <<<"$out" || { echo "FAILED position from data: $out"; failed=1; }

# --- weights ----------------------------------------------------------------------------------------------
mkfifo pipe
edited 's/save "tiny.safetensors"/save "pipe"/' 4 'only a file is ever replaced'
edited 's|save "tiny.safetensors"|save "/dev/full"|' 4 'only a file is ever replaced'
[ -p pipe ] && [ -c /dev/full ] || { echo 'FAILED a pipe or a device was replaced'; failed=1; }
rm pipe
loads() { sed "s/steps = 5/steps = 5\n  load \"$1\"/; s/save .*/save \"kept.safetensors\"/" tiny.hone >loads.hone; }
loads tiny.safetensors
fine 'finished' "$hone" run loads.hone --out loaded
edited 's/save "tiny.safetensors"/save "x\/..\/valid.npz"/' 2 'would replace a file of data'
edited 's/save "tiny.safetensors"/save "edited.hone"/' 2 'would replace a program'
edited "s|save \"tiny.safetensors\"|save \"../$(basename "$work")/valid.npz\"|" 2 'would replace a file of data'
ln -s . here
edited 's|save "tiny.safetensors"|save "here/edited.hone"|' 2 'would replace a program'
rm here
ln -s valid.npz link.npz
sed 's/save "tiny.safetensors"/save "link.npz"/' tiny.hone >link.hone
fine 'finished' "$hone" run link.hone --out link            # the link is replaced, not what it names
[ ! -L link.npz ] && cmp -s valid.npz "$samples/digits/valid.npz" || { echo 'FAILED: saved through a link'; failed=1; }
rm link.npz
cp tiny.safetensors kept.safetensors
loads kept.safetensors
refused 2 'would replace the weights' "$hone" run loads.hone --out never
loads gone.safetensors
refused 3 'no such file' "$hone" run loads.hone --out never
fine 'gone.safetensors: not there yet' "$hone" check loads.hone
cp tiny.safetensors inf.safetensors       # its last float becomes infinite
printf '\000\000\200\177' | dd of=inf.safetensors bs=1 seek=$(($(stat -c %s inf.safetensors) - 4)) conv=notrunc 2>/dev/null
loads inf.safetensors
refused 3 'has values that are not numbers or infinite' "$hone" run loads.hone --out never
printf '\050\153\156\116' | dd of=inf.safetensors bs=1 seek=$(($(stat -c %s inf.safetensors) - 4)) conv=notrunc 2>/dev/null
loads inf.safetensors                     # 1e9, more than a parameter of f16 holds
sed -i 's/fc: Linear/fc: Half/' loads.hone
cat >>loads.hone <<'END'
module Half(I, O) {
  param weight: f16[O, I] = zeros()
  param bias: f16[O] = zeros()
  fn forward(x: [N, I]) -> [N, O] { y[n, o] = bias[o] + sum[i] x[n, i] * weight[o, i]
    return y }
}
END
refused 3 'infinite as f16' "$hone" run loads.hone --out never
loads folder.hone
refused 3 'is a directory' "$hone" run loads.hone --out never
head -c 60 tiny.safetensors >cut.safetensors
loads cut.safetensors
refused 3 'cut short' "$hone" run loads.hone --out never
refused 3 'cut short' "$hone" keys cut.safetensors
refused 3 'cut short' "$hone" eval tiny.hone --weights cut.safetensors
loads tiny.safetensors
sed -i '/load/s/$/ { fresh "fd" }/' loads.hone
refused 2 'did you mean "fc"' "$hone" run loads.hone --out never
loads tiny.safetensors
sed -i 's/classes = 10/classes = 11/; /load/s/$/ { fresh "fc.bias" }/' loads.hone
refused 2 'file: [10, 1]   model: [11, 1]' "$hone" run loads.hone --out never

# --- pictures ----------------------------------------------------------------------------------------------
for split in train valid; do
  for class in ant bee; do
    mkdir -p $split/$class
    for i in 1 2; do cp "$picture" $split/$class/$i.png; done
  done
done
cat >pictures.hone <<'END'
use nn, losses, optim
module Net(classes) {
  fc: Linear(3, classes)
  fn forward(x: [N, 3, H, W]) -> [N, classes] = fc(mean_pool(x))
}
data d {
  train = images("train", size = 8)
  valid = images("valid", size = 8, crop = "none")
  batch = 2
}
finetune pictures {
  model: Net(classes = 2)
  step b in d {
    z    = model(b.image)
    loss = cross_entropy(z, b.label)
    metric acc = total(hits(z, b.label)) / total(count(b.label))
    predict scores = softmax(z)
  }
  optimizer SGD(lr = 0.1)
  steps = 2
  save "pictures.safetensors"
}
END
fine 'finished' "$hone" run pictures.hone --out p1
fine '"scores"' "$hone" predict pictures.hone --weights pictures.safetensors --json train/ant/1.png
refused 3 'no such file' "$hone" predict pictures.hone --weights pictures.safetensors gone.png
refused 3 'neither a JPEG nor a PNG' "$hone" predict pictures.hone --weights pictures.safetensors tiny.hone
sed 's/classes = 2/classes = 3/' pictures.hone >three.hone
refused 3 'the data has 2 classes, the model has 3 outputs' "$hone" run three.hone --out never
sed 's/"none"/"non"/' pictures.hone >crop.hone
refused 2 'the choices are `center`' "$hone" run crop.hone --out never
mkdir train/cat
refused 3 'class folder `train/cat` holds no pictures' "$hone" run pictures.hone --out never
cp train/ant/* train/cat
refused 2 '`valid` has other classes than `train`' "$hone" run pictures.hone --out never
rm -r train/cat
echo 'no picture' >train/ant/notes.txt
refused 3 '`train/ant/notes.txt` is neither a JPEG nor a PNG picture' "$hone" run pictures.hone --out never
sed 's/steps = 2/steps = 2\n  skip_bad = true/' pictures.hone >skip.hone
fine '1 file cannot be decoded and is passed over: `train/ant/notes.txt`' "$hone" run skip.hone --out p2
rm train/ant/notes.txt
mkdir train/ant/more
refused 3 '`train/ant/more` is a folder, not a picture' "$hone" run pictures.hone --out never
rmdir train/ant/more
mkfifo train/ant/pipe
refused 3 '`train/ant/pipe` is a pipe or device, not a picture' "$hone" run pictures.hone --out never
rm train/ant/pipe
head -c 100 "$picture" >train/bee/2.png
out=$("$hone" run pictures.hone --out p3 2>&1)
[ $? = 3 ] && grep -qF '`train/bee/2.png` cannot be decoded' <<<"$out" || { echo "FAILED cut picture: $out"; failed=1; }
fine 'passed over' "$hone" run skip.hone --out p4

refused 3 'has no tensor `fc.weight`' "$hone" eval tiny.hone --weights train.npz

# --- where a run writes ----------------------------------------------------------------------------------------
refused 4 '`first` holds an earlier run' "$hone" run tiny.hone --out first
refused 4 'cannot make the run directory' "$hone" run tiny.hone --out tiny.hone
refused 4 'cannot make the run directory' "$hone" run tiny.hone --out no/such/folder
refused 7 'was made by another recipe' "$hone" run tiny.hone --out first --resume --lr 0.2
refused 7 'there is no run in `second` to resume' "$hone" run tiny.hone --out second --resume
refused 7 'there is no run in `tiny.d` to resume' "$hone" run tiny.hone --out tiny.d --resume
mkdir -p second/best
fine 'from the beginning' "$hone" run tiny.hone --out second --resume
for file in second/checkpoint-*/weights.safetensors; do echo >>"$file"; done
refused 7 'no checkpoint in `second` is whole' "$hone" run tiny.hone --out second --resume
mkdir readonly
chmod a-w readonly
if [ "$(id -u)" != 0 ]; then
  refused 4 'permission denied' "$hone" run tiny.hone --out readonly/run
  chmod a-r valid.npz
  refused 3 'permission denied' "$hone" run tiny.hone --out never
  chmod u+r valid.npz
fi

# a limit on the size of files: checkpoints and weights cannot be written, the old weights stay whole
cp tiny.safetensors old.safetensors
sed 's/Linear(1, classes)/Linear(1, classes)\n  big: Linear(1, 20000)/; s/= fc(mean_pool(float(image)))/= fc(mean_pool(float(image))) + 0 * mean(big(mean_pool(float(image))))/' \
  tiny.hone >big.hone
out=$( (ulimit -f 60; "$hone" run big.hone --out limited) 2>&1)
[ $? = 4 ] && grep -q 'file too large' <<<"$out" && cmp -s tiny.safetensors old.safetensors &&
  [ -z "$(find . -name '.*tmp*')" ] || { echo "FAILED file size limit: $out"; failed=1; }

# the loss is not a number: exit 6, the weights stay
refused_nan() {
  out=$("$hone" run tiny.hone --out nan --lr 1e38 2>&1)
  [ $? = 6 ] && grep -q 'at step' <<<"$out" && grep -q 'lower the learning rate' <<<"$out" &&
    cmp -s tiny.safetensors old.safetensors || { echo "FAILED not finite: $out"; failed=1; }
}
refused_nan

# --- streams -----------------------------------------------------------------------------------------------------
"$hone" keys tiny.safetensors | head -1 >/dev/null
[ "${PIPESTATUS[0]}" = 0 ] || { echo 'FAILED: a reader that went away'; failed=1; }
"$hone" run tiny.hone --out piped --json 2>/dev/null | true
[ "${PIPESTATUS[0]}" = 0 ] || { echo 'FAILED: a run whose reader went away'; failed=1; }
"$hone" run tiny.hone --out closed >&- 2>&-
[ $? = 4 ] && cmp -s tiny.safetensors old.safetensors || { echo 'FAILED: closed streams'; failed=1; }
[ -z "$("$hone" run tiny.hone --out quiet --quiet 2>&1)" ] || { echo 'FAILED: --quiet speaks'; failed=1; }
"$hone" check tiny.hone --color always 2>&1 | grep -q $'\e' && { echo 'FAILED: colour in results'; failed=1; }
exit $failed
