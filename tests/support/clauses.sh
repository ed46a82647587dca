# For e2e tests of recipes' clauses: a folder with the digits, a network and the beginning of a recipe
# in $head, to which a test adds clauses.    . clauses.sh HONE SAMPLES
hone=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$2"/digits/*.npz "$work"
cd "$work"
cat >net.hone <<'END'
use nn
module Net(H = 24, K = 5, p = 0.0) {
  fc1: Linear(64, H)
  blocks[i < 2]: Linear(H, H)
  fc2: Linear(H, K)
  fn forward(image: u8[N, 1, 8, 8]) -> [N, K] {
    x = reshape(float(image) / 16, [N, 64])
    y = relu(fc1(x))
    for block in blocks { y = y + relu(block(dropout(y, p))) }
    return fc2(y)
  }
}
END
head='use lora, net, nn, losses, optim, sched
data old {
  train = arrays("old-train.npz")
  valid = arrays("old-valid.npz")
  batch = 16
}
finetune r {
  model: Net()
  step b in old {
    z    = model(b.image)
    loss = cross_entropy(z, b.label)
    metric nll = total(cross_entropy(z, b.label) * count(b.label)) / total(count(b.label))
  }'
fail() { echo "FAILED: $*"; exit 1; }
sum() { sha256sum <"$1" | cut -c1-64; }
# recipe NAME: the clauses on stdin become NAME.hone, which saves NAME.safetensors
recipe() { { printf '%s\n' "$head"; cat; printf '  save "%s.safetensors"\n}\n' "$1"; } >"$1.hone"; }
# train NAME [options]: a new run
train() { local name=$1; shift; rm -rf "run-$name"; "$hone" run "$name.hone" --quiet --out "run-$name" "$@"; }
# same A B WHAT: two files of weights are equal byte for byte
same() { [ "$(sum "$1.safetensors")" = "$(sum "$2.safetensors")" ] || fail "$3: $1 and $2 differ"; }
differ() { [ "$(sum "$1.safetensors")" != "$(sum "$2.safetensors")" ] || fail "$3: $1 and $2 are equal"; }
# near A B TOLERANCE WHAT: the losses of two runs, line by line
near() {
  awk -v t="$3" '{ l = $0; if (!sub(/.*"loss": /, "", l)) next; sub(/[,}].*/, "", l) }
    FNR == NR { a[++n] = l; next }
    { d = (l - a[++m]) / (a[m] < 0 ? -a[m] : a[m] + 1e-9); if (d < 0) d = -d; if (!(d <= t)) bad = m ": " a[m] " and " l }
    END { if (n == 0 || m != n || bad != "") { print n, m, bad; exit 1 } }' \
    "run-$1/metrics.jsonl" "run-$2/metrics.jsonl" || fail "$4: losses of $1 and $2 differ"
}
# stable NAME: the same bits for 1, 2, 3 and 8 threads, and after kill -9 in the middle and --resume
stable() {
  local want name=$1
  train "$name" --threads 1 || fail "$name"
  want=$(sum "$name.safetensors")
  for threads in 2 3 8; do
    train "$name" --threads $threads || fail "$name"
    [ "$(sum "$name.safetensors")" = "$want" ] || fail "$name: other bits with $threads threads"
  done
  local lines=$(wc -l <"run-$name/metrics.jsonl")
  rm -rf "run-$name" "$name.safetensors"
  "$hone" run "$name.hone" --quiet --out "run-$name" --threads 2 &
  local pid=$!
  while kill -0 $pid 2>/dev/null && [ "$(cat "run-$name/metrics.jsonl" 2>/dev/null | wc -l)" -lt $((lines / 2)) ]; do
    sleep 0.005
  done
  kill -9 $pid 2>/dev/null
  wait $pid 2>/dev/null
  "$hone" run "$name.hone" --quiet --out "run-$name" --resume || fail "$name: resuming"
  [ "$(sum "$name.safetensors")" = "$want" ] || fail "$name: other bits after resuming"
}
