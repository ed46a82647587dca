"""The fine-tune of samples/flowers/flowers.hone in PyTorch, on the batches that hone read.

    tests/parity/mobilenet.py --hone build/hone --batches build/tests/parity_batches \
        --assets ../shared/assets [--seed 1] [--steps 20 | --full | --fixture]

Same initial weights (the file's; the fresh head drawn with hone's generator), same decoded pixels and
the same order (written by parity_batches), so that every difference is arithmetic. Prints the largest
difference of the untouched model's logits, the relative difference of each step's loss and, with
--full, both validation accuracies. --fixture writes tests/data/parity/mobilenet.txt instead: the losses
of mobilenet.hone there and the logits of the untouched model for two pictures."""
import argparse, json, math, os, subprocess, sys, tempfile
import numpy as np, torch
import torch.nn as nn, torch.nn.functional as F
from safetensors.torch import load_file
from philox import initialise

STRIDES = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1]
CHANNELS = [64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024]


class Block(nn.Module):
    def __init__(self, i, o, stride):
        super().__init__()
        self.stride = stride
        self.dw = nn.Conv2d(i, i, 3, stride, 1 if stride == 1 else 0, groups=i, bias=False)
        self.bn_dw = nn.BatchNorm2d(i, eps=1e-3)
        self.pw = nn.Conv2d(i, o, 1, bias=False)
        self.bn_pw = nn.BatchNorm2d(o, eps=1e-3)

    def forward(self, x):
        if self.stride == 2:
            x = F.pad(x, (0, 1, 0, 1))
        x = F.relu6(self.bn_dw(self.dw(x)))
        return F.relu6(self.bn_pw(self.pw(x)))


class MobileNetV1(nn.Module):
    def __init__(self, classes, width=0.25):
        super().__init__()
        c = int(32 * width)
        self.conv1 = nn.Conv2d(3, c, 3, 2, 0, bias=False)
        self.bn1 = nn.BatchNorm2d(c, eps=1e-3)
        self.blocks = nn.ModuleDict()
        for n, (o, stride) in enumerate(zip(CHANNELS, STRIDES), 1):
            o = int(o * width)
            self.blocks[str(n)] = Block(c, o, stride)
            c = o
        self.fc = nn.Linear(c, classes)

    def forward(self, x):
        x = F.relu6(self.bn1(self.conv1(F.pad(x, (0, 1, 0, 1)))))
        for block in self.blocks.values():
            x = block(x)
        return self.fc(x.mean((2, 3)))


def cosine(u, w=0.1):
    return u / w if u < w else 0.5 * (1 + math.cos(math.pi * (u - w) / (1 - w)))


class Batches:
    """The stream of parity_batches: per batch i64 size, then f32 images, then i32 labels."""
    def __init__(self, program, assets, split, seed, epochs, batch):
        self.pipe = subprocess.Popen([program, f"{assets}/data/flowers5/{split}", str(seed), str(epochs),
                                      str(batch), "train" if split == "train" else "valid"],
                                     stdout=subprocess.PIPE)

    def __iter__(self):
        while True:
            head = self.pipe.stdout.read(8)
            if len(head) < 8:
                return
            n = int(np.frombuffer(head, np.int64)[0])
            x = np.frombuffer(self.pipe.stdout.read(n * 3 * 224 * 224 * 4), np.float32)
            y = np.frombuffer(self.pipe.stdout.read(n * 4), np.int32)
            yield (torch.from_numpy(x.copy()).view(n, 3, 224, 224), torch.from_numpy(y.astype(np.int64)))


def accuracy(model, args):
    model.eval()
    hits = count = 0
    with torch.no_grad():
        for x, y in Batches(args.batches, args.assets, "val", args.seed, 1, 20):
            hits += int((model(x * 2 - 1).argmax(1) == y).sum())
            count += len(y)
    return hits / count


def freeze(model, head_only):
    """hone's freezing: constants, and their batch norms stop their statistics."""
    for name, p in model.named_parameters():
        p.requires_grad_(not head_only or name.startswith("fc"))
    model.train(not head_only)


