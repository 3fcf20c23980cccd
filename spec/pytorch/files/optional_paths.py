# A path that depends on the numbers: both ways give the same shape.
import torch
import torch.nn as nn
import torch.nn.functional as F


class StochasticBlock(nn.Module):
    def __init__(self, channels, p=0.5):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.p = p

    def forward(self, x):
        if self.training and torch.rand(1).item() < self.p:
            return x
        return x + F.relu(self.conv(x))


class EarlyExit(nn.Module):
    def __init__(self, threshold=0.9):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.blocks = nn.ModuleList([StochasticBlock(8) for _ in range(2)])
        self.small = nn.Conv2d(8, 8, 1)
        self.exit = nn.Linear(8, 10)
        self.threshold = threshold
        self.count = 0

    def forward(self, x, return_features: bool = False):
        x = self.stem(x)
        for k, block in enumerate(self.blocks):
            x = block(x)
        if x.abs().mean() > self.threshold:
            x = F.normalize(x, dim=1)
        else:
            x = x * 0.5
        self.count += 1
        y = self.exit(x.mean(dim=(2, 3)))
        if return_features:
            return y, x
        else:
            return y
