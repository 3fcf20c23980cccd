"""Training steps in PyTorch on a GPU, for `npm run gpu`, which asks for them line by line.

Needs PyTorch with CUDA. Arguments: device, eager|compile, images in a batch, model, channels,
height. Data lies on the device; TF32 is allowed, cuDNN picks its fastest kernels,
images are channels_last. The first line printed says what runs; each line of input is a number of
milliseconds to fill with steps, and the answer is the list of their times. At the end comes the most
memory that was taken, in bytes, and the speed of a large TF32 product.
`--device cpu` goes the same way without a GPU: its times say nothing of one.
"""

import json
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "spec" / "fixtures"))
import networks  # noqa: E402
from peer_names import CLASSES  # noqa: E402

device, mode, images, name, channels, height = sys.argv[1:7]
on_gpu = device.startswith("cuda")
torch.backends.cuda.matmul.allow_tf32 = True
torch.backends.cudnn.allow_tf32 = True
torch.backends.cudnn.benchmark = True
torch.manual_seed(0)


def wait():
    if on_gpu:
        torch.cuda.synchronize(device)


model = getattr(networks, CLASSES[name])().to(device, memory_format=torch.channels_last)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
x = torch.rand(int(images), int(channels), int(height), int(height), device=device)
x = x.to(memory_format=torch.channels_last)
labels = torch.arange(int(images), device=device) % 10
loss_of = torch.nn.CrossEntropyLoss()


def forward_backward(x, labels):
    loss = loss_of(model(x), labels)
    loss.backward()
    return loss


run = torch.compile(forward_backward, mode="reduce-overhead") if mode == "compile" else forward_backward


def step():
    begin = time.perf_counter()
    optimizer.zero_grad()
    loss = run(x, labels)
    optimizer.step()
    loss.item()
    wait()
    return 1000 * (time.perf_counter() - begin)


for _ in range(5 if on_gpu else 2):
    step()
where = torch.cuda.get_device_name(device) if on_gpu else "a processor"
print(json.dumps({"torch": torch.__version__, "device": where, "mode": mode}), flush=True)
for line in sys.stdin:
    times = [step()]
    while sum(times) < float(line):
        times.append(step())
    print(json.dumps(times), flush=True)


def product_speed(size):
    a = torch.rand(size, size, device=device)
    best = float("inf")
    for _ in range(5):
        wait()
        begin = time.perf_counter()
        a @ a
        wait()
        best = min(best, time.perf_counter() - begin)
    return 2 * size**3 / best


peak = torch.cuda.max_memory_allocated(device) if on_gpu else None
print(json.dumps({"peakBytes": peak, "productFlops": product_speed(8192 if on_gpu else 256)}))
