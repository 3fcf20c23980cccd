// # convnotes
//
// Everything that runs in a browser as well as in Node: tensors, the tape, the operations,
// modules, optimisers, models, and readers that need no file system.

export * from "./errors.js";
export * from "./tensor.js";
export * from "./backend.js";
export * from "./create.js";
export { gradEnabled, noGrad } from "./tape.js";
export * from "./window.js";
export * from "./op.js";
export * from "./ops/index.js";
export * from "./trace.js";
