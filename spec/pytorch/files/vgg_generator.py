"""VGG from strings, with a generator of layers, an Enum and a property."""
import enum
import itertools

import torch
from torch import nn


class Depth(enum.Enum):
    A = "64 M 128 M 256 256 M 512 512 M 512 512 M"
    B = "64 64 M 128 128 M 256 256 M 512 512 M 512 512 M"

    @property
    def tokens(self):
        return self.value.split()


def layers_of(depth, channels=3, norm=True):
    for token in depth.tokens:
        if token == "M":
            yield nn.MaxPool2d(2)
            continue
        width = int(token)
        yield nn.Conv2d(channels, width, 3, padding=1, bias=not norm)
        if norm:
            yield nn.BatchNorm2d(width)
        yield nn.ReLU(True)
        channels = width


class VGG(nn.Module):
    def __init__(self, depth=Depth.A, classes=10, **kwargs):
        super().__init__()
        self.features = nn.Sequential(*layers_of(depth, **kwargs))
        self.classes = classes
        sizes = [512, 256, 128]
        dense = itertools.chain.from_iterable(
            (nn.Linear(a, b), nn.ReLU(True), nn.Dropout()) for a, b in zip(sizes, sizes[1:])
        )
        self.classifier = nn.Sequential(*dense, nn.Linear(sizes[-1], classes))

    @property
    def depth(self):
        return sum(isinstance(m, (nn.Conv2d, nn.Linear)) for m in self.modules())

    def forward(self, x):
        if self.depth < 1:
            raise ValueError(f"depth is {self.depth:03d}")
        x = self.features(x)
        x = x.flatten(start_dim=1)
        return self.classifier(x)

    @classmethod
    def named(cls, name, *args, **kwargs):
        return cls(Depth[name.upper()], *args, **kwargs)


class Plain(VGG):
    def __init__(self):
        super().__init__(Depth.A, 20, norm=False, channels=1)
