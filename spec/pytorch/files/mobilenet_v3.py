# Inverted residuals with squeeze-and-excitation; the rows of the table in a namedtuple.
from collections import namedtuple

import torch.nn as nn
import torch.nn.functional as F

Row = namedtuple("Row", ["kernel", "expand", "out", "se", "act", "stride"])

ROWS = [
    Row(3, 16, 16, True, "RE", 2),
    Row(3, 72, 24, False, "RE", 2),
    Row(3, 88, 24, False, "RE", 1),
    Row(5, 96, 40, True, "HS", 2),
    Row(5, 240, 40, True, "HS", 1),
]


def make_divisible(v, divisor=8, min_value=None):
    if min_value is None:
        min_value = divisor
    new_v = max(min_value, int(v + divisor / 2) // divisor * divisor)
    if new_v < 0.9 * v:
        new_v += divisor
    return new_v


class h_sigmoid(nn.Module):
    def __init__(self, inplace=True):
        super(h_sigmoid, self).__init__()
        self.relu = nn.ReLU6(inplace=inplace)

    def forward(self, x):
        return self.relu(x + 3) / 6


class h_swish(nn.Module):
    def __init__(self, inplace=True):
        super(h_swish, self).__init__()
        self.sigmoid = h_sigmoid(inplace=inplace)

    def forward(self, x):
        return x * self.sigmoid(x)


class SELayer(nn.Module):
    def __init__(self, channel, reduction=4):
        super(SELayer, self).__init__()
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Sequential(
            nn.Linear(channel, make_divisible(channel // reduction, 8)),
            nn.ReLU(inplace=True),
            nn.Linear(make_divisible(channel // reduction, 8), channel),
            h_sigmoid(),
        )

    def forward(self, x):
        b, c, _, _ = x.size()
        y = self.avg_pool(x).view(b, c)
        y = self.fc(y).view(b, c, 1, 1)
        return x * y


class InvertedResidual(nn.Module):
    def __init__(self, inp, row, width):
        super().__init__()
        kernel, expand, out, se, act, stride = row
        hidden = make_divisible(expand * width)
        out = make_divisible(out * width)
        assert stride in [1, 2]
        self.identity = stride == 1 and inp == out
        nonlinear = h_swish if act == "HS" else nn.ReLU
        parts = []
        if inp != hidden:
            parts += [nn.Conv2d(inp, hidden, 1, bias=False), nn.BatchNorm2d(hidden), nonlinear()]
        parts += [
            nn.Conv2d(hidden, hidden, kernel, stride, (kernel - 1) // 2, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            SELayer(hidden) if se else nn.Identity(),
            nonlinear(),
            nn.Conv2d(hidden, out, 1, 1, 0, bias=False),
            nn.BatchNorm2d(out),
        ]
        self.conv = nn.Sequential(*parts)
        self.out = out

    def forward(self, x):
        return x + self.conv(x) if self.identity else self.conv(x)


class MobileNetV3(nn.Module):
    def __init__(self, rows=ROWS, num_classes=100, width=1.0):
        super().__init__()
        channels = make_divisible(16 * width)
        self.stem = nn.Sequential(
            nn.Conv2d(3, channels, 3, 2, 1, bias=False), nn.BatchNorm2d(channels), nn.Hardswish()
        )
        blocks = []
        for row in rows:
            block = InvertedResidual(channels, row, width)
            channels = block.out
            blocks.append(block)
        self.blocks = nn.ModuleList(blocks)
        last = make_divisible(rows[-1].expand * width)
        self.head = nn.Conv2d(channels, last, 1)
        self.classifier = nn.Linear(last, num_classes)
        self._initialize_weights()

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        x = F.hardswish(self.head(x)).mean([2, 3])
        return self.classifier(F.dropout(x, 0.2, self.training))

    def _initialize_weights(self):
        import math

        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                n = m.kernel_size[0] * m.kernel_size[1] * m.out_channels
                m.weight.data.normal_(0, math.sqrt(2.0 / n))
                if m.bias is not None:
                    m.bias.data.zero_()
            elif isinstance(m, (nn.BatchNorm2d, nn.GroupNorm)):
                m.weight.data.fill_(1)
                m.bias.data.zero_()
            elif isinstance(m, nn.Linear):
                m.weight.data.normal_(0, 0.01)
                m.bias.data.zero_()
