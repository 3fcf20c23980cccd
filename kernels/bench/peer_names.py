"""The classes of spec/fixtures/networks.py by the names of reference/models."""

CLASSES = {
    "notes_example": "NotesExample", "lenet": "LeNet", "lenet_bn": "LeNetBN", "alexnet": "AlexNet",
    "vgg": "VGG", "nin": "NiN", "googlenet": "GoogLeNet", "resnet": "ResNet18",
}  # fmt: skip
