from collections import OrderedDict

import torch.nn as nn


class LeNetBN(nn.Module):
    def __init__(self, classes: int = 10, *, features=(6, 16)):
        super().__init__()
        first, second = features
        self.features = nn.Sequential(
            OrderedDict(
                [
                    ("conv1", nn.Conv2d(1, first, 5, padding=2)),
                    ("bn1", nn.BatchNorm2d(first)),
                    ("act1", nn.Sigmoid()),
                    ("pool1", nn.AvgPool2d(2)),
                    ("conv2", nn.Conv2d(first, second, 5)),
                    ("bn2", nn.BatchNorm2d(second)),
                    ("act2", nn.Sigmoid()),
                    ("pool2", nn.AvgPool2d(2)),
                ]
            )
        )
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(second * 25, 120), nn.BatchNorm1d(120), nn.Sigmoid(),
            nn.Linear(120, 84), nn.BatchNorm1d(84), nn.Sigmoid(), nn.Linear(84, classes))

    def forward(self, x):
        return self.head(self.features(x))
