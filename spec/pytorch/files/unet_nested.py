# Nested U-Net: a triangle of blocks in a ModuleDict, named by their places.
import torch
from torch import nn


class Double(nn.Sequential):
    def __init__(self, i, m, o=None):
        o = o or m
        super().__init__()
        for n, (a, b) in enumerate([(i, m), (m, o)], 1):
            self.add_module(f"conv{n}", nn.Conv2d(a, b, 3, padding=1))
            self.add_module(f"bn{n}", nn.BatchNorm2d(b))
            self.add_module(f"relu{n}", nn.ReLU(inplace=True))


class NestedUNet(nn.Module):
    def __init__(self, num_classes=1, input_channels=3, deep_supervision=False, depth=4):
        super().__init__()
        nb = [8 * 2 ** k for k in range(depth)]
        self.depth, self.deep_supervision = depth, deep_supervision
        self.pool = nn.MaxPool2d(2, 2)
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        self.nodes = nn.ModuleDict()
        for j in range(depth):
            for i in range(depth - j):
                if j == 0:
                    before = nb[i - 1] if i > 0 else input_channels
                else:
                    before = nb[i] * j + nb[i + 1]
                self.nodes[f"x{i}_{j}"] = Double(before, nb[i])
        self.heads = nn.ModuleList(nn.Conv2d(nb[0], num_classes, kernel_size=1) for _ in range(1, depth))

    def forward(self, input):
        x = {}
        for j in range(self.depth):
            for i in range(self.depth - j):
                node = self.nodes[f"x{i}_{j}"]
                if j == 0:
                    x[i, 0] = node(input if i == 0 else self.pool(x[i - 1, 0]))
                else:
                    x[(i, j)] = node(torch.cat([x[i, k] for k in range(j)] + [self.up(x[i + 1, j - 1])], 1))
        outputs = [head(x[0, k]) for k, head in enumerate(self.heads, 1)]
        return outputs if self.deep_supervision else outputs[-1]
