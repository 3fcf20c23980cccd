// # Modules
//
// What PyTorch has under `nn`, in reading order. From outside it is a namespace, and so are `init`
// and `optim`: `import { init, nn, optim } from "convnotes"`.

export { Module, Parameter, whileMaking } from "./module.js";
export type { ForwardHook, ForwardPreHook, Handle, StateDict } from "./module.js";
export { ModuleList, Sequential } from "./containers.js";
export { Conv2d, type Conv2dSettings } from "./conv.js";
export { Flatten, Identity, Linear } from "./linear.js";
export { AdaptiveAvgPool2d, AvgPool2d, MaxPool2d } from "./pooling.js";
export type { AvgPoolSettings, MaxPoolSettings, PoolSettings } from "./pooling.js";
export { Dropout, ReLU, Sigmoid, Softmax, Tanh } from "./activation.js";
export { BatchNorm1d, BatchNorm2d, type BatchNormSettings } from "./batchnorm.js";
export { CrossEntropyLoss, type CrossEntropySettings } from "./loss.js";
export { Inception } from "./inception.js";
export { Residual, type ResidualSettings } from "./residual.js";
