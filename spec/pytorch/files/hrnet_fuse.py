# Parallel resolutions, fused all with all; lists of lists of modules.
import torch
import torch.nn as nn
import torch.nn.functional as F

BN_MOMENTUM = 0.1


def conv3x3(in_planes, out_planes, stride=1):
    """3x3 convolution with padding"""
    return nn.Conv2d(in_planes, out_planes, kernel_size=3, stride=stride,
                     padding=1, bias=False)


class Fuse(nn.Module):
    def __init__(self, channels):
        super(Fuse, self).__init__()
        self.num_branches = len(channels)
        fuse_layers = []
        for i in range(self.num_branches):
            fuse_layer = []
            for j in range(self.num_branches):
                if j > i:
                    fuse_layer.append(nn.Sequential(
                        nn.Conv2d(channels[j], channels[i], 1, 1, 0, bias=False),
                        nn.BatchNorm2d(channels[i], momentum=BN_MOMENTUM)))
                elif j == i:
                    fuse_layer.append(nn.Identity())
                else:
                    conv3x3s = []
                    for k in range(i - j):
                        last = k == i - j - 1
                        outchannels = channels[i] if last else channels[j]
                        parts = [conv3x3(channels[j], outchannels, 2), nn.BatchNorm2d(outchannels, momentum=BN_MOMENTUM)]
                        if not last:
                            parts.append(nn.ReLU(inplace=False))
                        conv3x3s.append(nn.Sequential(*parts))
                    fuse_layer.append(nn.Sequential(*conv3x3s))
            fuse_layers.append(nn.ModuleList(fuse_layer))
        self.fuse_layers = nn.ModuleList(fuse_layers)
        self.relu = nn.ReLU(inplace=False)

    def forward(self, x):
        x_fuse = []
        for i in range(len(self.fuse_layers)):
            y = x[0] if i == 0 else self.fuse_layers[i][0](x[0])
            for j in range(1, self.num_branches):
                if i == j:
                    y = y + x[j]
                elif j > i:
                    width_output = x[i].shape[-1]
                    height_output = x[i].shape[-2]
                    y = y + F.interpolate(
                        self.fuse_layers[i][j](x[j]),
                        size=[height_output, width_output],
                        mode='bilinear', align_corners=True)
                else:
                    y = y + self.fuse_layers[i][j](x[j])
            x_fuse.append(self.relu(y))
        return x_fuse


class HRNet(nn.Module):
    def __init__(self, channels=[8, 16, 32], classes=19):
        super().__init__()
        self.stem = conv3x3(3, channels[0], 2)
        self.transition = nn.ModuleList([nn.Identity()] + [
            nn.Sequential(conv3x3(a, b, 2), nn.ReLU()) for a, b in zip(channels[:-1], channels[1:])])
        self.fuse = Fuse(channels)
        self.last = nn.Conv2d(sum(channels), classes, 1)

    def forward(self, x):
        x = self.stem(x)
        xs = []
        for t in self.transition:
            xs.append(t(xs[-1] if xs else x))
        xs = self.fuse(xs)
        h, w = xs[0].size(2), xs[0].size(3)
        up = [F.interpolate(y, size=(h, w), mode='bilinear', align_corners=False) for y in xs[1:]]
        return self.last(torch.cat([xs[0], *up], dim=1))