def train(model, args, stages, limit=None):
    """stages: (steps, steps per epoch, only the head)."""
    losses, best = [], 0.0
    body = [p for n, p in model.named_parameters() if not n.startswith("fc")]
    head = list(model.fc.parameters())
    adam = torch.optim.AdamW([dict(params=body, lr=0.0), dict(params=head, lr=0.0)], weight_decay=0.01)
    epochs = sum(-(-total // STEPS) for total, _, _ in stages)      # a stage begins with a fresh epoch
    stream = iter(Batches(args.batches, args.assets, "train", args.seed, epochs, 20))
    for total, per_epoch, head_only in stages:
        freeze(model, head_only)
        for k in range(total):
            if len(losses) == limit:
                return losses, best
            x, y = next(stream)
            u = cosine(k / total)
            adam.param_groups[0]["lr"], adam.param_groups[1]["lr"] = 3e-4 * u, 3e-3 * u
            loss = F.cross_entropy(model(x * 2 - 1), y, label_smoothing=0.1)
            adam.zero_grad(set_to_none=True)
            loss.backward()
            adam.step()
            losses.append(loss.item())
            if (k + 1) % per_epoch == 0 and not head_only and args.full:
                best = max(best, accuracy(model, args))
                freeze(model, head_only)
        for k in range(-total % STEPS):
            next(stream)
    return losses, best


STEPS = 20          # an epoch of 400 pictures
HERE = os.path.dirname(os.path.abspath(__file__))


def pretrained(weights, classes, seed):
    model = MobileNetV1(classes)
    state = load_file(weights)
    if classes != 1000:
        state = {k: v for k, v in state.items() if not k.startswith("fc")}
        initialise(model, seed, only="fc")
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and all(k.startswith("fc") or "num_batches" in k for k in missing)
    return model.eval()


def files_of(args):
    root = f"{args.assets}/data/flowers5/val"
    return [f"{c}/{f}" for c in sorted(os.listdir(root)) for f in sorted(os.listdir(f"{root}/{c}"))]


def some_logits(args, weights, every=60, count=2):
    """(file below val, its 1000 logits) of the untouched model, for a few pictures."""
    model = pretrained(weights, 1000, 0)
    with torch.no_grad():
        z = torch.cat([model(x * 2 - 1) for x, y in Batches(args.batches, args.assets, "val", 1, 1, 20)])
    return [(files_of(args)[i], z[i].numpy()) for i in range(0, every * count, every)]


def fixture(args, weights):
    losses, _ = train(pretrained(weights, 5, 1), args, ((14, STEPS, True), (6, STEPS, False)))
    with open(f"{HERE}/../data/parity/mobilenet.txt", "w") as f:
        f.write("short loss " + " ".join(f"{v:.7g}" for v in losses) + "\n")
        for name, z in some_logits(args, weights):
            f.write(f"{name} logits " + " ".join(f"{v:.5f}" for v in z) + "\n")


def compare_logits(args, weights):
    files = some_logits(args, weights, 15, 10)
    data = ["--train", f"{args.assets}/data/flowers5/train", "--valid", f"{args.assets}/data/flowers5/val"]
    out = subprocess.run([args.hone, "predict", f"{HERE}/../data/parity/mobilenet.hone", "--weights", weights,
                          *[f"{args.assets}/data/flowers5/val/{f}" for f, _ in files], *data, "--json"],
                         check=True, capture_output=True, text=True).stdout.splitlines()
    worst = max(np.abs(np.array(json.loads(line)["logits"]) - z).max() for line, (_, z) in zip(out, files))
    print(f"largest difference of the logits of {len(files)} pictures: {worst:.1e}")


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--hone", required=True)
    ap.add_argument("--batches", required=True)
    ap.add_argument("--assets", required=True)
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--steps", type=int, default=20)
    ap.add_argument("--full", action="store_true")
    ap.add_argument("--fixture", action="store_true")
    args = ap.parse_args()
    args.assets = os.path.abspath(args.assets)     # a recipe's paths start at its own folder
    torch.set_num_threads(os.cpu_count())
    weights = f"{args.assets}/weights/mobilenet_v1_0.25_imagenet/mobilenet_v1_0.25_224.safetensors"

    if args.fixture:
        return fixture(args, weights)
    compare_logits(args, weights)
    limit = None if args.full else args.steps
    losses, best = train(pretrained(weights, 5, args.seed), args,
                         ((STEPS, STEPS, True), (6 * STEPS, STEPS, False)), limit)

    out = tempfile.mkdtemp()
    subprocess.run([args.hone, "run", f"{HERE}/../../samples/flowers/flowers.hone", "--out", f"{out}/run",
                    "--train", f"{args.assets}/data/flowers5/train", "--valid", f"{args.assets}/data/flowers5/val",
                    "--base", weights, "--seed", str(args.seed), "--json", "--quiet"],
                   check=True, stdout=subprocess.DEVNULL)
    records = [json.loads(line) for line in open(f"{out}/run/metrics.jsonl")]
    ours = [r["loss"] for r in records if "loss" in r][:len(losses)]
    worst = max(abs(a - b) / abs(a) for a, b in zip(losses, ours))
    for k, (a, b) in enumerate(zip(losses, ours)):
        if k < 20:
            print(f"step {k + 1:3d}  PyTorch {a:.6f}  hone {b:.6f}  relative {abs(a - b) / abs(a):.1e}")
    print(f"largest relative difference of {len(losses)} losses: {worst:.1e}")
    if args.full:
        mine = max(r["accuracy"] for r in records if "accuracy" in r)
        print(f"seed {args.seed}: best validation accuracy PyTorch {100 * best:.1f} %, hone {100 * mine:.1f} %")


if __name__ == "__main__":
    main()
