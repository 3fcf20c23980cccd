// # Recipes
//
// How the notes train each network, as data. A recipe plus a seed determines a run completely;
// everything on the command line that is left out comes from here.

import type { Pipeline } from "../data/loader.js";

export interface OptimizerSettings {
  readonly name: "adam" | "adamw" | "sgd";
  /** Learning rate. */
  readonly lr: number;
  /** For SGD. Default: 0. */
  readonly momentum?: number;
  /** Default: 0, for AdamW 0.01. */
  readonly weightDecay?: number;
}

export interface Recipe {
  /** A name in the table of models. */
  readonly model: string;
  /** Passes over the training images. */
  readonly epochs: number;
  /** Images in one step. */
  readonly batchSize: number;
  readonly optimizer: OptimizerSettings;
  readonly pipeline: Pipeline;
}

const adam = (lr: number): OptimizerSettings => ({ name: "adam", lr });

// The notes use Adam with a learning rate of 0.003 and batches of 128, and scale images to 0..1
// without normalising them. AlexNet, VGG and NiN see 224×224 pixels, made for ImageNet; GoogLeNet
// and ResNet see 96×96, a compromise between their design and our patience. For LeNet the notes
// give no settings: its sigmoids learn slowly, and smaller batches with a larger rate help it on.
const recipeList: readonly Recipe[] = [
  { model: "lenet", epochs: 5, batchSize: 64, optimizer: adam(0.005), pipeline: {} },
  { model: "lenet_bn", epochs: 10, batchSize: 128, optimizer: adam(0.003), pipeline: {} },
  {
    model: "alexnet",
    epochs: 10,
    batchSize: 128,
    optimizer: adam(0.003),
    pipeline: { resize: 224 },
  },
  { model: "vgg", epochs: 20, batchSize: 128, optimizer: adam(0.003), pipeline: { resize: 224 } },
  { model: "nin", epochs: 10, batchSize: 128, optimizer: adam(0.003), pipeline: { resize: 224 } },
  {
    model: "googlenet",
    epochs: 10,
    batchSize: 128,
    optimizer: adam(0.003),
    pipeline: { resize: 96 },
  },
  { model: "resnet", epochs: 10, batchSize: 128, optimizer: adam(0.003), pipeline: { resize: 96 } },
];

/** The notes' recipe for every network that they train, by the model's name. */
export const recipes: ReadonlyMap<string, Recipe> = new Map(recipeList.map((r) => [r.model, r]));
