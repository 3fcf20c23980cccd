// # The experiments
//
// Each is small enough for the plain reference on one core: a few minutes. What so small a run can
// show, and what it cannot, each says itself.

import { LeNet, LeNetBN, nn, VGG } from "convnotes";
import type { Experiment } from "./experiment.js";

const small = { batchSize: 16, validationImages: 500, imageSize: 28, seeds: [0, 1] } as const;

// ## Batch normalisation

const batchNorm: Experiment = {
  name: "batch-norm",
  title: "Batch normalisation",
  claim:
    "Batch normalisation makes a network converge faster, but does not raise its final accuracy.",
  variants: new Map<string, () => nn.Module>([
    ["LeNet", () => new LeNet()],
    ["LeNet with batch normalisation", () => new LeNetBN()],
  ]),
  settings: { ...small, optimizer: { name: "adam", lr: 0.003 }, images: 1000, epochs: 6 },
  threshold: 1,
  expectations: [
    {
      says: "Batch normalisation needs fewer steps until the training loss is low",
      measure: "steps",
      of: "LeNet with batch normalisation",
      is: "lower",
      than: "LeNet",
    },
    {
      says: "Batch normalisation does not end with a higher accuracy",
      measure: "validationAccuracy",
      of: "LeNet with batch normalisation",
      is: "not higher",
      than: "LeNet",
    },
  ],
  reach:
    "The speed at the start shows well at this size. The final accuracy does not: 378 steps of " +
    "16 images are a tenth of one epoch of the whole data set, and LeNet is still improving when " +
    "they end.",
  reading:
    "The first half of the claim holds: batch normalisation is three times faster to a loss of 1. " +
    "The second is contradicted by the numbers after six epochs, but these are not final: with batch " +
    "normalisation the accuracy has been level since epoch 3, while LeNet's still rises by five " +
    "points an epoch. Whether it catches up remains to be measured in a longer run.",
};

// ## Pooling

/** LeNet with any pooling: all else stays, and so does the number of parameters. */
function lenetWith(pooling: () => nn.Module): nn.Module {
  return new nn.Sequential(
    new nn.Conv2d(1, 6, 5, { padding: 2 }),
    new nn.Sigmoid(),
    pooling(),
    new nn.Conv2d(6, 16, 5),
    new nn.Sigmoid(),
    pooling(),
    new nn.Flatten(),
    new nn.Linear(400, 120),
    new nn.Sigmoid(),
    new nn.Linear(120, 84),
    new nn.Sigmoid(),
    new nn.Linear(84, 10),
  );
}

const pooling: Experiment = {
  name: "pooling",
  title: "Maximum against average pooling",
  claim: "Maximum pooling serves a classifier better than average pooling.",
  variants: new Map([
    ["average pooling", () => lenetWith(() => new nn.AvgPool2d(2, { stride: 2 }))],
    ["maximum pooling", () => lenetWith(() => new nn.MaxPool2d(2, { stride: 2 }))],
  ]),
  settings: { ...small, optimizer: { name: "adam", lr: 0.003 }, images: 1000, epochs: 6 },
  threshold: 1,
  expectations: [
    {
      says: "Maximum pooling needs fewer steps until the training loss is low",
      measure: "steps",
      of: "maximum pooling",
      is: "lower",
      than: "average pooling",
    },
    {
      says: "Maximum pooling ends with a higher accuracy",
      measure: "validationAccuracy",
      of: "maximum pooling",
      is: "higher",
      than: "average pooling",
    },
  ],
  reach:
    "This is one network with sigmoids, at the start of its training. It shows which pooling lets " +
    "LeNet begin to learn sooner; it cannot show which one is better in a large network that is " +
    "trained to the end.",
  reading:
    "The runs neither support nor contradict the notes: both poolings leave the first plateau at " +
    "about the same step, and which seed it is matters more than which pooling. A likely reason, " +
    "not tested here, is that behind a sigmoid that has barely learned anything the four pixels of a " +
    "window are nearly alike, and their maximum is close to their mean. The last epoch hints at an " +
    "advantage of the maximum, within the spread of the seeds.",
};

// ## Depth and activation

const WIDTH = 64;

/** A perceptron with `depth` hidden layers. */
function perceptron(depth: number, activation: () => nn.Module): nn.Module {
  const hidden = Array.from({ length: depth }, (_, i) => [
    new nn.Linear(i === 0 ? 28 * 28 : WIDTH, WIDTH),
    activation(),
  ]);
  return new nn.Sequential(new nn.Flatten(), ...hidden.flat(), new nn.Linear(WIDTH, 10));
}

const activations = new Map<string, () => nn.Module>([
  ["sigmoid", () => new nn.Sigmoid()],
  ["ReLU", () => new nn.ReLU()],
]);

