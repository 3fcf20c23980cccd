"""Encoder and decoder that hand indices over: MaxPool2d(return_indices=True), MaxUnpool2d."""
import torch
import torch.nn as nn


def block(i, o, n):
    return nn.Sequential(*[
        layer
        for k in range(n)
        for layer in (nn.Conv2d(i if k == 0 else o, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU(inplace=True))
    ])


class SegNet(nn.Module):
    def __init__(self, in_channels=3, classes=12, widths=(16, 32, 64)):
        super().__init__()
        self.encoders = nn.ModuleList()
        self.decoders = nn.ModuleList()
        self.pool = nn.MaxPool2d(2, 2, return_indices=True)
        self.unpool = nn.MaxUnpool2d(2, 2)
        c = in_channels
        for w in widths:
            self.encoders.append(block(c, w, 2))
            c = w
        for w in reversed((16,) + tuple(widths[:-1])):
            self.decoders.append(block(c, w, 2))
            c = w
        self.score = nn.Conv2d(c, classes, 1)

    def forward(self, x):
        indices, sizes = [], []
        for encoder in self.encoders:
            x = encoder(x)
            sizes.append(x.size())
            x, where = self.pool(x)
            indices.append(where)
        for decoder in self.decoders:
            x = self.unpool(x, indices.pop(), output_size=sizes.pop())
            x = decoder(x)
        return self.score(x)
