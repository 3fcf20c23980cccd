// # Optimisers and schedules

export { Optimizer } from "./optimizer.js";
export type { OptimizerState, ParameterState, SavedOptimizerState } from "./optimizer.js";
export { SGD, type SGDSettings } from "./sgd.js";
export { Adam, AdamW, type AdamSettings } from "./adam.js";
export { CosineAnnealingLR, StepLR } from "./schedule.js";
