"""torchvision's ResNet-50, written out (its compiled operators need a matching torch build)."""
import torch.nn as nn, torch.nn.functional as F


class Bottleneck(nn.Module):
    def __init__(self, i, p, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(i, p, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(p)
        self.conv2 = nn.Conv2d(p, p, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(p)
        self.conv3 = nn.Conv2d(p, 4 * p, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * p)
        self.downsample = None
        if stride != 1 or i != 4 * p:
            self.downsample = nn.Sequential(nn.Conv2d(i, 4 * p, 1, stride, bias=False), nn.BatchNorm2d(4 * p))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    def __init__(self, blocks, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        i = 64
        for n, (count, p) in enumerate(zip(blocks, (64, 128, 256, 512)), 1):
            layer = []
            for k in range(count):
                layer.append(Bottleneck(i, p, 2 if k == 0 and n > 1 else 1))
                i = 4 * p
            setattr(self, f"layer{n}", nn.Sequential(*layer))
        self.fc = nn.Linear(i, classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
        return self.fc(x.mean((2, 3)))


def resnet50(classes=1000):
    return ResNet((3, 4, 6, 3), classes)
