import math

import torch
from torch import nn


class Swish(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(x)


class SqueezeExcitation(nn.Module):
    def __init__(self, channels, squeezed, activation=nn.SiLU, scale_activation=nn.Hardsigmoid):
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)
        self.activation = activation()
        self.scale_activation = scale_activation()

    def forward(self, x):
        scale = self.avgpool(x)
        scale = self.activation(self.fc1(scale))
        return self.scale_activation(self.fc2(scale)) * x


class MBConv(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        inp, out, expand, kernel, stride = (cfg[k] for k in ('inp', 'out', 'expand', 'kernel', 'stride'))
        hidden = inp * expand
        layers = nn.ModuleDict()
        if expand > 1:
            layers['expand'] = nn.Sequential(nn.Conv2d(inp, hidden, 1, bias=False), nn.BatchNorm2d(hidden), Swish())
        layers['depthwise'] = nn.Sequential(
            nn.Conv2d(hidden, hidden, kernel, stride, kernel // 2, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden), nn.Hardswish())
        layers['squeeze'] = SqueezeExcitation(hidden, max(1, inp // 4))
        layers['project'] = nn.Sequential(nn.Conv2d(hidden, out, 1, bias=False), nn.BatchNorm2d(out))
        self.layers = layers
        self.residual = stride == 1 and inp == out

    def forward(self, x):
        y = x
        for name, layer in self.layers.items():
            y = layer(y)
        return x + y if self.residual else y


class EfficientNet(nn.Module):
    base = [
        dict(expand=1, out=16, repeats=1, stride=1, kernel=3),
        dict(expand=6, out=24, repeats=2, stride=2, kernel=3),
        dict(expand=6, out=40, repeats=2, stride=2, kernel=5),
        dict(expand=6, out=80, repeats=3, stride=2, kernel=3),
    ]

    def __init__(self, width=1.0, depth=1.2, classes=100):
        super().__init__()
        channels = round(32 * width)
        blocks = [nn.Conv2d(3, channels, 3, 2, 1, bias=False), nn.BatchNorm2d(channels), nn.SiLU(inplace=True)]
        for row in self.base:
            row = {**row}
            repeats = int(math.ceil(row.pop('repeats') * depth))
            for i in range(repeats):
                blocks.append(MBConv({**row, 'inp': channels, 'stride': row['stride'] if i == 0 else 1}))
                channels = row['out']
        self.features = nn.Sequential(*blocks)
        self.classifier = nn.Sequential(nn.Dropout(p=0.2, inplace=True), nn.Linear(channels, classes))

    def forward(self, x):
        x = self.features(x).mean((2, 3))
        return self.classifier(x)
