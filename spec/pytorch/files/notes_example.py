import torch
import torch.nn as nn


class MyNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels=3, out_channels=32, kernel_size=3), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(in_channels=32, out_channels=64, kernel_size=3), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(in_channels=64, out_channels=64, kernel_size=4, padding=0), nn.ReLU())
        self.classification = nn.Sequential(
            nn.Flatten(), nn.Linear(in_features=576, out_features=64), nn.ReLU(),
            nn.Linear(in_features=64, out_features=10))

    def forward(self, x):
        return self.classification(self.features(x))
