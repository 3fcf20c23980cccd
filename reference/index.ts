// # convnotes
//
// Everything that runs in a browser as well as in Node: tensors, the tape, the operations,
// modules, optimisers, models, and readers that need no file system.

export * from "./errors.js";
export * from "./words.js";
export * from "./tensor.js";
export * from "./backend.js";
export * from "./random.js";
export * from "./create.js";
export { gradEnabled, noGrad } from "./tape.js";
export * from "./window.js";
export * from "./op.js";
export * from "./ops/index.js";
export * from "./trace.js";
export * as nn from "./nn/index.js";
export * as init from "./nn/init.js";
export * as optim from "./optim/index.js";
export * from "./models/index.js";
export * from "./summary.js";
export * from "./fitting.js";
export * from "./data/dataset.js";
export * from "./data/idx.js";
export * from "./data/transforms.js";
export * from "./data/loader.js";
export * from "./data/built_in.js";
export * from "./files/source.js";
export * from "./files/stored.js";
export * from "./files/tensor_in_file.js";
export * from "./files/safetensors.js";
export * from "./files/torch_file.js";
export * from "./files/npy.js";
export { encodeOnnx, type OnnxOptions } from "./files/onnx.js";
export * from "./files/any.js";
export { decodeOnnx } from "./files/onnx_import.js";
export * from "./train/recipes.js";
export * from "./train/batches.js";
export * from "./train/step.js";
export * from "./train/loop.js";
export * from "./train/checkpoint.js";
export * from "./train/curves.js";
export { version } from "./version.js";