const depthActivation: Experiment = {
  name: "depth-activation",
  title: "Depth with sigmoid and with ReLU",
  claim:
    "With sigmoids a deep network hardly learns, since their gradients vanish; with ReLU it does.",
  variants: new Map(
    [...activations].flatMap(([name, activation]) =>
      [2, 4, 8].map((depth) => [`${name}, depth ${depth}`, () => perceptron(depth, activation)]),
    ),
  ),
  settings: {
    ...small,
    optimizer: { name: "adam", lr: 0.001 },
    batchSize: 32,
    images: 3000,
    epochs: 4,
  },
  threshold: 1,
  expectations: [
    {
      says: "Eight sigmoid layers end with a lower accuracy than two",
      measure: "validationAccuracy",
      of: "sigmoid, depth 8",
      is: "lower",
      than: "sigmoid, depth 2",
    },
    ...[2, 4, 8].map((depth) => ({
      says: `At depth ${depth}, ReLU needs fewer steps than sigmoid until the training loss is low`,
      measure: "steps" as const,
      of: `ReLU, depth ${depth}`,
      is: "lower" as const,
      than: `sigmoid, depth ${depth}`,
    })),
    {
      says: "Eight ReLU layers end with a higher accuracy than eight sigmoid layers",
      measure: "validationAccuracy",
      of: "ReLU, depth 8",
      is: "higher",
      than: "sigmoid, depth 8",
    },
  ],
  reach:
    "Which stacks get off the ground within 376 steps shows well at this size. Whether the deep " +
    "sigmoid stacks, which have only begun to move when the run ends, would catch up after some " +
    "thousands of steps more, it cannot tell.",
  reading:
    "The runs agree with the notes. Each doubling of the depth costs the sigmoid stack a quarter of " +
    "all answers; at depth 8 it spends more than half of the run at the loss of guessing, 2.30 nats, " +
    "before it moves at all. ReLU does not make depth free: with it, too, eight layers learn more " +
    "slowly than two and end lower, so that here depth alone gains nothing.",
};

// ## VGG and AlexNet
//
// Both scaled down to 28×28 pixels, with about as many parameters and products each. AlexNet keeps
// its five convolutions with large windows first and overlapping pooling; VGG has eight of 3×3.

function smallAlexNet(): nn.Module {
  const [hidden, p] = [144, 0.2];
  return new nn.Sequential(
    new nn.Conv2d(1, 6, 5, { padding: 2 }),
    new nn.ReLU(),
    new nn.MaxPool2d(3, { stride: 2 }),
    new nn.Conv2d(6, 12, 5, { padding: 2 }),
    new nn.ReLU(),
    new nn.MaxPool2d(3, { stride: 2 }),
    new nn.Conv2d(12, 20, 3, { padding: 1 }),
    new nn.ReLU(),
    new nn.Conv2d(20, 20, 3, { padding: 1 }),
    new nn.ReLU(),
    new nn.Conv2d(20, 16, 3, { padding: 1 }),
    new nn.ReLU(),
    new nn.MaxPool2d(3, { stride: 2 }),
    new nn.Flatten(),
    new nn.Linear(64, hidden),
    new nn.ReLU(),
    new nn.Dropout(p),
    new nn.Linear(hidden, hidden),
    new nn.ReLU(),
    new nn.Dropout(p),
    new nn.Linear(hidden, 10),
  );
}

const vggAlexnet: Experiment = {
  name: "vgg-alexnet",
  title: "A deeper VGG against AlexNet",
  claim: "More and narrower 3×3 convolutions (VGG) do better than AlexNet's fewer and wider ones.",
  variants: new Map<string, () => nn.Module>([
    ["small AlexNet, 5 convolutions", smallAlexNet],
    [
      "small VGG, 8 convolutions",
      () =>
        new VGG(
          [
            [1, 8],
            [2, 12],
            [2, 16],
            [3, 32],
          ],
          { imageSize: 28, hidden: 96, dropout: 0.2 },
        ),
    ],
  ]),
  settings: { ...small, optimizer: { name: "adam", lr: 0.002 }, images: 1000, epochs: 4 },
  threshold: 1,
  expectations: [
    {
      says: "The small VGG ends with a higher accuracy",
      measure: "validationAccuracy",
      of: "small VGG, 8 convolutions",
      is: "higher",
      than: "small AlexNet, 5 convolutions",
    },
    {
      says: "The small VGG ends with a lower training loss",
      measure: "loss",
      of: "small VGG, 8 convolutions",
      is: "lower",
      than: "small AlexNet, 5 convolutions",
    },
  ],
  reach:
    "The claim is about large networks that see large images for many epochs. Networks of 40,000 " +
    "parameters after 250 steps show how soon each begins to learn, not which is better in the end.",
  reading:
    "At this size the runs contradict the notes: the deeper network is behind after every epoch, in " +
    "training loss as in accuracy. Both are far from done, and the deeper one stays longer at the " +
    "loss of guessing before it begins to learn, as the deeper stacks of the experiment on depth do. " +
    "What depth costs at the start is seen here; what it may gain later is not.",
};

/** Every experiment by its name. */
export const experiments: ReadonlyMap<string, Experiment> = new Map(
  [batchNorm, pooling, depthActivation, vggAlexnet].map((e) => [e.name, e]),
);
