// # What a network is given
//
// Nobody writes down the size of the input, but much gives it away: a call, a comment, a data set, and
// the head of the network, whose features fit only some sizes. The last are found by trying.

import { customarySizes, type FittingSizes, fittingSizes } from "../fitting.js";
import type { NetworkInput, SourceRange } from "./analysis.js";
import type { Failure, Interpreter } from "./interpreter.js";
import { printedOf, runOnce, type Sizes } from "./network.js";
import { sizeOf } from "../tensor.js";
import type { SourceFile } from "./source.js";
import { childrenOf, type Instance, List, modulesOf, TensorValue, Unknown } from "./values.js";

export interface Found {
  readonly inputs: readonly Sizes[];
  readonly source: NetworkInput["source"];
  readonly range?: SourceRange;
  readonly interval?: FittingSizes;
  /** The customary size nearest to the ones that fit, none of which is customary. */
  readonly expected?: { readonly size: number; readonly failure: Failure };
}

/** `# input: (1, 28, 28)`, also with a batch before it. */
const commentPattern =
  /#[^\n]*?\binputs?\b[^\n\d]*?[([]?\s*(?:[NB]|batch\w*|-1)?\s*[,×x]?\s*(\d+(?:\s*[,×x*]\s*\d+){1,3})/gi;

export function fromComment(file: SourceFile, start: number, end: number): Found | null {
  for (const match of file.text.slice(start, end).matchAll(commentPattern)) {
    const sizes = match[1].split(/[,×x*]/).map(Number);
    const own = sizes.length === 4 ? sizes.slice(1) : sizes;
    if (own.some((d) => d < 1 || d > 1e5)) continue;
    const at = start + match.index;
    const range = file.range({ start: at, end: at + match[0].length });
    return { inputs: [{ sizes: own }], source: "comment", range };
  }
  return null;
}

const dataSets: readonly [name: RegExp, sizes: readonly number[]][] = [
  [/\b(Fashion|K|Q|E)?MNIST\b|load_data_fashion_mnist/, [1, 28, 28]],
  [/\bCIFAR100?\b|\bCIFAR10\b|\bSVHN\b/, [3, 32, 32]],
  [/\bSTL10\b/, [3, 96, 96]],
  [/\bImageNet\b/, [3, 224, 224]],
];

