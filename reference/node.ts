// # convnotes/node
//
// What needs Node: files, folders and the network.

export * from "./data/download.js";
export * from "./data/fashion_mnist.js";
export * from "./files/atomic.js";
export * from "./files/disk.js";
export * from "./kernels.js";
export * from "./train/run_folder.js";
