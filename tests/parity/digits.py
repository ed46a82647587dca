"""samples/digits/finetune.hone as one writes it in PyTorch; prints accuracy, seconds and peak memory."""
import math, resource, sys, time
import numpy as np, torch
import torch.nn as nn, torch.nn.functional as F
from safetensors.torch import load_file, save_file

folder = sys.argv[1] if len(sys.argv) > 1 else "samples/digits"
torch.manual_seed(1)
torch.set_num_threads(2)


class Block(nn.Module):
    def __init__(self, i, o, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(i, o, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(o)
        self.conv2 = nn.Conv2d(o, o, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(o)
        self.shortcut = nn.Sequential()
        if stride != 1 or i != o:
            self.shortcut = nn.Sequential(nn.Conv2d(i, o, 1, stride, bias=False), nn.BatchNorm2d(o))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class DigitNet(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.block1 = Block(16, 16)
        self.block2 = Block(16, 32, 2)
        self.fc = nn.Linear(32, classes)

    def forward(self, image):
        x = F.relu(self.bn1(self.conv1(image.float() / 16)))
        return self.fc(self.block2(self.block1(x)).mean((2, 3)))


def read(name):
    file = np.load(f"{folder}/{name}.npz")
    return torch.from_numpy(file["image"]), torch.from_numpy(file["label"]).long()


def cosine(u, w=0.1):
    return u / w if u < w else 0.5 * (1 + math.cos(math.pi * (u - w) / (1 - w)))


def evaluate(model, x, y):
    model.eval()
    with torch.no_grad():
        hit = model(x).argmax(1) == y
    old = y < 5
    return hit.float().mean().item(), hit[old].float().mean().item()


def main():
    start = time.perf_counter()
    x, y = read("train")
    vx, vy = read("valid")
    model = DigitNet(10)
    weights = load_file(f"{folder}/pretrained.safetensors")
    weights = {k: v for k, v in weights.items() if not k.startswith("fc")}
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert not unexpected and all(k.startswith("fc") or "num_batches" in k for k in missing)
    body = [p for n, p in model.named_parameters() if not n.startswith("fc")]
    adam = torch.optim.AdamW([{"params": body, "peak": 2e-3}, {"params": model.fc.parameters(), "peak": 1e-2}],
                             weight_decay=0.01)
    best = (0.0, 0.0)
    steps = 0
    batch, per_epoch = 32, len(x) // 32
    for epochs, head_only in ((4, True), (12, False)):
        for p in body:
            p.requires_grad_(not head_only)
        for epoch in range(epochs):
            model.train(not head_only)
            order = torch.randperm(len(x))
            for k in range(per_epoch):
                i = order[k * batch:(k + 1) * batch]
                u = cosine((epoch * per_epoch + k) / (epochs * per_epoch))
                for group in adam.param_groups:
                    group["lr"] = group["peak"] * u
                loss = F.cross_entropy(model(x[i]), y[i])
                adam.zero_grad(set_to_none=True)
                loss.backward()
                adam.step()
                steps += 1
            result = evaluate(model, vx, vy)
            if not head_only and result[0] > best[0]:
                best = result
                saved = {k: v.clone() for k, v in model.state_dict().items() if "num_batches" not in k}
    save_file(saved, "/dev/null")
    seconds = time.perf_counter() - start
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"accuracy {100 * best[0]:.1f} %  known {100 * best[1]:.1f} %  {seconds:.1f} s  "
          f"{1000 * seconds / steps:.2f} ms a step  {rss:.0f} MiB")


if __name__ == "__main__":
    main()
