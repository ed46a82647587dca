"""tests/data/parity/small.hone in PyTorch: makes small.npz (the samples) and small.txt (the losses of
every step and the validation value of every epoch: `recipe loss|valid numbers…`)."""
import math, os
import numpy as np, torch
import torch.nn as nn, torch.nn.functional as F
from philox import initialise

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../data/parity")
MEAN, SD = [torch.tensor(v).view(1, 3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])]


class Net(nn.Module):
    def __init__(self, classes=4):
        super().__init__()
        self.stem = nn.ModuleDict(dict(conv=nn.Conv2d(3, 8, 3, 2, 1, bias=False), bn=nn.BatchNorm2d(8)))
        self.dw = nn.Conv2d(8, 8, 3, 1, 1, groups=8, bias=False)
        self.dw_bn = nn.BatchNorm2d(8, eps=1e-3)
        self.wide = nn.Conv2d(8, 12, 3, padding=2, dilation=2)
        self.pair = nn.Conv2d(12, 12, 3, padding=1, groups=2, bias=False)
        self.pair_bn = nn.BatchNorm2d(12)
        self.hidden = nn.Linear(48, 20)
        self.norm = nn.LayerNorm(20)
        self.fc = nn.Linear(20, classes)

    def forward(self, image):
        x = F.relu(self.stem.bn(self.stem.conv((image.float() / 255 - MEAN) / SD)))
        x = x + F.relu6(self.dw_bn(self.dw(x)))
        x = F.max_pool2d(F.silu(self.wide(x)), 3, 2, 1)
        x = F.avg_pool2d(F.relu(self.pair_bn(self.pair(x)) + x), 2, 2)
        return self.fc(F.gelu(self.norm(self.hidden(x.flatten(1)))))


def cosine(u, w=0.1):
    return u / w if u < w else 0.5 * (1 + math.cos(math.pi * (u - w) / (1 - w)))


def onehot(y):
    return F.one_hot(y, 4).float()


class Run:
    def __init__(self, seed, x, y):
        self.model, self.x, self.y, self.losses, self.valid = Net(), x, y, [], []
        initialise(self.model, seed)

    def stage(self, steps, optimizer, rates, loss, valid, head=False, clip=None):
        """rates: progress -> rate per parameter group."""
        for n, p in self.model.named_parameters():
            p.requires_grad_(not head or n.startswith("fc"))
        for k in range(steps):
            self.model.train(not head)
            for group, rate in zip(optimizer.param_groups, rates(k / steps)):
                group["lr"] = rate
            value = loss(self.model(self.x), self.y)
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            if clip:
                nn.utils.clip_grad_norm_([p for p in self.model.parameters() if p.requires_grad], clip)
            optimizer.step()
            self.losses.append(value.item())
            self.model.eval()
            with torch.no_grad():
                self.valid.append(valid(self.model(self.x), self.y).item())

    def rows(self, name):
        return [f"{name} {what} " + " ".join(f"{v:.7g}" for v in values) + "\n"
                for what, values in (("loss", self.losses), ("valid", self.valid))]


def named(model, want):
    return [p for n, p in model.named_parameters() if want(n, p)]


def adamw(x, y):
    run = Run(3, x, y)
    groups = [named(run.model, lambda n, p: n.startswith("fc") == head and (p.ndim == 1) == flat)
              for head in (False, True) for flat in (False, True)]
    groups = [dict(params=g, lr=0.0, weight_decay=d) for g, d in zip(groups, (0.05, 0, 0.05, 0))]
    adam = torch.optim.AdamW(groups)
    rates = lambda u: [k * 3e-3 * cosine(u) for k in (1, 1, 3, 3)]
    loss = lambda z, y: F.cross_entropy(z, y, label_smoothing=0.1)
    run.stage(4, adam, rates, loss, F.cross_entropy, head=True, clip=0.5)
    run.stage(10, adam, rates, loss, F.cross_entropy, clip=0.5)
    return run.rows("adamw")


def sgd(x, y):
    run = Run(4, x, y)
    step = torch.optim.SGD(run.model.parameters(), 0.02, 0.9, weight_decay=1e-3, nesterov=True)
    run.stage(8, step, lambda u: [0.02 * (1 - u)], F.cross_entropy, F.cross_entropy)
    return run.rows("sgd")


def adam(x, y):
    run = Run(5, x, y)
    loss = lambda z, y: F.binary_cross_entropy_with_logits(z, onehot(y))
    step = torch.optim.Adam(named(run.model, lambda n, p: not n.startswith("norm.")), 1e-3, weight_decay=0.1)
    run.stage(6, step, lambda u: [1e-3], loss, loss)
    return run.rows("adam")


def main():
    torch.set_num_threads(1)
    i = np.arange(16 * 3 * 13 * 13).reshape(16, 3, 13, 13)
    label = np.arange(16) % 4
    wave = np.sin(i * 0.37 * (1 + label.reshape(-1, 1, 1, 1))) * 90 + i * 7919 % 61 + 97
    image = np.clip(wave, 0, 255).astype(np.uint8)
    np.savez_compressed(f"{OUT}/small.npz", image=image, label=label.astype(np.int32))
    x, y = torch.from_numpy(image), torch.from_numpy(label)
    with open(f"{OUT}/small.txt", "w") as f:
        f.writelines(adamw(x, y) + sgd(x, y) + adam(x, y))


if __name__ == "__main__":
    main()
