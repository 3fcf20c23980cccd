"""A network from the text of a configuration: routes, shortcuts, upsampling."""
import torch
import torch.nn as nn

CONFIG = """
[convolutional]
batch_normalize=1
filters=16
size=3
stride=1

[convolutional]
batch_normalize=1
filters=32
size=3
stride=2

[convolutional]
filters=16
size=1
stride=1
batch_normalize=1

[convolutional]
batch_normalize=1
filters=32
size=3
stride=1

[shortcut]
from=-3

# downsample
[maxpool]
size=2
stride=2

[upsample]
stride=2

[route]
layers=-1, 3

[convolutional]
filters=18
size=1
stride=1
"""


def parse(text):
    lines = text.split("\n")
    lines = [x for x in lines if len(x) > 0]
    lines = [x for x in lines if x[0] != "#"]
    lines = [x.rstrip().lstrip() for x in lines]
    block = {}
    blocks = []
    for line in lines:
        if line[0] == "[":
            if len(block) != 0:
                blocks.append(block)
                block = {}
            block["type"] = line[1:-1].rstrip()
        else:
            key, value = line.split("=")
            block[key.rstrip()] = value.lstrip()
    blocks.append(block)
    return blocks


class EmptyLayer(nn.Module):
    def __init__(self):
        super(EmptyLayer, self).__init__()


def create_modules(blocks):
    module_list = nn.ModuleList()
    prev_filters = 3
    output_filters = []
    for index, x in enumerate(blocks):
        module = nn.Sequential()
        if x["type"] == "convolutional":
            try:
                batch_normalize = int(x["batch_normalize"])
                bias = False
            except:
                batch_normalize = 0
                bias = True
            filters = int(x["filters"])
            kernel_size, stride = int(x["size"]), int(x["stride"])
            pad = (kernel_size - 1) // 2
            conv = nn.Conv2d(prev_filters, filters, kernel_size, stride, pad, bias=bias)
            module.add_module("conv_{0}".format(index), conv)
            if batch_normalize:
                module.add_module("batch_norm_{0}".format(index), nn.BatchNorm2d(filters))
                module.add_module("leaky_{0}".format(index), nn.LeakyReLU(0.1, inplace=True))
        elif x["type"] == "upsample":
            module.add_module("upsample_{}".format(index), nn.Upsample(scale_factor=int(x["stride"]), mode="nearest"))
        elif x["type"] == "maxpool":
            module.add_module("maxpool_{}".format(index), nn.MaxPool2d(int(x["size"]), int(x["stride"])))
        elif x["type"] == "route":
            layers = [int(a) for a in x["layers"].split(",")]
            filters = sum([output_filters[i] for i in layers])
            module.add_module("route_{0}".format(index), EmptyLayer())
        elif x["type"] == "shortcut":
            module.add_module("shortcut_{}".format(index), EmptyLayer())
        module_list.append(module)
        prev_filters = filters
        output_filters.append(filters)
    return module_list


class Darknet(nn.Module):
    def __init__(self, text=CONFIG):
        super(Darknet, self).__init__()
        self.blocks = parse(text)
        self.module_list = create_modules(self.blocks)

    def forward(self, x):
        outputs = {}
        for i, module in enumerate(self.blocks):
            module_type = module["type"]
            if module_type in ["convolutional", "upsample", "maxpool"]:
                x = self.module_list[i](x)
            elif module_type == "route":
                layers = [int(a) for a in module["layers"].split(",")]
                layers = [a if a >= 0 else i + a for a in layers]
                x = torch.cat([outputs[a] for a in layers], 1)
            elif module_type == "shortcut":
                from_ = int(module["from"])
                x = outputs[i - 1] + outputs[i + from_]
            outputs[i] = x
        return x
