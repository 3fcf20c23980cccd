# Layers from registries; a factory with kwargs; try and except.
from collections import OrderedDict
import torch.nn as nn

ACTIVATIONS = nn.ModuleDict([["lrelu", nn.LeakyReLU(0.1)], ["relu", nn.ReLU()], ["none", nn.Identity()]])
NORMS = {"bn": nn.BatchNorm2d, "gn": lambda c: nn.GroupNorm(4, c), "in": nn.InstanceNorm2d}
REGISTRY = {}


def register(name):
    def wrap(cls):
        REGISTRY[name] = cls
        return cls
    return wrap


def activation(kind):
    try:
        return {"lrelu": nn.LeakyReLU, "silu": nn.SiLU, "mish": nn.Mish}[kind]()
    except KeyError:
        return nn.ReLU(inplace=True)


def conv(i, o, *args, norm="bn", act="relu", name=None, **kwargs):
    kwargs.setdefault("kernel_size", 3)
    k = kwargs["kernel_size"]
    kwargs.setdefault("padding", k // 2)
    parts = OrderedDict()
    parts["conv"] = nn.Conv2d(i, o, *args, bias=norm is None, **kwargs)
    if norm is not None:
        parts[norm] = NORMS[norm](o)
    if act:
        parts["act"] = activation(act)
    return nn.Sequential(parts)


@register("plain")
class Plain(nn.Module):
    def __init__(self, widths=(16, 32, 64), **kwargs):
        super().__init__()
        pairs = list(zip((3,) + tuple(widths), widths))
        self.stages = nn.ModuleDict({
            "stage%02d" % n: nn.Sequential(conv(i, o, **kwargs), conv(o, o, stride=2, act="silu", **kwargs))
            for n, (i, o) in enumerate(pairs)
        })
        self.head = nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(widths[-1], 10))

    def forward(self, x):
        for name, stage in self.stages.items():
            x = stage(x)
        return self.head(x)


@register("grouped")
class Grouped(Plain):
    def __init__(self):
        super().__init__(widths=[16, 32], norm="gn")
        self.extra = conv(32, 32, norm="in", act=None, kernel_size=1)

    def forward(self, x):
        for stage in self.stages.values():
            x = stage(x)
        x = self.extra(x)
        return self.head(x)


def create(name, *args, **kwargs):
    if name not in REGISTRY:
        raise KeyError(f"unknown model {name!r}; known: {', '.join(sorted(REGISTRY))}")
    return REGISTRY[name](*args, **kwargs)
