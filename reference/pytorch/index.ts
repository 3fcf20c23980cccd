// # convnotes/pytorch
//
// Reads PyTorch model source: shapes, parameters and costs where the code is. Runs in a browser
// worker as well as in Node; the WebAssembly of the parser is handed in.

export * from "./analysis.js";
export { createFrontEnd } from "./front_end.js";
export { type Said, saidBy, say, spoken } from "../words.js";
export type { WasmFiles } from "./parse.js";
