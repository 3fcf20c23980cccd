import torch
from torch import nn


class AttentionNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, 32, (3, 5), stride=(1, 2), padding="valid"), nn.GroupNorm(4, 32), nn.GELU(),
            nn.MaxPool2d((2, 2)), nn.ZeroPad2d(1), nn.Conv2d(32, 32, 3, padding="same", dilation=2),
            nn.InstanceNorm2d(32), nn.PReLU(32), nn.Dropout2d(0.1))
        self.attention = nn.MultiheadAttention(32, 4, batch_first=True)
        self.gru = nn.GRU(32, 24, batch_first=True)
        self.out = nn.Linear(24, 10)

    def forward(self, x):
        x = self.stem(x).flatten(2).permute(0, 2, 1)
        y, _ = self.attention(x, x, x)
        y, h = self.gru(y + x)
        return self.out(h[-1])


# input: 1 x 28 x 28
model = AttentionNet()
y = model(torch.rand(4, 1, 28, 28))
