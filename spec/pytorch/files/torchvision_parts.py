from torch import nn
from torchvision.ops import Conv2dNormActivation, SqueezeExcitation, StochasticDepth


class Block(nn.Module):
    def __init__(self, channels, p):
        super().__init__()
        self.body = nn.Sequential(
            Conv2dNormActivation(channels, channels * 2, kernel_size=1, activation_layer=nn.SiLU),
            Conv2dNormActivation(channels * 2, channels * 2, groups=channels * 2, activation_layer=nn.SiLU),
            SqueezeExcitation(channels * 2, channels // 2, activation=nn.SiLU),
            Conv2dNormActivation(channels * 2, channels, kernel_size=1, activation_layer=None),
        )
        self.drop = StochasticDepth(p, "row")

    def forward(self, x):
        return x + self.drop(self.body(x))


net = nn.Sequential(
    Conv2dNormActivation(3, 16, stride=2),
    *(Block(16, 0.1 * k) for k in range(2)),
    nn.AdaptiveAvgPool2d(1),
    nn.Flatten(),
    nn.Linear(16, 10),
)
