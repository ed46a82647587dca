"""ResNet-18 and -50 under torchvision's key names: logits, loss and gradients of one step against hone.

    tests/parity/resnet.py --hone build/hone [--depth 18 50] [--size 64] [--batch 16]

Random weights and batch-norm statistics written by torch as safetensors, loaded by hone by their own
keys; the gradient is the difference that one step of plain SGD with rate 1 makes."""
import argparse, os
import torch, torch.nn as nn, torch.nn.functional as F
from onestep import compare

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


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--hone", required=True)
    ap.add_argument("--depth", type=int, nargs="*", default=[18, 50])
    ap.add_argument("--size", type=int, default=64)
    ap.add_argument("--batch", type=int, default=16)
    args = ap.parse_args()
    for depth in args.depth:
        torch.manual_seed(depth)
        compare(os.path.abspath(args.hone), f"ResNet-{depth}", "resnet", f"ResNet{depth}(classes = 10)",
                resnet(depth, 10), args.size, args.batch)


if __name__ == "__main__":
    main()
