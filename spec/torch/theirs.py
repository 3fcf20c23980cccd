"""What PyTorch writes and knows, for ours.ts to read: `theirs.py FOLDER`.

Tensors are said as nested lists; digests are the first 16 digits of SHA-256 over all bytes.
"""

import copy
import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import safetensors.torch
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "fixtures"))
import networks  # noqa: E402

folder = Path(sys.argv[1])
SEEDS = range(20)
NETWORKS = {
    "notes_example": networks.NotesExample,
    "lenet": networks.LeNet,
    "lenet_bn": networks.LeNetBN,
    "alexnet": networks.AlexNet,
    "vgg": networks.VGG,
    "nin": networks.NiN,
    "googlenet": networks.GoogLeNet,
    "resnet": networks.ResNet18,
}

# The files of the notes: a tensor, a list, a dictionary, a state dict.
x = torch.arange(4)
torch.save(x, folder / "x.pth")
torch.save([x, torch.zeros(4)], folder / "list.pth")
torch.save({"x": x, "y": torch.zeros(4)}, folder / "dict.pth")
torch.manual_seed(0)
net = networks.LeNet()
torch.save(net.state_dict(), folder / "state.pth")

# The same in the older form, and a checkpoint in the middle of training.
legacy = {"_use_new_zipfile_serialization": False}
torch.save(net.state_dict(), folder / "state_legacy.pth", **legacy)
adam = torch.optim.Adam(net.parameters(), lr=0.01)
net(torch.ones(2, 1, 28, 28)).sum().backward()
adam.step()
torch.save({"model": net.state_dict(), "optimizer": adam.state_dict()}, folder / "checkpoint.pth")
np.save(folder / "a.npy", np.arange(6, dtype=np.float32).reshape(2, 3))
np.savez(folder / "a.npz", a=np.arange(6).reshape(2, 3), b=np.float64(1.5))
np.savez_compressed(folder / "packed.npz", a=np.arange(1000))

torch.manual_seed(1)
safetensors.torch.save_file(networks.LeNetBN().state_dict(), folder / "state.safetensors")

# Networks as ONNX files, by both of PyTorch's exporters, with what they answer to one batch: in
# float32, and in float64, which stands for the exact answer.
INPUTS = {"notes_example": (3, 32, 32), "nin": (1, 224, 224), "googlenet": (1, 96, 96), "resnet": (1, 96, 96)}
onnx = []
for name in ["notes_example", "lenet", "lenet_bn", "nin", "googlenet", "resnet"]:
    torch.manual_seed(2)
    model = NETWORKS[name]().eval()
    batch = torch.rand(2, *INPUTS.get(name, (1, 28, 28)))
    np.save(folder / f"{name}.x.npy", batch.numpy())
    with torch.no_grad():
        np.save(folder / f"{name}.y32.npy", model(batch).numpy())
        np.save(folder / f"{name}.y64.npy", copy.deepcopy(model).double()(batch.double()).numpy())
    for exporter, dynamo in (("torchscript", False), ("dynamo", True)):
        file = f"{name}.{exporter}.onnx"
        settings = {"external_data": False} if dynamo else {}
        torch.onnx.export(model, (batch,), folder / file, dynamo=dynamo, verbose=False, **settings)
        onnx.append({"network": name, "file": file})

seeds = {}
for name, create in NETWORKS.items():
    seeds[name] = []
    for seed in SEEDS:
        torch.manual_seed(seed)
        digest = hashlib.sha256()
        for value in create().state_dict().values():
            digest.update(value.numpy().tobytes())
        seeds[name].append(digest.hexdigest()[:16])

(folder / "theirs.json").write_text(
    json.dumps({
        "versions": {
            "Python": sys.version.split()[0],
            "PyTorch": torch.__version__,
            "NumPy": np.__version__,
        },
        "seeds": seeds,
        "onnx": onnx,
        "adam": adam.state_dict()["state"][0]["exp_avg"].tolist(),
    })
)  # fmt: skip
