"""ResNeXt with grouped bottlenecks, options in a dataclass."""

from dataclasses import dataclass, field
from typing import List, Optional, Tuple

import torch
from torch import Tensor, nn


@dataclass
class Options:
    blocks: Tuple[int, int, int] = (2, 2, 2)
    cardinality: int = 8
    width: int = 4
    widen: int = 2
    classes: int = 10
    strides: List[int] = field(default_factory=lambda: [1, 2, 2])


class Shortcut(nn.Sequential):
    def __init__(self, i: int, o: int, stride: int) -> None:
        if i == o and stride == 1:
            super().__init__()
        else:
            super().__init__(nn.Conv2d(i, o, 1, stride=stride, bias=False), nn.BatchNorm2d(o))


class Block(nn.Module):
    expansion: int = 2

    def __init__(self, inplanes: int, width: int, cardinality: int, stride: int = 1):
        super(Block, self).__init__()
        inner = cardinality * width
        outer = inner * self.expansion
        self.split = nn.Conv2d(inplanes, inner, kernel_size=1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.transform = nn.Conv2d(
            inner, inner, kernel_size=3, stride=stride, padding=1, groups=cardinality, bias=False
        )
        self.bn2 = nn.BatchNorm2d(inner)
        self.merge = nn.Conv2d(inner, outer, kernel_size=1, bias=False)
        self.bn3 = nn.BatchNorm2d(outer)
        self.act = nn.ReLU(inplace=True)
        self.shortcut = Shortcut(inplanes, outer, stride)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.act(self.bn1(self.split(x)))
        y = self.act(self.bn2(self.transform(y)))
        y = self.bn3(self.merge(y))
        y += self.shortcut(x)
        return self.act(y)


class ResNeXt(nn.Module):
    def __init__(self, options: Optional[Options] = None):
        super().__init__()
        self.options = options or Options()
        o = self.options
        self.inplanes = 64
        self.conv1 = nn.Conv2d(3, 64, kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.act = nn.ReLU(inplace=True)
        width = o.width
        for number, (count, stride) in enumerate(zip(o.blocks, o.strides), start=1):
            self.add_module(f"stage{number}", self.stage(count, width, stride))
            width *= o.widen
        self.fc = nn.Linear(self.inplanes, o.classes)

    def stage(self, count: int, width: int, stride: int) -> nn.Sequential:
        strides = [stride] + [1] * (count - 1)
        layers: List[nn.Module] = []
        for s in strides:
            layers.append(Block(self.inplanes, width, self.options.cardinality, s))
            self.inplanes = Block.expansion * width * self.options.cardinality
        return nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.bn1(self.conv1(x)))
        for number in range(1, len(self.options.blocks) + 1):
            x = getattr(self, f"stage{number}")(x)
        x = torch.nn.functional.adaptive_avg_pool2d(x, (1, 1))
        x = torch.flatten(x, 1)
        return self.fc(x)


def resnext_small(**kwargs) -> ResNeXt:
    return ResNeXt(Options(**kwargs))
