#!/usr/bin/env bash
# boxes(…): where the bright square is, and which of two sizes it has; the same bits for any number of threads
# and after resuming; annotations that do not fit.   boxes.sh HONE
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../support/clauses.sh" "$1" "$here/../../samples"
. "$here/../support/expect.sh"
. "$here/../support/png.sh"

mkdir -p voc/JPEGImages voc/Annotations voc/ImageSets/Main
annotate() { # annotate NAME X1 Y1 X2 Y2 CLASS
  printf '<annotation verified="yes">\n  <filename>%s.png</filename>\n  <size><width>16</width><height>12</height></size>
  <object>\n    <name>%s</name>\n    <difficult>0</difficult>\n    <bndbox><xmin>%s</xmin><ymin>%s</ymin><xmax>%s</xmax><ymax>%s</ymax></bndbox>
    <part><name>head</name><bndbox/></part>\n  </object>\n</annotation>\n' "$1" "$6" "$2" "$3" "$4" "$5" >"voc/Annotations/$1.xml"
}
for i in 1 2 3 4 5 6 7 8 9; do
  x=$((i % 8)) y=$((i * 3 % 6)) side=$((i % 2 == 0 ? 6 : 3))
  awk -v x0=$x -v y0=$y -v s=$side 'BEGIN { for (y = 0; y < 12; y++) { line = ""
    for (x = 0; x < 16; x++) { v = 20; if (x >= x0 && x < x0 + s && y >= y0 && y < y0 + s) v = 220; line = line v " " }
    print line } }' | png voc/JPEGImages/s$i.png 16 12 0
  annotate s$i $x $y $((x + side)) $((y + side)) "$([ $side = 6 ] && echo 'big & wide' || echo small)"
done
sed -i 's/&/\&amp;/' voc/Annotations/*.xml
printf 's%s\n' 1 2 3 4 5 6 7 8 >voc/ImageSets/Main/train.txt
printf 's9  \r\n\r\n' >voc/ImageSets/Main/val.txt

head='use nn, losses, optim
data d {
  train = boxes("voc", size = 8, most = 2, set = "train")
  valid = boxes("voc", size = 8, most = 2, set = "val")
  batch = 4
}
module Net(classes) {
  h: Linear(192, 16)
  box: Linear(16, 4)
  kind: Linear(16, classes)
  fn forward(x: [N, 3, 8, 8]) { y = tanh(h(flatten(x)))
    return box(y), kind(y) }
}
finetune r {
  model: Net(classes = 2)
  step b in d {
    box, kind = model(b.image)
    there[n, m] = select(b.label[n, m] == -1, 0.0, 1.0)
    off = sum[n, m, k] there[n, m] * (box[n, k] - b.boxes[n, m, k] / 8)^2
    each[n, m, k] = kind[n, k] + 0 * there[n, m]
    loss = off / sum(there) + cross_entropy(each, b.label, skip = -1)
    predict boxes = box * 8
  }
  optimizer AdamW(lr = 0.02)'
printf '  epochs = 60\n  checkpoint = 50\n' | recipe boxes
expect 0 '8 training and 1 validation samples in 2 classes' "$hone" check --werror boxes.hone
stable boxes
last=$(grep -o '"loss": *[0-9.e-]*' run-boxes/metrics.jsonl | tail -n 1 | sed 's/.*: *//')
awk -v loss="$last" 'BEGIN { exit !(loss < 0.05) }' || fail "loss $last"
expect 0 '"boxes"' "$hone" predict boxes.hone --json --weights boxes.safetensors voc/JPEGImages/s9.png
sed 's/Net(classes = 2)/Net(classes = 1)/' boxes.hone >one.hone
expect 3 'the model has 1 output' "$hone" check one.hone
sed 's/Net(classes = 2)/Net(classes = 3)/' boxes.hone >three.hone
expect 0 '' "$hone" check three.hone                     # the third may stand for nothing
sed 's/"voc"/"gone"/' boxes.hone >gone.hone
expect 0 'the data cannot be read' "$hone" check gone.hone
expect 3 'no such file' "$hone" run gone.hone --out never
sed 's/most = 2/most = 0/' boxes.hone >none.hone
expect 2 '`most` must be from 1 to 4096' "$hone" check none.hone
sed 's/"val"/"test"/' boxes.hone >test.hone
expect 3 'voc/ImageSets/Main/test.txt' "$hone" run test.hone --out never

# --- bad files: each alone, then passed over ----------------------------------------------------------------
sed 's/epochs = 60/epochs = 1\n  skip_bad = true/; s/batch = 4/batch = 2/' boxes.hone >skip.hone
file=voc/Annotations/s3.xml
cp $file saved
bad() { # bad TEXT SED: refused, and passed over with skip_bad
  sed "$2" saved >$file
  expect 3 "$1" "$hone" check boxes.hone
  expect 0 'passed over' "$hone" run skip.hone --out "r$RANDOM"
  cp saved $file
}
bad '`voc/Annotations/s3.xml`: the box 3 3 3 6 is empty' 's/<xmax>6/<xmax>3/'
bad 'the box 3 3 17 6 is not within the picture of 16 x 12 pixels' 's/<xmax>6/<xmax>17/'
bad 'is for a picture of 15 x 12 pixels' 's/<width>16/<width>15/'
bad '`voc/Annotations/s3.xml`, line 7: a number was expected' 's/<xmax>6/<xmax>6px/'
bad 'a box needs xmin, ymin, xmax and ymax' 's/<xmax>6<.xmax>//'
bad 'an object without a name' 's/<name>small<.name>//'
bad 'an end tag that closes nothing' 's/<.bndbox>/<\/box>/'
bad 'it ends too early' '$d'
bad 'a declaration' '1s/^/<!DOCTYPE a [<!ENTITY b "c">]>/'
bad 'an <annotation> was expected' 's/annotation/note/'
for most in 1 2; do
  sed "s/most = 2/most = $most/" boxes.hone >most.hone
  sed 's/<.object>/&<object><name>small<\/name><bndbox><xmin>1<\/xmin><ymin>1<\/ymin><xmax>2<\/xmax><ymax>2<\/ymax><\/bndbox><\/object>/' saved >$file
  [ $most = 2 ] && expect 0 '' "$hone" check most.hone ||
    expect 3 '`voc/JPEGImages/s3.png` has 2 boxes, `most` is 1' "$hone" check most.hone
done
cp saved $file
echo s10 >>voc/ImageSets/Main/val.txt
expect 3 'line 3: there is no picture `s10`' "$hone" check boxes.hone
printf 's9\ns9\n' >voc/ImageSets/Main/val.txt
expect 3 'line 2: `s9` stands there twice' "$hone" check boxes.hone
rm voc/Annotations/s4.xml
expect 3 '`voc/JPEGImages/s4.png` is alone' "$hone" check boxes.hone
exit $failed
