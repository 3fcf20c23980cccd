// # The modules that PyTorch was asked about
//
// The same as in `fixtures/nn.py`, under the same names.

import { nn, ones, type Tensor, zeros } from "convnotes";

/** Children in and out of containers, one of them under two names; a parameter and a buffer. */
export class Net extends nn.Module {
  readonly features = new nn.Sequential(
    new nn.Conv2d(1, 2, 3, { padding: 1 }),
    new nn.BatchNorm2d(2),
    new nn.ReLU(),
  );
  scale = new nn.Parameter(ones([2, 1, 1]));
  declare readonly mean: Tensor;
  readonly absent: nn.Module | null = null;
  readonly blocks: nn.ModuleList;
  readonly again: nn.Module;
  readonly classification: nn.Module;

  constructor() {
    super();
    this.buffer("mean", zeros([1]));
    this.blocks = new nn.ModuleList([
      new nn.Linear(4, 4),
      new nn.Linear(4, 4),
      new nn.Linear(4, 4, { bias: false }),
    ]);
    this.again = this.blocks[1];
    this.classification = new nn.Sequential({
      last: new nn.Linear(4, 3),
      soft: new nn.Softmax(1),
    });
  }

  override forward(x: Tensor): Tensor {
    return x;
  }
}

const convClassifier = () =>
  new nn.Sequential(
    new nn.Conv2d(1, 3, 3, { padding: 1 }),
    new nn.ReLU(),
    new nn.MaxPool2d(2, { stride: 2 }),
    new nn.Flatten(),
    new nn.Linear(12, 5),
  );

export const modules: Readonly<Record<string, () => nn.Module>> = {
  linear: () => new nn.Linear(6, 4),
  "linear without bias": () => new nn.Linear(5, 2, { bias: false }),
  "linear, large": () => new nn.Linear(400, 120),
  conv: () => new nn.Conv2d(1, 6, 5, { padding: 2 }),
  "conv with every setting": () =>
    new nn.Conv2d(4, 6, [3, 2], {
      stride: [2, 1],
      padding: [1, 0],
      dilation: [1, 2],
      groups: 2,
      bias: false,
    }),
  "conv, depthwise": () => new nn.Conv2d(4, 4, 3, { padding: [0, 1], groups: 4 }),
  "max pool": () => new nn.MaxPool2d(2),
  "max pool with every setting": () =>
    new nn.MaxPool2d([3, 2], {
      stride: [2, 1],
      padding: [1, 0],
      dilation: [1, 2],
      ceilMode: true,
    }),
  "avg pool": () => new nn.AvgPool2d(2, { stride: 1 }),
  "avg pool, padded": () => new nn.AvgPool2d([2, 4], { padding: [1, 2] }),
  "avg pool with every setting": () =>
    new nn.AvgPool2d([2, 4], {
      stride: 2,
      padding: [0, 2],
      ceilMode: true,
      countIncludePad: false,
    }),
  "adaptive avg pool": () => new nn.AdaptiveAvgPool2d([1, 1]),
  "adaptive avg pool, in parts": () => new nn.AdaptiveAvgPool2d([2, 4]),
  "adaptive avg pool, square": () => new nn.AdaptiveAvgPool2d(2),
  flatten: () => new nn.Flatten(),
  "flatten, some axes": () => new nn.Flatten(0, 2),
  relu: () => new nn.ReLU(),
  sigmoid: () => new nn.Sigmoid(),
  tanh: () => new nn.Tanh(),
  softmax: () => new nn.Softmax(-1),
  dropout: () => new nn.Dropout(),
  "dropout, rarely": () => new nn.Dropout(1e-5),
  identity: () => new nn.Identity(),
  "batch norm 1d": () => new nn.BatchNorm1d(4),
  "batch norm 1d, positions": () => new nn.BatchNorm1d(4),
  "batch norm 2d": () => new nn.BatchNorm2d(3),
  "batch norm 2d with every setting": () =>
    new nn.BatchNorm2d(3, { eps: 1e-5, momentum: null, affine: false }),
  "batch norm 2d without bias": () => new nn.BatchNorm2d(3, { bias: false }),
  "batch norm 2d without statistics": () =>
    new nn.BatchNorm2d(3, { eps: 2.5e-7, trackRunningStats: false }),
  "cross-entropy": () => new nn.CrossEntropyLoss(),
  "cross-entropy with weights": () => new nn.CrossEntropyLoss({ weight: ones([3]) }),
  inception: () => new nn.Inception(3, 2, [2, 3], [1, 2], 2),
  residual: () => new nn.Residual(2, 2),
  "residual, adapted": () => new nn.Residual(2, 3, { use1x1Conv: true, strides: 2 }),
  sequential: convClassifier,
  "sequential, sliced": () => convClassifier().slice(1, -1),
  "sequential, empty": () => new nn.Sequential(),
  "sequential, named": () =>
    new nn.Sequential({ b: new nn.Linear(3, 2), a: new nn.ReLU() }).append(new nn.Linear(2, 2)),
  "module list": () =>
    new nn.ModuleList([
      new nn.ReLU(),
      ...Array.from({ length: 3 }, () => new nn.Sequential(new nn.Linear(3, 3), new nn.ReLU())),
      new nn.Tanh(),
      new nn.Tanh(),
    ]),
  "module list, empty": () => new nn.ModuleList(),
  net: () => new Net(),
};
