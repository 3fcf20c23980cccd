"""A backbone whose parameters are frozen, tied weights, a replaced head."""
import torch
from torch import nn

from lenet_parts import Features as Backbone
import lenet_parts as parts

def counter():
    n = 0

    def count():
        nonlocal n
        n += 1
        return n

    return count


class Tied(nn.Module):
    def __init__(self, words=50, dim=16):
        super().__init__()
        self.embed = nn.Embedding(words, dim)
        self.decode = nn.Linear(dim, words, bias=False)
        self.decode.weight = self.embed.weight

    def forward(self, x):
        return self.decode(self.embed(x).mean(1))


class FineTuned(nn.Module):
    def __init__(self, classes=4):
        super().__init__()
        self.backbone = Backbone()
        for p in self.backbone.parameters():
            p.requires_grad = False
        del self.backbone.head
        self.backbone.head = nn.Sequential(nn.Dropout(), nn.Linear(parts.WIDTH * 4 * 4, classes))
        self.layers = nn.Sequential(*list(self.backbone.features.children())[:-1])
        count = counter()
        self.id = count() + count()
        self.scale = nn.Parameter(torch.ones(self.id, 1))

    def forward(self, x):
        x = self.backbone(x)
        return (x * self.scale.sum()).view(x.size()[0], -1)
