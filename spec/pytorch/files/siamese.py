# Two images through one trunk; shared weights; a while loop.
import torch
import torch.nn as nn
import torch.nn.functional as F


class Trunk(nn.Module):
    def __init__(self, size=28, smallest=4):
        super().__init__()
        self.convs = nn.ModuleList()
        channels, width = 1, 8
        while size > smallest:
            self.convs.append(nn.Conv2d(channels, width, 3, padding=1))
            channels, width = width, width * 2
            size //= 2
        self.out_features = channels * size * size

    def forward(self, x):
        for conv in self.convs:
            x = F.max_pool2d(F.relu(conv(x)), 2)
        return x.view(-1, self.num_flat_features(x))

    def num_flat_features(self, x):
        size = x.size()[1:]
        num_features = 1
        for s in size:
            num_features *= s
        return num_features


class Siamese(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = Trunk()
        self.head = nn.Sequential(nn.Linear(2 * self.trunk.out_features, 32), nn.PReLU(), nn.Linear(32, 1))
        self.again = self.head[0]

    def forward_once(self, x):
        return self.trunk(x)

    def forward(self, pair):
        a, b = pair[:, :1], pair[:, 1:]
        a, b = map(self.forward_once, (a, b))
        both = torch.cat((a, b), dim=-1)
        return self.head(both).squeeze(-1)
