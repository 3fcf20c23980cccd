import torch.nn as nn

WIDTH = 16


class Features(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, WIDTH, 5), nn.ReLU(), nn.MaxPool2d(2)
        )
        self.head = nn.Linear(WIDTH * 4 * 4, 10)

    def forward(self, x):
        return self.head(self.features(x).flatten(1))
