"""Steps in PyTorch, timed for peer.ts, which asks for them line by line.

Needs PyTorch: python3 -m venv V && V/bin/pip install torch numpy
Arguments: model, images in a batch, channels, height, threads, plain|channels_last, train|infer.
The first line printed has the loss of the first step. Each line of input is a number of milliseconds
to fill with steps; the answer is the list of their times in milliseconds. At the end comes the peak
memory of the process in bytes.
"""

import json
import resource
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "spec" / "fixtures"))
import networks  # noqa: E402

CLASSES = {
    "notes_example": "NotesExample", "lenet": "LeNet", "lenet_bn": "LeNetBN", "alexnet": "AlexNet",
    "vgg": "VGG", "nin": "NiN", "googlenet": "GoogLeNet", "resnet": "ResNet18",
}  # fmt: skip

name, images, channels, height, threads, layout, work = sys.argv[1:]
torch.set_num_threads(int(threads))
torch.manual_seed(0)
model = getattr(networks, CLASSES[name])()
x = torch.rand(int(images), int(channels), int(height), int(height))
if layout == "channels_last":
    model = model.to(memory_format=torch.channels_last)
    x = x.to(memory_format=torch.channels_last)
labels = torch.arange(int(images)) % 10
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
loss_of = torch.nn.CrossEntropyLoss()


def train():
    optimizer.zero_grad()
    loss = loss_of(model(x), labels)
    loss.backward()
    optimizer.step()
    return loss.item()


@torch.inference_mode()
def infer():
    return loss_of(model(x), labels).item()


def timed(work):
    begin = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - begin)


if work == "infer":
    model.eval()
step = {"train": train, "infer": infer}[work]
print(json.dumps({"loss": step()}), flush=True)
for _ in range(2):
    step()
for line in sys.stdin:
    times = [timed(step), timed(step)]
    while sum(times) < float(line):
        times.append(timed(step))
    print(json.dumps(times), flush=True)
print(json.dumps(1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss), flush=True)
