// # The operations
//
// The table of contents, in reading order. One line brings a room into the house.

export { reshape, flatten } from "./reshape.js";
export { permute, type PermuteOptions } from "./permute.js";
export { narrow, type NarrowOptions } from "./narrow.js";
export { pad, type PadOptions } from "./pad.js";
export { add } from "./add.js";
export { mul } from "./mul.js";
export { sum, type ReduceOptions } from "./sum.js";
export { mean } from "./mean.js";
export { max } from "./max.js";
export { argmax, type ArgmaxOptions } from "./argmax.js";
export { relu } from "./relu.js";
export { sigmoid } from "./sigmoid.js";
export { tanh } from "./tanh.js";
export { conv2d } from "./conv2d.js";
export { avgPool2d } from "./avg_pool2d.js";
export { softmax, type SoftmaxOptions } from "./softmax.js";
export { logSoftmax } from "./log_softmax.js";
export { crossEntropy, type CrossEntropyOptions } from "./cross_entropy.js";
export { sgd, type SgdOptions } from "./sgd.js";
export { adam, type AdamOptions } from "./adam.js";
