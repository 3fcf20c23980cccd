# Fully convolutional: crops, skip connections, interpolation to the input's size.
import torch
import torch.nn as nn
import torch.nn.functional as F


class FCN8(nn.Module):
    def __init__(self, n_class=21):
        super(FCN8, self).__init__()
        widths = [16, 32, 64, 64, 64]
        last = 3
        for s, w in enumerate(widths):
            setattr(self, f"conv{s + 1}", nn.Conv2d(last, w, 3, padding=1))
            setattr(self, f"pool{s + 1}", nn.MaxPool2d(2, stride=2, ceil_mode=True))
            last = w
        self.score_fr = nn.Conv2d(64, n_class, 1)
        self.score_pool4 = nn.Conv2d(64, n_class, 1)
        self.score_pool3 = nn.Conv2d(64, n_class, 1)
        self.upscore2 = nn.ConvTranspose2d(n_class, n_class, 4, stride=2, padding=1, bias=False)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        size = x.shape[-2:]
        kept = {}
        h = x
        for s in range(1, 6):
            h = self.relu(self.__getattr__(f"conv{s}")(h))
            h = getattr(self, "pool" + str(s))(h)
            kept[s] = h
        h = self.upscore2(self.score_fr(h))
        h = self._crop(h, kept[4]) + self.score_pool4(kept[4])
        h = F.interpolate(h, scale_factor=2, mode="bilinear", align_corners=False)
        h = self._crop(h, kept[3]) + self.score_pool3(kept[3])
        return F.interpolate(h, size=size, mode="bilinear", align_corners=False)

    @staticmethod
    def _crop(h, like):
        return h[:, :, : like.size(2), : like.size(3)].contiguous()
