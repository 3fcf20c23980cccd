// # The operations
//
// The table of contents, in reading order. One line brings a room into the house.

export { reshape, flatten } from "./reshape.js";
export { add } from "./add.js";
export { sum } from "./sum.js";
export { relu } from "./relu.js";
export { conv2d } from "./conv2d.js";
export { avgPool2d } from "./avg_pool2d.js";
