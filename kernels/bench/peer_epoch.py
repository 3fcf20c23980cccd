"""One epoch as the notes train in PyTorch, for `npm run gpu`: torchvision's transforms in a DataLoader, Adam.

Needs PyTorch with CUDA, and torchvision. Arguments: device, model, batch, side of the images (0: as stored),
learning rate, batches at most (0: all), folder with the four Fashion-MNIST files. Prints one line of JSON.
"""

import gzip
import json
import struct
import sys
import time
from pathlib import Path

import torch
from PIL import Image
from torchvision import transforms

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "spec" / "fixtures"))
import networks  # noqa: E402
from peer_names import CLASSES  # noqa: E402

device, name, batch, side, lr, most, folder = sys.argv[1:8]


def read(stem):
    for suffix, opening in (("", open), (".gz", gzip.open)):
        path = Path(folder) / (stem + suffix)
        if path.exists():
            with opening(path, "rb") as file:
                return file.read()
    raise SystemExit(f"there is no {stem} in {folder}")


class Images(torch.utils.data.Dataset):
    def __init__(self, transform):
        pixels = read("train-images-idx3-ubyte")
        count, height, width = struct.unpack(">III", pixels[4:16])
        self.images = torch.frombuffer(bytearray(pixels[16:]), dtype=torch.uint8)
        self.images = self.images.view(count, height, width).numpy()
        self.labels = read("train-labels-idx1-ubyte")[8:]
        self.transform = transform

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        return self.transform(Image.fromarray(self.images[i])), self.labels[i]


resize = [transforms.Resize(int(side))] if int(side) else []
data = Images(transforms.Compose([*resize, transforms.ToTensor()]))
loader = torch.utils.data.DataLoader(data, int(batch), shuffle=True, num_workers=4)
torch.manual_seed(0)
model = getattr(networks, CLASSES[name])().to(device)
optimizer = torch.optim.Adam(model.parameters(), lr=float(lr))
loss_of = torch.nn.CrossEntropyLoss()
begin = time.perf_counter()
steps = 0
for x, labels in loader:
    x, labels = x.to(device), labels.to(device)
    loss = loss_of(model(x), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    loss.item()
    steps += 1
    if steps == int(most):
        break
print(json.dumps({"seconds": time.perf_counter() - begin, "steps": steps}))
