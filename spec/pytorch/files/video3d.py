"""Convolutions in space and time."""
import torch.nn as nn
from torch.nn.modules.utils import _triple


class SpatioTemporalConv(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0):
        super().__init__()
        kernel_size, stride, padding = _triple(kernel_size), _triple(stride), _triple(padding)
        t, h, w = kernel_size
        mid = int((t * h * w * in_channels * out_channels) / (h * w * in_channels + t * out_channels))
        self.spatial_conv = nn.Conv3d(in_channels, mid, (1, h, w), stride=(1,) + stride[1:], padding=(0, *padding[1:]), bias=False)
        self.bn = nn.BatchNorm3d(mid)
        self.relu = nn.ReLU()
        self.temporal_conv = nn.Conv3d(mid, out_channels, (t, 1, 1), stride=[stride[0], 1, 1], padding=(padding[0], 0, 0))

    def forward(self, x):
        return self.temporal_conv(self.relu(self.bn(self.spatial_conv(x))))


class C3D(nn.Module):
    def __init__(self, classes=5):
        super().__init__()
        self.features = nn.Sequential(
            SpatioTemporalConv(3, 8, 3, padding=1),
            nn.MaxPool3d((1, 2, 2)),
            SpatioTemporalConv(8, 16, (3, 3, 3), stride=2, padding=(1, 1, 1)),
            nn.ReplicationPad3d(1),
            nn.AdaptiveAvgPool3d(1),
        )
        self.fc = nn.Linear(16, classes)

    def forward(self, x):
        x = self.features(x)
        x = x.view(-1, 16)
        return self.fc(x)
