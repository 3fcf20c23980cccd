// # The operations
//
// The table of contents, in reading order. One line brings a room into the house.

export { gatherImages, type GatherImagesOptions } from "./gather_images.js";
export { reshape, flatten, type ReshapeOptions } from "./reshape.js";
export { permute, type PermuteOptions } from "./permute.js";
export { narrow, type NarrowOptions } from "./narrow.js";
export { pad, type PadOptions } from "./pad.js";
export { concat, type ConcatOptions } from "./concat.js";
export { add } from "./add.js";
export { mul } from "./mul.js";
export { sum, type ReduceOptions } from "./sum.js";
export { mean } from "./mean.js";
export { max } from "./max.js";
export { argmax, type ArgmaxOptions } from "./argmax.js";
export { relu } from "./relu.js";
export { sigmoid } from "./sigmoid.js";
export { tanh } from "./tanh.js";
export { linear } from "./linear.js";
export { matmul } from "./matmul.js";
export { conv2d, type Conv2dOptions } from "./conv2d.js";
export { maxPool2d } from "./max_pool2d.js";
export { avgPool2d, type AvgPool2dOptions } from "./avg_pool2d.js";
export { adaptiveAvgPool2d, type AdaptiveAvgPool2dOptions } from "./adaptive_avg_pool2d.js";
export { batchNorm, type BatchNormOptions } from "./batch_norm.js";
export { dropout, type DropoutOptions } from "./dropout.js";
export { softmax, type SoftmaxOptions } from "./softmax.js";
export { logSoftmax } from "./log_softmax.js";
export { crossEntropy, type CrossEntropyOptions } from "./cross_entropy.js";
export { sgd, type SgdOptions } from "./sgd.js";
export { adam, type AdamOptions } from "./adam.js";
