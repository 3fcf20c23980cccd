"""The notes' listings of chapter 1, saving and loading: `listings.py FOLDER`.

listings.ts is the same in TypeScript and prints the same.
"""

import os
import sys

import torch
import torch.nn.functional as F
from torch import nn

os.chdir(sys.argv[1])

# A tensor
x = torch.arange(4)
torch.save(x, "x-file")
x2 = torch.load("x-file")
print(x2.tolist())

# A list of tensors
y = torch.zeros(4)
torch.save([x, y], "x-files")
x2, y2 = torch.load("x-files")
print((x2.tolist(), [int(v) for v in y2]))

# A dictionary of tensors
mydict = {"x": x, "y": y}
torch.save(mydict, "mydict")
mydict2 = torch.load("mydict")
print(list(mydict2), mydict2["x"].tolist(), (mydict2["y"] == 0).all().item())


# A model's parameters
class MLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(20, 256)
        self.output = nn.Linear(256, 10)

    def forward(self, x):
        return self.output(F.relu(self.hidden(x)))


torch.manual_seed(0)
net = MLP()
X = torch.randn(size=(2, 20))
Y = net(X)
torch.save(net.state_dict(), "mlp.params")
clone = MLP()
print(clone.load_state_dict(torch.load("mlp.params")))
clone.eval()
print(clone)
Y_clone = clone(X)
print((Y_clone == Y).all().item(), list(Y.shape), X[0, 0].item())
for name, value in clone.state_dict().items():
    print(name, list(value.shape), value.flatten()[0].item())
