// # Modules
//
// Everything that PyTorch users look for under `nn`, in reading order.

export { Module, Parameter, type Handle, type StateDict } from "./module.js";
export { ModuleList, Sequential } from "./containers.js";
export { Conv2d, type Conv2dSettings } from "./conv.js";
export { Flatten, Identity, Linear } from "./linear.js";
export { AdaptiveAvgPool2d, AvgPool2d, MaxPool2d } from "./pooling.js";
export { Dropout, ReLU, Sigmoid, Softmax, Tanh } from "./activation.js";
export { BatchNorm1d, BatchNorm2d } from "./batchnorm.js";
export { CrossEntropyLoss } from "./loss.js";
export { Inception } from "./inception.js";
export { Residual } from "./residual.js";
