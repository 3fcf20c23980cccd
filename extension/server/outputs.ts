// # What the layers put out
//
// The network is built with its initial weights, or with those of a file, and shown one image; each
// layer's result becomes a few numbers, a histogram and a picture. It may take seconds, so that hosts
// run it beside the server, in a worker; question and answer are plain data.

import {
  builtInDataset,
  bytesSource,
  fromData,
  listTensors,
  noGrad,
  type nn,
  resize,
  type Said,
  saidBy,
  say,
  type Tensor,
  toTensor,
} from "convnotes";
import type { Document, FrontEnd, Network } from "convnotes/pytorch";
import { neighboursOf } from "./neighbours.js";
import { type Picture, pictureOf } from "./picture.js";

export interface OutputsQuestion {
  readonly document: Document;
  /** The texts of the files beside it, by their URIs. */
  readonly beside: Readonly<Record<string, string>>;
  readonly network: string;
  /** The input that the user chose, without the batch. */
  readonly input?: readonly number[];
  /** Which of the built-in test images; or an image of the user's own. Default: the first one. */
  readonly image?: number | OwnImage;
}

/** Units: pixels. Rows of red, green, blue, one byte each. */
export interface OwnImage {
  readonly name: string;
  readonly width: number;
  readonly height: number;
  readonly rgb: readonly number[];
}

/** Weights that lie beside the source. */
export interface WeightsFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

export interface LayerOutputs {
  /** Place in the network's calls. */
  readonly call: number;
  readonly shape: readonly number[];
  readonly mean: number;
  readonly std: number;
  readonly min: number;
  readonly max: number;
  /** Shares of all elements. */
  readonly zeros: number;
  readonly notFinite: number;
  /** Numbers of elements, from `min` to `max`. */
  readonly histogram: readonly number[];
  readonly picture: Picture;
}

/** `Words` is text, where they have been put into the reader's language. */
export interface NetworkOutputs<Words = Said> {
  readonly layers: readonly LayerOutputs[];
  readonly input: Picture;
  /** `initial weights, seed 0` or the name of a file. */
  readonly weights: Words;
  /** Why the weights beside the source were not taken. */
  readonly refused?: Words;
  readonly image: Words;
}

/** What could not be computed, and why. */
export interface NoOutputs<Words = Said> {
  readonly unavailable: Words;
}

/** More than this would take too long. Units: multiply-adds of one image. */
const MOST_WORK = 40e9;

/** Of initial weights. */
export const SEED = 0;

/** Answers the question. Never throws: what goes wrong is why there are no outputs. */
export function outputsOf(
  frontEnd: FrontEnd,
  question: OutputsQuestion,
  weights: WeightsFile | null,
): NetworkOutputs | NoOutputs {
  const { document, beside, network: name, input } = question;
  try {
    const texts = new Map(Object.entries(beside));
    const neighbour = neighboursOf(document.file, (uri) => texts.get(uri) ?? null);
    const inputs = input && { inputs: new Map([[name, input]]) };
    const { networks } = frontEnd.analyse(document, { neighbour, batch: 1, ...inputs });
    const network = networks.find((n) => n.name === name);
    if (network === undefined) return { unavailable: say`there is no network ${name}` };
    if (network.failed) return { unavailable: network.failed.message };
    if (network.totals.multiplyAdds > MOST_WORK)
      return {
        unavailable: say`${network.totals.multiplyAdds} multiply-adds take too long here`,
      };
    const sizes = network.input.shape.slice(1).map(Number);
    if (sizes.length === 0 || sizes.some((d) => !Number.isInteger(d)))
      return { unavailable: say`its input is not known` };
    const model = network.build(SEED);
    if ("unavailable" in model) return model;
    return outputsOfModel(network, model, question.image ?? 0, weights);
  } catch (error) {
    return { unavailable: saidBy(error) };
  }
}

/** What each layer of a model that computes puts out. Throws: what the model throws. */
export function outputsOfModel(
  network: Pick<Network, "calls" | "input">,
  model: nn.Module,
  image: number | OwnImage,
  weights: WeightsFile | null,
): NetworkOutputs {
  const taken = weights && load(model, weights);
  const input = inputOf(network.input.shape.slice(1).map(Number), image);
  const seen = new Map<string, LayerOutputs[]>();
  const paths = new Set(network.calls.map(({ path }) => path));
  for (const [path, module] of model.namedModules()) {
    if (!paths.has(path)) continue;
    const list: LayerOutputs[] = [];
    seen.set(path, list);
    module.registerForwardHook((_, __, output) => void list.push(summaryOf(output)));
  }
  noGrad(() => model.eval().call(input.x));
  const layers = network.calls.flatMap(({ path }, call): LayerOutputs[] => {
    const next = seen.get(path)?.shift();
    return next ? [{ ...next, call }] : [];
  });
  return {
    ...{ layers, input: input.picture, image: input.image },
    weights: weights && taken === null ? say`${weights.name}` : say`initial weights, seed ${SEED}`,
    ...(taken && { refused: taken }),
  };
}

