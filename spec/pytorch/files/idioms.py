# Python that model files use and that is easily misread: options of the command line, stars on the right
# of an assignment, partials that are asked what they are made of, windows along an axis, indices in lists.
import argparse
from functools import partial
from itertools import product

import torch
from torch import nn

parser = argparse.ArgumentParser(description="train it")
parser.add_argument("--hidden-width", "-w", type=int, default="12", help="channels inside")
parser.add_argument("--no-bias", dest="bias", action="store_false")
parser.add_argument("--patch", type=int, default=4)
options = parser.parse_args([])


class Patches(nn.Module):
    """Attention over square patches, that are cut out by hand."""

    def __init__(self, side=options.patch, width=options.hidden_width, heads=3):
        super().__init__()
        self.side, self.heads = side, heads
        self.embed = nn.Linear(3 * side * side, width, bias=options.bias)
        self.mix = nn.Linear(width, 3 * width)
        self.head = nn.Linear(width, 5)

    def forward(self, x):
        p = self.side
        x = x.unfold(2, p, p).unfold(3, p, p).permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)
        x = torch.tanh(self.embed(x))
        n, length, _, h = *x.shape, self.heads
        q, k, v = (t.reshape(n, length, h, -1).transpose(1, 2) for t in self.mix(x).chunk(3, dim=-1))
        weights = torch.einsum("n h i d, n h j d -> n h i j", q, k).softmax(-1)
        x = torch.einsum("n h i j, n h j d -> n h i d", weights, v).transpose(1, 2).flatten(2)
        return self.head(x[:, [-1], :])


class Neighbours(nn.Module):
    """A graph whose nodes are the rows of the input."""

    def __init__(self, nodes=6, width=8, rounds=2):
        super().__init__()
        edges = torch.zeros(nodes, nodes)
        for i, j in product(range(nodes), repeat=2):
            if abs(i - j) == 1:
                edges[i, j] = 1
        self.register_buffer("edges", edges, persistent=False)
        self.weights = nn.ParameterList([nn.Parameter(torch.empty(width, width)) for _ in range(rounds)])
        self.out = nn.Linear(width, 3)

    def forward(self, x):
        for weight in self.weights:
            x = torch.relu(self.edges @ x @ weight)
        return self.out(x.mean(1))


def needs_bias(norm):
    made = norm.func if isinstance(norm, partial) else norm
    return made != nn.BatchNorm2d


class Chosen(nn.Module):
    def __init__(self, norm=partial(nn.BatchNorm2d, momentum=0.01), width=options.hidden_width):
        super().__init__()
        names = [name.strip("_").lstrip("ab") for name in ("_aconv_", "bnorm__")]
        self.add_module(names[0], nn.Conv2d(3, width, 3, bias=needs_bias(norm)))
        self.add_module(names[1], norm(width))

    def forward(self, x):
        return self.norm(self.conv(x))


class Squeeze(nn.Module):
    """Weighs channels by what they hold on average."""

    def __init__(self, channels=10):
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.weigh = nn.Sequential(nn.Linear(channels, 4), nn.ReLU(), nn.Linear(4, channels), nn.Sigmoid())

    def forward(self, x):
        n, c, _, _ = x.size()
        return x * self.weigh(self.pool(x).view(n, c)).view(n, c, 1, 1)


class Labelled(nn.Module):
    """Pixels and a label beside them, in one row."""

    def __init__(self, classes=10):
        super().__init__()
        self.classes = classes
        self.inside = nn.Linear(28 * 28 + classes, 16)

    def forward(self, x, label=None):
        x = x.view(x.size(0), -1)
        if label is None:
            label = torch.zeros(x.size(0), dtype=torch.long)
        one = nn.functional.one_hot(label, self.classes).float()
        return self.inside(torch.cat([x, one], dim=-1))


Patches()(torch.rand(1, 3, 16, 20))
Neighbours()(torch.rand(1, 6, 8))
