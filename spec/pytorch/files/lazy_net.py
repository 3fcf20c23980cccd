# Layers that take their input's size from the first input.
import torch
from torch import nn


def vgg_block(num_convs, out_channels):
    layers = []
    for _ in range(num_convs):
        layers.append(nn.LazyConv2d(out_channels, kernel_size=3, padding=1))
        layers.append(nn.ReLU())
    layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
    return nn.Sequential(*layers)


class LazyVGG(nn.Module):
    def __init__(self, arch=((1, 16), (1, 32), (2, 64)), num_classes=10):
        super().__init__()
        conv_blks = []
        for (num_convs, out_channels) in arch:
            conv_blks.append(vgg_block(num_convs, out_channels))
        self.net = nn.Sequential(
            *conv_blks, nn.Flatten(),
            nn.LazyLinear(128), nn.ReLU(), nn.Dropout(0.5),
            nn.LazyLinear(num_classes))

    def forward(self, X):
        return self.net(X)


class LazyResidual(nn.Module):
    def __init__(self, channels, strides=1, use_1x1conv=False):
        super().__init__()
        self.conv1 = nn.LazyConv2d(channels, 3, padding=1, stride=strides, bias=False)
        self.conv2 = nn.LazyConv2d(channels, 3, padding=1, bias=False)
        self.conv3 = nn.LazyConv2d(channels, 1, stride=strides) if use_1x1conv else None
        self.bn1 = nn.LazyBatchNorm2d()
        self.bn2 = nn.LazyBatchNorm2d()

    def forward(self, X):
        Y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(X)))))
        if self.conv3:
            X = self.conv3(X)
        Y += X
        return torch.relu(Y)


def lazy_resnet():
    net = nn.Sequential(nn.LazyConv2d(16, 7, 2, 3), nn.LazyBatchNorm2d(), nn.ReLU())
    for i, width in enumerate([16, 32]):
        net.add_module(f"b{i + 2}", nn.Sequential(LazyResidual(width, 2, True), LazyResidual(width)))
    net.add_module("last", nn.Sequential(nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(), nn.LazyLinear(10)))
    return net