/** Null, or why the weights do not fit. */
function load(model: nn.Module, { name, bytes }: WeightsFile): Said | null {
  try {
    const stored = listTensors(bytesSource(bytes, name)).tensors.map(
      (t) => [t.name, fromData(t.numbers(), t.shape, "reference")] as const,
    );
    const own = [...model.stateDict().keys()];
    // A checkpoint keeps its weights under a name of their own: `model.conv.weight`.
    const inner = new Map(stored.map(([key, t]) => [key.slice(key.indexOf(".") + 1), t]));
    const outer = new Map(stored);
    const wrapped = own.every((key) => inner.has(key) && !outer.has(key));
    const kept = wrapped ? own.map((key) => [key, inner.get(key)!] as const) : stored;
    model.loadStateDict(new Map(kept));
    return null;
  } catch (error) {
    return say`${name}: ${saidBy(error)}`;
  }
}

// ## The image

/** How many images can be chosen from. */
export const SAMPLES = 10;

/** One image in the size and number of channels that the network takes, from 0 to 1. */
function inputOf(
  sizes: readonly number[],
  image: number | OwnImage,
): { x: Tensor; picture: Picture; image: Said } {
  const own = typeof image === "object" ? image : null;
  const planes = own ? planesOf(own) : null;
  // A vector is an image row by row.
  const [channels, height, width] =
    sizes.length === 3 ? sizes : [1, ...squareFor(sizes.reduce((product, d) => product * d, 1))];
  const { test } = builtInDataset({ train: 1, test: SAMPLES });
  const side = test.height;
  const chosen = typeof image === "number" ? Math.min(SAMPLES - 1, Math.max(0, image)) : 0;
  const grey = test.images.subarray(chosen * side * side, (chosen + 1) * side * side);
  const [h, w] = own ? [own.height, own.width] : [side, side];
  const data = new Float32Array(channels * height * width);
  for (let c = 0; c < channels; c++) {
    const plane = planes === null ? grey : channels === 1 ? mixed(planes) : planes[c % 3];
    data.set(toTensor(resize(plane, [1, h, w], [height, width])), c * height * width);
  }
  const length = sizes.reduce((product, d) => product * d, 1);
  const x = fromData(data.slice(0, length), [1, ...sizes], "reference");
  return {
    x,
    picture: pictureOf([1, channels, height, width], data),
    image: own ? say`${own.name}` : say`${test.classes[test.labels[chosen]]} (built-in drawing)`,
  };
}

function squareFor(length: number): [height: number, width: number] {
  const width = Math.ceil(Math.sqrt(length));
  return [Math.ceil(length / width), width];
}

function planesOf({ width, height, rgb }: OwnImage): Uint8Array[] {
  return [0, 1, 2].map((c) =>
    Uint8Array.from({ length: width * height }, (_, i) => rgb[3 * i + c]),
  );
}

/** Brightness. Source: Pillow's convert("L"), ITU-R 601-2. */
const mixed = ([red, green, blue]: readonly Uint8Array[]): Uint8Array =>
  red.map((r, i) => (19595 * r + 38470 * green[i] + 7471 * blue[i] + 0x8000) >> 16);

// ## Numbers

const BINS = 24;

function summaryOf({ shape, data }: Tensor): LayerOutputs {
  let [sum, min, max, zeros, finite] = [0, Infinity, -Infinity, 0, 0];
  for (const value of data) {
    const x = Number(value);
    if (!Number.isFinite(x)) continue;
    finite++;
    sum += x;
    if (x === 0) zeros++;
    if (x < min) min = x;
    if (x > max) max = x;
  }
  const mean = sum / finite;
  let squares = 0;
  const histogram = new Array<number>(BINS).fill(0);
  const span = max - min || 1;
  for (const value of data) {
    const x = Number(value);
    if (!Number.isFinite(x)) continue;
    squares += (x - mean) ** 2;
    histogram[Math.min(BINS - 1, Math.floor(((x - min) / span) * BINS))]++;
  }
  return {
    ...{ call: 0, shape, mean, min, max, histogram },
    std: Math.sqrt(squares / finite),
    zeros: zeros / data.length,
    notFinite: 1 - finite / data.length,
    picture: pictureOf(shape, Array.from(data, Number)),
  };
}