/** A data set of the file and the size that its images are brought to. */
export function fromDataSet(file: SourceFile, wanted: Wanted): Found | null {
  for (const [name, sizes] of dataSets) {
    const match = name.exec(file.text);
    const channels = wanted.free === true ? sizes[0] : wanted.channels;
    if (match === null || sizes[0] !== channels) continue;
    const resize =
      /\b(?:Resize|CenterCrop|RandomCrop|RandomResizedCrop)\(\s*(?:size\s*=\s*)?[([]?\s*(\d+)|\bresize\s*=\s*(\d+)/.exec(
        file.text,
      );
    const size = resize === null ? sizes[1] : Number(resize.slice(1).find(Boolean));
    const found = resize ?? match;
    const range = file.range({ start: found.index, end: found.index + found[0].length });
    return { inputs: [{ sizes: [channels, size, size] }], source: "dataset", range };
  }
  return null;
}

/** A call in the file, of the network or of its first part. */
export function fromCall(run: Interpreter, module: Instance): Found | null {
  for (const call of run.rootCalls) {
    const same =
      call.module === module ||
      (call.module.cls === module.cls && call.module.cls.node !== null) ||
      isFirstIn(module, call.module);
    const inputs = same ? sizesOf(call.inputs) : null;
    if (inputs !== null) return { inputs, source: "call", range: call.range };
  }
  const first = run.firstInputs.get(module) ?? classInputs(run, module);
  const inputs = first === undefined ? null : sizesOf(first.inputs);
  return inputs && { inputs, source: "call", range: first!.range };
}

/** `for layer in net: X = layer(X)` gives the whole net's input to its first layer. */
function isFirstIn(module: Instance, inner: Instance): boolean {
  let first = module;
  for (let depth = 0; depth < 50; depth++) {
    const children = childrenOf(first);
    if (children.length === 0) return false;
    [[, first]] = children;
    if (first === inner) return true;
  }
  return false;
}

/** A module is shown what came to one like it, or, if it takes whatever comes, to one of its class. */
function classInputs(run: Interpreter, module: Instance) {
  const given = run.inputsOfClass.get(module.cls);
  const like =
    given !== undefined &&
    (takesAnything(module) || printedOf(run, given.module) === printedOf(run, module));
  return like ? given : undefined;
}

export const takesAnything = (module: Instance): boolean =>
  [...modulesOf(module).keys()].every((m) => (m.layer?.parameters.size ?? 0) === 0);

function sizesOf(values: readonly unknown[]): Sizes[] | null {
  const sizes: Sizes[] = [];
  for (const value of values) {
    if (value instanceof Unknown) return null;
    if (value instanceof List) {
      const parts = sizesOf(value.items);
      if (parts?.length === value.items.length) sizes.push({ ...parts[0], parts });
      continue;
    }
    if (!(value instanceof TensorValue) || value.shape.length < 2) continue;
    sizes.push({ sizes: value.shape.slice(1), whole: value.tensor.dtype === "int64" });
  }
  return sizes.length > 0 ? sizes : null;
}

// ## Trying

/** What the first layer that cares for it asks of the input. */
export interface Wanted {
  readonly sizes: (size: number) => readonly number[];
  readonly channels: number;
  /** Whether the size can be chosen. */
  readonly open: boolean;
  readonly whole?: boolean;
  /** Where nothing else is known. */
  readonly standard?: number;
  /** Whether other numbers of channels will do as well. */
  readonly free?: boolean;
}

export function wantedBy(run: Interpreter, module: Instance, inputs: number): Wanted | null {
  const guess = [3, 224, 224];
  const pass = runOnce(run, module, repeated(guess, inputs), 2, false);
  const layers = pass.layers.map(({ module: m, inputs: given }) => ({ module: m, given }));
  if (pass.failure?.module)
    layers.push({ module: pass.failure.module, given: pass.failure.inputs });
  // Whoever is given the image itself knows it better than who comes first.
  const whole = ({ given: [x] }: (typeof layers)[number]) =>
    x instanceof TensorValue && String(x.shape.slice(1)) === String(guess);
  layers.sort((a, b) => Number(whole(b)) - Number(whole(a)));
  for (const { module: layer, given } of layers) {
    const of = (name: string) => {
      const value = layer.settings?.get(name);
      return typeof value === "number" ? value : null;
    };
    const name = layer.cls.lineage.find((c) => c.file === null)?.name ?? "";
    const channels = of("in_channels") ?? of("num_features") ?? of("num_channels");
    if (channels !== null) {
      const axes = Number(/(\d)d$/.exec(name)?.[1] ?? 2);
      const square = (size: number) => [channels, ...new Array<number>(axes).fill(size)];
      const standard = name.startsWith("ConvTranspose") ? 1 : undefined;
      const x = given.at(0);
      // A lazy layer takes what comes; and what comes here may be a part of the input.
      const isPart = x instanceof TensorValue && x.shape.length > 1 && x.shape[1] !== 3;
      const free = layer.lazy !== null || isPart;
      return {
        ...{ sizes: square, channels, open: true, free },
        ...(standard ? { standard } : {}),
      };
    }
    const features = of("in_features");
    if (features !== null) {
      const x = given.at(0);
      const flat = x instanceof TensorValue && x.shape.length === 2;
      // Of an image that was averaged, or of one whose pixels stand in a row beside something else.
      if (flat && x.shape[1] === guess[0])
        return { sizes: (size) => [features, size, size], channels: features, open: true };
      const beside = flat ? x.shape[1] - sizeOf(guess) : 0;
      const image = flat ? imageOf(features - Math.max(0, beside)) : null;
      const sizes = image ?? [features];
      return { sizes: () => sizes, channels: sizes[0], open: false };
    }
    if (of("num_embeddings") !== null)
      return { sizes: () => [16], channels: 1, open: false, whole: true };
    const size = of("input_size");
    if (size !== null) return { sizes: () => [16, size], channels: 16, open: false };
  }
  return null;
}

/** The image that a flattened input was. */
function imageOf(features: number): number[] | null {
  for (const channels of [1, 3]) {
    const side = Math.sqrt(features / channels);
    if (Number.isInteger(side) && side > 1) return [channels, side, side];
  }
  return null;
}

const repeated = (sizes: readonly number[], inputs: number, whole = false): Sizes[] =>
  Array.from({ length: inputs }, () => ({ sizes, whole }));

const usual = [28, 32, 64, 96, 128, 224, 256, 299];
const largest = 1024;

/** The size that fits, by trying. */
export function solve(run: Interpreter, module: Instance, wanted: Wanted, inputs: number): Found {
  const at = (size: number) => repeated(wanted.sizes(size), inputs, wanted.whole);
  if (!wanted.open) {
    // A vector, or a row of them.
    const own = wanted.sizes(0);
    const rows = own.length === 1 && wanted.whole !== true ? [own, [16, ...own]] : [own];
    const tried = rows.map((sizes) => repeated(sizes, inputs, wanted.whole));
    const right = tried.find((sizes) => {
      const { failure, raised, output } = runOnce(run, module, sizes, 2, false);
      return failure === null && !raised && !(output instanceof Unknown);
    });
    return right ? { inputs: right, source: "solved" } : { inputs: tried[0], source: "assumed" };
  }
  if (wanted.standard !== undefined) return { inputs: at(wanted.standard), source: "assumed" };
  const passes = new Map<number, ReturnType<typeof runOnce>>();
  const pass = (size: number) => {
    const known = passes.get(size) ?? runOnce(run, module, at(size), 2, false);
    passes.set(size, known);
    return known;
  };
  const fits = (size: number) => pass(size).failure === null && !pass(size).raised;
  const size = customarySizes.find(fits);
  if (size === undefined) {
    const others = wanted.free === true ? [1, 2, 3, 4, 6, 8] : [];
    for (const channels of others) {
      const sizes = (side: number) => [channels, ...wanted.sizes(side).slice(1)];
      const other = solve(run, module, { ...wanted, channels, sizes, free: false }, inputs);
      const ends = runOnce(run, module, other.inputs, 2, false);
      if (ends.failure === null && !ends.raised) return other;
    }
    return unfit(pass, at);
  }
  const small = wanted.channels === 1 ? 28 : 32;
  if (size === 224 && [small, 97, 160, 448].every(fits)) {
    // Any size will do. Where little is pooled away, the network is one for small images.
    const pixels = pass(224).layers.flatMap(({ output }) =>
      output instanceof TensorValue && output.shape.length === 4 && output.shape[2] > 1
        ? [output.shape[2]]
        : [],
    );
    const chosen = Math.min(...pixels) >= 28 ? small : 224;
    return { inputs: at(chosen), source: "assumed" };
  }
  return { inputs: at(size), source: "solved", interval: fittingSizes(size, fits) };
}

/** No customary size fits. The features that reach the head grow with the size: where do they fit? */
function unfit(
  pass: (size: number) => ReturnType<typeof runOnce>,
  at: (size: number) => Sizes[],
): Found {
  const progress = (size: number) => pass(size).layers.length;
  const furthest = usual.reduce((best, s) => (progress(s) > progress(best) ? s : best), 32);
  const { failure } = pass(furthest);
  const head = failure?.module?.cls.name === "Linear" ? failure.module : null;
  if (head === null) return { inputs: at(furthest), source: "assumed" };
  const enough = (size: number) => {
    const own = pass(size).failure;
    if (own === null) return true;
    if (own.module !== head) return pass(size).layers.length > progress(furthest);
    return (own.error.actual ?? 0) >= (own.error.expected ?? 0);
  };
  let [low, high] = [1, largest];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (enough(middle)) high = middle;
    else low = middle + 1;
  }
  const near = usual.reduce((best, s) =>
    Math.abs(Math.log(s / low)) < Math.abs(Math.log(best / low)) ? s : best,
  );
  const nearFailure = pass(near).failure;
  if (pass(low).failure !== null || nearFailure === null)
    return {
      inputs: at(progress(near) === progress(furthest) ? near : furthest),
      source: "assumed",
    };
  const interval = fittingSizes(low, (size) => pass(size).failure === null);
  return {
    inputs: at(low),
    source: "solved",
    interval,
    expected: { size: near, failure: nearFailure },
  };
}
