from __future__ import annotations

from typing import Any, Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class BasicConv2d(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, **kwargs: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, bias=False, **kwargs)
        self.bn = nn.BatchNorm2d(out_channels, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


class InceptionC(nn.Module):
    def __init__(self, in_channels: int, channels_7x7: int, conv_block: Callable[..., nn.Module] | None = None):
        super().__init__()
        if conv_block is None:
            conv_block = BasicConv2d
        c7 = channels_7x7
        self.branch1x1 = conv_block(in_channels, 48, kernel_size=1)
        self.branch7x7 = nn.Sequential(
            conv_block(in_channels, c7, kernel_size=1),
            conv_block(c7, c7, kernel_size=(1, 7), padding=(0, 3)),
            conv_block(c7, 48, kernel_size=(7, 1), padding=(3, 0)),
        )
        self.branch_pool = conv_block(in_channels, 48, kernel_size=1)

    def _forward(self, x: Tensor) -> list[Tensor]:
        pool = F.avg_pool2d(x, kernel_size=3, stride=1, padding=1)
        return [self.branch1x1(x), self.branch7x7(x), self.branch_pool(pool)]

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat(self._forward(x), 1)


class Reduction(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.branch3x3 = BasicConv2d(channels, 96, kernel_size=3, stride=2)
        self.branch_pool = nn.MaxPool2d(kernel_size=3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((self.branch3x3(x), self.branch_pool(x)), dim=1)


class Net(nn.Module):
    def __init__(self, num_classes: int = 1000, *, dropout: float = 0.5) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = BasicConv2d(3, 32, kernel_size=3, stride=2)
        self.Conv2d_2a_3x3 = BasicConv2d(32, 64, kernel_size=3, padding=1)
        self.maxpool1 = nn.MaxPool2d(kernel_size=3, stride=2)
        self.Mixed_5b = InceptionC(64, channels_7x7=32)
        self.Mixed_6a = Reduction(144)
        self.Mixed_6b = InceptionC(240, 40)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.dropout = nn.Dropout(p=dropout)
        self.fc = nn.Linear(144, num_classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        x = self.maxpool1(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Mixed_6b(self.Mixed_6a(self.Mixed_5b(x)))
        aux: Tensor | None = None
        if self.training:
            aux = x
        x = torch.flatten(self.dropout(self.avgpool(x)), 1)
        return self.fc(x), aux
