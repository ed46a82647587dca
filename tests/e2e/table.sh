#!/usr/bin/env bash
# table(…): flowers by name from numbers, and a number from numbers; the same bits for any number of threads
# and after resuming; splits that do not fit one another, heads that do not fit the data, files that are no
# tables.   table.sh HONE
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../support/clauses.sh" "$1" "$here/../../samples"
. "$here/../support/expect.sh"

# kinds N SEED: by which of two numbers is larger; prices N SEED: their weighted sum, with tabs
kinds() {
  awk -v n="$1" -v seed="$2" 'BEGIN { srand(seed); print "width,\"height, cm\",kind"
    for (i = 0; i < n; i++) {
      w = rand(); h = rand(); kind = "even"
      if (w > h + 0.2) kind = "\"broad, low\""
      if (h > w + 0.2) kind = "tall"
      printf "%.4f,%.4f,%s\n", w, h, kind } }'
}
prices() {
  awk -v n="$1" -v seed="$2" 'BEGIN { srand(seed); print "width\tprice\theight"
    for (i = 0; i < n; i++) { w = rand(); h = rand(); printf "%.4f\t%.5f\t%.4f\n", w, 3 * w - h + 0.5, h } }'
}
kinds 300 1 >kinds.csv; kinds 80 2 >kinds_valid.csv
prices 300 1 >prices.tsv; prices 80 2 >prices_valid.tsv

cat >kinds.hone <<'END'
use nn, losses, optim
option train = "kinds.csv"
option valid = "kinds_valid.csv"
option column = "kind"
module Net(classes) {
  first: Linear(2, 16)
  last: Linear(16, classes)
  fn forward(x: [N, 2]) -> [N, classes] = last(tanh(first(x)))
}
data d { train = table(train, target = column); valid = table(valid, target = column); batch = 20 }
finetune kinds {
  model: Net(classes = 3)
  step b in d {
    z = model(b.x)
    loss = cross_entropy(z, b.y)
    metric acc = total(hits(z, b.y)) / total(count(b.y))
  }
  optimizer AdamW(lr = 0.02)
  epochs = 12
  checkpoint = 50
  save "kinds.safetensors"
}
END
cat >prices.hone <<'END'
use nn, losses, optim
data d { train = table("prices.tsv", "price"); valid = table("prices_valid.tsv", "price"); batch = 20 }
finetune prices {
  model: nn.Linear(2, 1)
  step b in d {
    z[n] = model(b.x)[n, 0]
    loss = mse(z, b.y)
    metric error = total(sum((z - b.y)^2)) / total(sum(0 * z + 1))
  }
  optimizer AdamW(lr = 0.05, decay = 0)
  epochs = 20
  save "prices.safetensors"
}
END
last() { grep -o "\"$2\": *[0-9.e-]*" "$1/metrics.jsonl" | tail -n 1 | sed 's/.*: *//'; }

expect 0 '300 training and 80 validation samples in 3 classes' "$hone" check --werror kinds.hone
stable kinds
awk -v acc="$(last run-kinds acc)" 'BEGIN { exit !(acc > 0.9) }' || fail "accuracy $(last run-kinds acc)"
expect 0 '' "$hone" run prices.hone --quiet --out prices
awk -v e="$(last prices error)" 'BEGIN { exit !(e < 1e-3) }' || fail "error $(last prices error)"

# --- what does not fit ------------------------------------------------------------------------------------
sed 's/classes = 3/classes = 4/' kinds.hone >four.hone
expect 3 'the data has 3 classes, the model has 4 outputs' "$hone" check four.hone
sed '1s/.*/"height, cm",width,kind/' kinds_valid.csv >turned.csv
expect 2 'column 0 is `height, cm` here and `width` in `train`' "$hone" check kinds.hone --valid turned.csv
sed 's/tall/high/' kinds_valid.csv >renamed.csv
expect 2 '`valid` has other classes than `train`' "$hone" check kinds.hone --valid renamed.csv
numbers() { sed 's/"broad, low"/0/; s/even/1/; s/tall/2/' "$1"; }
numbers kinds_valid.csv >numbers_valid.csv
expect 2 '`valid` has other classes than `train`' "$hone" check kinds.hone --valid numbers_valid.csv
{ numbers kinds.csv; echo 1,1,3; } >numbers.csv
expect 3 '`y` of the data has the value 3, the model has 3 outputs' "$hone" check kinds.hone --train numbers.csv --valid numbers_valid.csv
sed '2s/[0-9]$/1.5/' numbers_valid.csv >halves.csv
expect 2 'have different fields' "$hone" check kinds.hone --train numbers.csv --valid halves.csv
expect 3 'has no column `colour`' "$hone" check kinds.hone --column colour
expect 3 'no such file' "$hone" run kinds.hone --train none.csv --out never
expect 0 'the data cannot be read' "$hone" check kinds.hone --train none.csv --valid none.csv
expect 3 'column `kind` holds `' "$hone" run kinds.hone --column width --out never
sed 's/, target = column//g' kinds.hone >untold.hone
expect 2 '`table` needs the argument `target`' "$hone" check untold.hone
[ ! -e never ] || fail 'a run that was refused left a folder'
exit $failed
