#!/usr/bin/env bash
# segments(…): which pixels are bright, from a few pictures; the same bits for any number of threads and after
# resuming; masks that do not fit, by themselves or with the model.   segments.sh HONE
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../support/clauses.sh" "$1" "$here/../../samples"
. "$here/../support/expect.sh"
. "$here/../support/png.sh"

# scene N: a bright square in a dark picture of 16 x 12, its mask (255 around it), by N
square() { awk -v n="$1" -v mask="$2" 'BEGIN { srand(n); x0 = 1 + n % 8; y0 = 1 + n % 5; side = 4 + n % 3
  for (y = 0; y < 12; y++) {
    line = ""
    for (x = 0; x < 16; x++) {
      far = 0
      if (x < x0) far = x0 - x; else if (x >= x0 + side) far = x - x0 - side + 1
      if (y < y0 && y0 - y > far) far = y0 - y; else if (y >= y0 + side && y - y0 - side + 1 > far) far = y - y0 - side + 1
      if (mask) { v = far == 0; if (far == 1) v = 255; line = line v " " }
      else { v = int((far == 0 ? 180 : 20) + 60 * rand()); line = line v " " v " " int(255 * rand()) " " }
    }
    print line } }'; }
scene() { square "$2" 0 | png "$1/images/$2.png" 16 12 2; square "$2" 1 | png "$1/masks/$2.png" 16 12 "$3"; }
mkdir -p train/images train/masks valid/images valid/masks
for i in 1 2 3 4 5 6 7 8; do scene train $i 3; done
for i in 9 10; do scene valid $i 0; done

head='use nn, losses, optim
data d {
  train = segments("train", size = 8, crop = "random", flip = true, classes = 2)
  valid = segments("valid", size = 8, classes = 2)
  batch = 4
}
module Net(classes) {
  c: Conv2d(3, classes, 1)
  fn forward(x: [N, 3, H, W]) -> [N, classes, H, W] = c(x)
}
finetune r {
  model: Net(classes = 2)
  step b in d {
    z = model(b.image)
    logits[n, y, x, k] = z[n, k, y, x]
    loss = cross_entropy(logits, b.mask, skip = 255)
    metric iou = mean_iou(total(confusion(z, b.mask)))
    predict bright = sum(logits)
  }
  optimizer AdamW(lr = 0.1)'
printf '  epochs = 30\n  checkpoint = 20\n' | recipe segments
expect 0 '8 training and 2 validation samples' "$hone" check --werror segments.hone
stable segments
iou=$(grep -o '"iou": *[0-9.e-]*' run-segments/metrics.jsonl | tail -n 1 | sed 's/.*: *//')
awk -v iou="$iou" 'BEGIN { exit !(iou > 0.8) }' || fail "intersection over union $iou"
expect 0 '"bright"' "$hone" predict segments.hone --json --weights segments.safetensors valid/images/9.png
sed 's/classes = 2)$/classes = 3)/; s/Net(classes = 3)/Net(classes = 2)/' segments.hone >three.hone
expect 3 '`mask` of the data has the value 2, the model has 2 outputs' "$hone" check three.hone
sed 's/"train"/"gone"/; s/"valid"/"gone"/' segments.hone >gone.hone
expect 0 'the data cannot be read' "$hone" check gone.hone
expect 3 'no such file' "$hone" run gone.hone --out never

# --- bad files: each alone, then passed over --------------------------------------------------------------
sed 's/epochs = 30/epochs = 1\n  skip_bad = true/' segments.hone >skip.hone
bad() { # bad TEXT: refused as it stands, and passed over with skip_bad
  expect 3 "$1" "$hone" run segments.hone --quiet --out "r$RANDOM"
  expect 0 'passed over' "$hone" run skip.hone --out "r$RANDOM"
  cp saved train/masks/3.png
}
cp train/masks/3.png saved
square 3 0 | png train/masks/3.png 16 12 2
bad '`train/masks/3.png` is no mask'
square 3 1 | head -n 11 | png train/masks/3.png 16 11 0
bad '`train/masks/3.png` is 16 x 11 pixels, its picture `train/images/3.png` 16 x 12'
square 3 1 | sed '2s/^[0-9]*/7/' | png train/masks/3.png 16 12 0
bad '`train/masks/3.png` has the value 7 at x = 0, y = 1; there are 2 classes'
head -c 820 saved >train/masks/3.png
bad '`train/masks/3.png` cannot be decoded'
cp "$here"/../data/pictures/baseline.jpg train/masks/3.png
bad '`train/masks/3.png` is no mask'
rm train/masks/3.png
expect 3 '`train/images/3.png` is alone: there is no `train/masks/3.*`' "$hone" check segments.hone
cp saved train/masks/3.png; cp saved train/masks/x.png
expect 3 '`train/masks/x.png` is alone' "$hone" check segments.hone
mv train/masks/x.png train/masks/3.gif
expect 3 'same name but for their endings' "$hone" check segments.hone
rm train/masks/3.gif
expect 0 '' "$hone" check segments.hone
mkdir none none/images none/masks
sed 's/"train"/"none"/' segments.hone >none.hone
expect 3 '`none/images` holds no pictures' "$hone" check none.hone
exit $failed
