import torch
from torch import nn


class SELayer(nn.Module):
    def __init__(self, channel, reduction=16):
        super(SELayer, self).__init__()
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Sequential(
            nn.Linear(channel, channel // reduction, bias=False),
            nn.ReLU(inplace=True),
            nn.Linear(channel // reduction, channel, bias=False),
            nn.Sigmoid()
        )

    def forward(self, x):
        b, c, _, _ = x.size()
        y = self.avg_pool(x).view(b, c)
        y = self.fc(y).view(b, c, 1, 1)
        return x * y.expand_as(x)


class SEBlock(nn.Module):
    def __init__(self, inp, out, stride=1):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inp, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU(),
            nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out), SELayer(out))
        self.skip = nn.Identity() if stride == 1 and inp == out else nn.Conv2d(inp, out, 1, stride)

    def forward(self, x):
        return (self.body(x) + self.skip(x)).relu()


class SENet(nn.Module):
    widths = 32, 64, 128

    def __init__(self, classes=100):
        super().__init__()
        self.stem = nn.Conv2d(3, self.widths[0], 3, padding=1)
        stages, previous = [], self.widths[0]
        for width in self.widths:
            stages.append(SEBlock(previous, width, stride=2))
            stages.append(SEBlock(width, width))
            previous = width
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(previous, classes)

    def forward(self, x):
        x = self.stages(self.stem(x))
        return self.head(x.mean(dim=(-2, -1)))
