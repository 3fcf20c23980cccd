// # The experiments
//
// Each takes minutes with the fast kernels, on the whole of Fashion-MNIST. What runs of that size can
// show, and what it cannot, each says itself.

import { LeNet, LeNetBN, nn, VGG } from "convnotes";
import type { Experiment } from "./experiment.js";

const whole = {
  images: 60_000,
  batchSize: 64,
  validationImages: 10_000,
  imageSize: 28,
  seeds: [0, 1],
} as const;

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
  settings: { ...whole, optimizer: { name: "adam", lr: 0.003 }, epochs: 12 },
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
    "The whole data set, and training until both networks improve by less than a point an " +
    "epoch: that shows the speed well, and the accuracy after a budget of steps. What either " +
    "would reach with a learning rate that falls at the end, it cannot tell.",
  reading:
    "The first half of the claim holds: batch normalisation is more than three times faster " +
    "to a loss of 1, and it is ahead after every epoch. The second half is not what is seen " +
    "here: after twelve epochs it is ahead by a point and a half, more than the seeds differ. " +
    "LeNet with sigmoids is still improving by half a point an epoch then, so part of this is " +
    "speed once more; but the training loss, too, ends a third lower.",
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
  settings: { ...whole, optimizer: { name: "adam", lr: 0.003 }, epochs: 12 },
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
    "This is one network with sigmoids, trained on the whole data set. It shows which pooling " +
    "lets LeNet learn sooner and which is ahead after twelve epochs; it cannot show which one " +
    "is better in a large network.",
  reading:
    "Both poolings leave the first plateau at about the same step: behind a sigmoid that has " +
    "barely learned anything the four pixels of a window are nearly alike, and their maximum " +
    "is close to their mean, which may be why (that was not tested). Later the maximum pulls " +
    "ahead, by half a point after twelve epochs and in training loss as well, more than the " +
    "seeds differ: as the notes say, but by little.",
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
  settings: { ...whole, optimizer: { name: "adam", lr: 0.001 }, epochs: 8 },
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
    "Stacks of 64 units on the whole data set: which of them get off the ground, and how " +
    "soon, shows well. What careful initialisation or normalisation would change is not asked " +
    "here.",
  reading:
    "The runs agree with the notes. Each doubling of the depth makes the sigmoid stack " +
    "slower, from 300 steps to a loss of 1 at depth 2 to some 5,000 at depth 8, where for " +
    "three epochs it gets one answer in five right and no more, and one seed ends far behind " +
    "the other. ReLU takes 55 to 150 steps. It does not make depth free: eight layers learn " +
    "more slowly than two and end a little lower, so that here depth alone gains nothing.",
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
  settings: { ...whole, optimizer: { name: "adam", lr: 0.002 }, epochs: 8 },
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
    "The claim is about large networks that see large images. Networks of 40,000 parameters " +
    "on 28×28 pixels show how soon each learns and where it stands after eight epochs, not " +
    "what size would make of the difference.",
  reading:
    "At this size the notes are neither supported nor contradicted: after eight epochs the " +
    "accuracies are equal, and the training losses differ by less than the seeds do. The " +
    "deeper network begins more slowly, as the deeper stacks of the experiment on depth do, " +
    "and has caught up by the third epoch; whatever depth gains, it takes larger networks or " +
    "images to see it.",
};

/** Every experiment by its name. */
export const experiments: ReadonlyMap<string, Experiment> = new Map(
  [batchNorm, pooling, depthActivation, vggAlexnet].map((e) => [e.name, e]),
);
