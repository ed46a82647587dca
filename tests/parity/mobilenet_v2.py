"""MobileNetV2 under torchvision's key names: logits, loss and gradients of one step against hone.

    tests/parity/mobilenet_v2.py --hone build/hone [--width 1.0 0.75] [--size 64] [--batch 16]

See onestep.py."""
import argparse, os
import torch, torch.nn as nn
from onestep import compare

BLOCKS = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]


def channels(base, width):
    near = max(8, int(base * width + 4) // 8 * 8)
    return near + 8 if near < 0.9 * base * width else near


def conv(i, o, k, stride=1, groups=1):
    return [nn.Conv2d(i, o, k, stride, k // 2, groups=groups, bias=False), nn.BatchNorm2d(o)]


def active(*args):
    return nn.Sequential(*conv(*args), nn.ReLU6())


class Block(nn.Module):
    def __init__(self, i, o, stride, expand):
        super().__init__()
        h = i * expand
        up = [] if expand == 1 else [active(i, h, 1)]
        self.conv = nn.Sequential(*up, active(h, h, 3, stride, h), *conv(h, o, 1))
        self.beside = stride == 1 and i == o

    def forward(self, x):
        return x + self.conv(x) if self.beside else self.conv(x)


class MobileNetV2(nn.Module):
    def __init__(self, classes, width):
        super().__init__()
        i = channels(32, width)
        features = [active(3, i, 3, 2)]
        for expand, base, count, stride in BLOCKS:
            for k in range(count):
                o = channels(base, width)
                features.append(Block(i, o, stride if k == 0 else 1, expand))
                i = o
        last = channels(1280, max(width, 1.0))
        self.features = nn.Sequential(*features, active(i, last, 1))
        self.classifier = nn.Sequential(nn.Dropout(0.0), nn.Linear(last, classes))

    def forward(self, x):
        return self.classifier(self.features(x).mean((2, 3)))


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--hone", required=True)
    ap.add_argument("--width", type=float, nargs="*", default=[1.0, 0.75])
    ap.add_argument("--size", type=int, default=64)
    ap.add_argument("--batch", type=int, default=16)
    args = ap.parse_args()
    for width in args.width:
        torch.manual_seed(2)
        compare(os.path.abspath(args.hone), f"MobileNetV2 {width}", "mobilenet_v2",
                f"MobileNetV2(classes = 10, width = {width}, p = 0.0)", MobileNetV2(10, width), args.size, args.batch)


if __name__ == "__main__":
    main()
