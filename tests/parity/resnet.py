"""ResNet-18 and -50 under torchvision's key names: logits, loss and gradients of one step against hone.

    tests/parity/resnet.py --hone build/hone [--depth 18 50] [--size 64]

Random weights and batch-norm statistics written by torch as safetensors, loaded by hone by their own
keys; the gradient is the difference that one step of plain SGD with rate 1 makes."""
import argparse, json, os, subprocess, tempfile
import numpy as np, torch
import torch.nn as nn, torch.nn.functional as F
from safetensors.torch import load_file, save_file

BLOCKS = {18: [2, 2, 2, 2], 34: [3, 4, 6, 3], 50: [3, 4, 6, 3]}


def conv(i, o, k, stride=1):
    return nn.Conv2d(i, o, k, stride, k // 2, bias=False)


class Block(nn.Module):
    def __init__(self, i, width, stride, deep):
        super().__init__()
        o = 4 * width if deep else width
        sizes = [(i, width, 1, 1), (width, width, 3, stride), (width, o, 1, 1)] if deep else \
                [(i, width, 3, stride), (width, width, 3, 1)]
        self.count = len(sizes)
        for n, (a, b, k, s) in enumerate(sizes, 1):
            setattr(self, f"conv{n}", conv(a, b, k, s))
            setattr(self, f"bn{n}", nn.BatchNorm2d(b))
        self.downsample = None
        if stride != 1 or i != o:
            self.downsample = nn.Sequential(conv(i, o, 1, stride), nn.BatchNorm2d(o))

    def forward(self, x):
        y = x
        for n in range(1, self.count + 1):
            y = getattr(self, f"bn{n}")(getattr(self, f"conv{n}")(y))
            if n < self.count:
                y = F.relu(y)
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    def __init__(self, depth, classes):
        super().__init__()
        deep = depth >= 50
        self.conv1 = conv(3, 64, 7, 2)
        self.bn1 = nn.BatchNorm2d(64)
        c = 64
        for n, (count, width) in enumerate(zip(BLOCKS[depth], (64, 128, 256, 512)), 1):
            blocks = []
            for k in range(count):
                blocks.append(Block(c, width, 2 if n > 1 and k == 0 else 1, deep))
                c = 4 * width if deep else width
            setattr(self, f"layer{n}", nn.Sequential(*blocks))
        self.fc = nn.Linear(c, classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


def resnet(depth, classes):
    return ResNet(depth, classes)


RECIPE = """use resnet, nn, losses, optim
data d {{ train = arrays("x.npz"); valid = arrays("x.npz"); batch = 4 }}
finetune one {{
  model: ResNet{depth}(classes = 10)
  load "w.safetensors"
  step b in d {{
    z    = model(b.image)
    loss = cross_entropy(z, b.label)
    metric off   = sqrt(total(sum((z - b.want)^2)) / total(sum(b.want^2)))
    metric valid = total(4 * cross_entropy(z, b.label)) / total(4.0)
  }}
  optimizer SGD(lr = 1.0)
  steps = 1
  save "after.safetensors"
}}
"""


def compare(hone, depth, size):
    torch.manual_seed(depth)
    model = resnet(depth, 10)
    for name, value in model.state_dict().items():
        if name.endswith("running_mean"):
            value.copy_(0.1 * torch.randn(value.shape))
        elif name.endswith("running_var"):
            value.copy_(0.5 + torch.rand(value.shape))
        elif value.ndim == 1 and name.endswith("weight"):
            value.copy_(0.5 + 0.5 * torch.rand(value.shape))
    x, y = torch.randn(4, 3, size, size), torch.arange(4)
    with torch.no_grad():
        want = model.eval()(x)
    keep = {k: v.clone() for k, v in model.state_dict().items() if "num_batches" not in k}
    work = tempfile.mkdtemp()
    save_file(keep, f"{work}/w.safetensors")
    np.savez(f"{work}/x.npz", image=x.numpy(), label=y.numpy().astype(np.int32), want=want.numpy())
    open(f"{work}/one.hone", "w").write(RECIPE.format(depth=depth))
    out = subprocess.run([hone, "eval", f"{work}/one.hone", "--weights", f"{work}/w.safetensors", "--json"],
                         check=True, capture_output=True, text=True).stdout
    print(f"ResNet-{depth} {size}x{size}: logits differ by {json.loads(out)['off']:.1e} of their norm")
    subprocess.run([hone, "run", f"{work}/one.hone", "--out", f"{work}/run", "--quiet"], check=True)
    loss = F.cross_entropy(model.train()(x), y)
    loss.backward()
    ours = next(r["loss"] for r in map(json.loads, open(f"{work}/run/metrics.jsonl")) if "loss" in r)
    print(f"  loss: PyTorch {loss.item():.6f}, hone {ours:.6f}, relative {abs(ours / loss.item() - 1):.1e}")
    after = load_file(f"{work}/after.safetensors")
    worst = ("", 0.0)
    for name, p in model.named_parameters():
        error = ((keep[name] - after[name] - p.grad).norm() / p.grad.norm()).item()
        worst = max(worst, (name, error), key=lambda e: e[1])
    print(f"  gradients of {len(after)} tensors: largest difference {worst[1]:.1e} of the norm ({worst[0]})")
    state = model.state_dict()
    off = max(((after[k] - state[k]).norm() / state[k].norm()).item() for k in after if "running" in k)
    print(f"  batch-norm statistics: largest difference {off:.1e} of the norm")


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--hone", required=True)
    ap.add_argument("--depth", type=int, nargs="*", default=[18, 50])
    ap.add_argument("--size", type=int, default=64)
    args = ap.parse_args()
    for depth in args.depth:
        compare(os.path.abspath(args.hone), depth, args.size)


if __name__ == "__main__":
    main()
