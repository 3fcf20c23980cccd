"""Whether PyTorch and NumPy read what ours.ts wrote as it was meant: `check.py FOLDER`."""

import collections
import json
import sys
from pathlib import Path

import numpy as np
import onnx
import safetensors.torch
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "fixtures"))
import networks  # noqa: E402

folder = Path(sys.argv[1])
theirs = {
    "notes_example": networks.NotesExample,
    "lenet": networks.LeNet,
    "lenet_bn": networks.LeNetBN,
    "nin": networks.NiN,
    "googlenet": networks.GoogLeNet,
    "resnet": networks.ResNet18,
}


def load(name):
    return torch.load(folder / name, weights_only=True)


value = load("ours.pth")
assert type(value) is dict and list(value) == ["list", "tuple", "dict", "ordered", "tensors"]
assert value["list"] == [None, True, False, 1, -1, 2**40, 2**80, 0.5, "é"]
assert value["tuple"] == (1, (2,), ()) and type(value["tuple"]) is tuple
assert value["dict"] == {0: "zero", 7: "seven", "key": {}}
assert list(value["ordered"].items()) == [("b", 1), ("a", 2)]
assert type(value["ordered"]) is collections.OrderedDict
tensors = value["tensors"]
for name, dtype in (("float32", torch.float32), ("float64", torch.float64),
                    ("int64", torch.int64), ("uint8", torch.uint8)):  # fmt: skip
    assert tensors[name].dtype is dtype and tensors[name].tolist() == [[1, 2, 3]], name
assert tensors["scalar"].shape == () and tensors["scalar"].item() == 2.5
assert tensors["empty"].shape == (0, 3)
assert type(tensors["parameter"]) is torch.nn.Parameter and tensors["parameter"].requires_grad
tensors["whole"][2] = 7
assert tensors["part"].tolist() == [1, 7], "shared numbers stay shared"
kept = load("kept.pth")
assert kept["half"].dtype is torch.bfloat16 and kept["half"].tolist() == [1, 0.5]

net = networks.LeNet()
checkpoint = load("ours_checkpoint.pth")
net.load_state_dict(checkpoint["model"])
sgd = torch.optim.SGD(net.parameters(), lr=1)
sgd.load_state_dict(checkpoint["optimizer"])
assert sgd.param_groups[0]["lr"] == 0.25 and sgd.param_groups[0]["momentum"] == 0.5
net(torch.ones(2, 1, 28, 28)).sum().backward()
sgd.step()
adam = torch.optim.Adam(net.parameters())
adam.load_state_dict(load("ours_adam.pth"))
adam.step()
assert adam.state_dict()["state"][0]["step"] == 2

assert np.load(folder / "ours.npy").tolist() == [[1, 2, 3]]
arrays = np.load(folder / "ours.npz")
assert arrays["a"].tolist() == [[1, 2, 3]] and arrays["b"].dtype == np.int64
torch.manual_seed(3)
net = networks.LeNetBN()
net.load_state_dict(safetensors.torch.load_file(folder / "ours.safetensors"))

# ONNX's own checker also infers every shape; the parameters have PyTorch's names.
for file in sorted(folder.glob("ours.*.onnx")):
    model = onnx.load(file)
    onnx.checker.check_model(model, full_check=True)
    [result] = model.graph.output
    assert [d.dim_param or d.dim_value for d in result.type.tensor_type.shape.dim] == ["N", 10]
    stored = {t.name: torch.from_numpy(onnx.numpy_helper.to_array(t).copy()) for t in model.graph.initializer}
    with torch.device("meta"):
        state = theirs[file.suffixes[0][1:]]().state_dict()
    for name, value in state.items():
        assert name.endswith("num_batches_tracked") or stored[name].shape == value.shape, name

(folder / "checked.json").write_text(json.dumps({"files": 7}))
