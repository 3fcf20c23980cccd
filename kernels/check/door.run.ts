// # Knocking at the door
//
// No JavaScript call can crash the process: whatever is passed to the addon, it computes or throws. Each
// round takes a call that is right (a case of a law, or a whole program) and spoils it in a few places:
// sizes, types, options, memory that is shared, taken away or missing. Most of what arises is refused;
// what is not must stay within its operands, which AddressSanitizer sees where the addon is built
// with it.
//
// A process of its own, since what fails here fails by dying:
//
//     tsx door.run.ts [rounds] [--apart]      FC_SEED and CONVNOTES_ADDON as usual; prints what was done
//
// `--apart`: no memory in two places, whether shared or by a spoilt description of a program. What threads do
// there is a race by construction, which ThreadSanitizer would report.

import { createRequire } from "node:module";
import { join } from "node:path";
import * as convnotes from "convnotes";
import fc from "fast-check";
import { rooms } from "../../spec/laws.js";
import { compileStep, type HostProgram } from "../plan/program.js";
import { execute } from "./judge.js";

const rounds = Number(process.argv[2] ?? 3000);
const apart = process.argv.includes("--apart");
const seed = Number(process.env.FC_SEED ?? Date.now() % 2 ** 31);
// Before anything can die.
console.error(`FC_SEED=${seed}`);

interface Addon {
  start(...args: unknown[]): unknown;
  describe(): { kernels: string[]; fused: string[]; isas: string[] };
  run(...args: unknown[]): unknown;
  Program: HostProgram;
}

const place = `${process.platform}-${process.arch}`;
const built = join(import.meta.dirname, "..", "build", place, "convnotes.node");
const addon = createRequire(import.meta.url)(process.env.CONVNOTES_ADDON ?? built) as Addon;
const { kernels, fused, isas } = addon.describe();
const programRun = (addon.Program as { prototype: Record<"run", () => unknown> }).prototype.run;

// ## Calls that are right

/** Data as a tree: typed arrays, lists, objects with plain prototypes and numbers. */
type Tree = unknown;

/** The arguments of `run`. */
const calls: Tree[][] = [];
/** A description of a program, and the arguments of its `run`. */
const programs: { description: object; args: Tree[] }[] = [];

const flat = (tensors: readonly (convnotes.Tensor | null)[]): Tree[] =>
  tensors.flatMap((t) => [t && t.data.slice(), t && [...t.shape]]);

class Recorder {
  readonly #description: object;
  constructor(description: object) {
    this.#description = description;
  }
  run(bound: readonly unknown[], numbers: Float64Array): boolean {
    programs.push({
      description: this.#description,
      args: [bound.map((b) => (b as Float32Array).slice()), numbers.slice(), null],
    });
    return true;
  }
}

function collect(): void {
  convnotes.registerBackend({
    device: "cpu",
    host: true,
    run(primitive, inputs, outputs, options) {
      convnotes.runReference(primitive, inputs, outputs, options);
      const kernel = kernels.indexOf(primitive.name);
      if (kernel >= 0) calls.push([kernel, flat(inputs), flat(outputs), { ...options }]);
    },
    compile: (step) =>
      compileStep({ Program: Recorder, kernels: new Set([...kernels, ...fused]) }, step, {
        rewrite: "always",
      }),
  });
  for (const law of rooms())
    for (const c of fc.sample(law.real, { seed, numRuns: 8 })) execute(law, c);
  for (const name of ["lenet_bn", "notes_example"]) {
    const { create, inputShape } = convnotes.modelNamed(name);
    const model = create();
    const optimizer = new convnotes.optim.SGD(model.parameters(), { lr: 0.1, momentum: 0.9 });
    const labels = convnotes.tensor([0, 1], { dtype: "int64" });
    new convnotes.TrainingStep(model, optimizer, "cpu").run(
      convnotes.zeros([2, ...inputShape]),
      labels,
    );
  }
}

/** A copy that may be spoilt; memory that was shared stays apart. */
function copied(tree: Tree): Tree {
  if (ArrayBuffer.isView(tree)) return (tree as Float32Array).slice();
  if (Array.isArray(tree)) return tree.map(copied);
  if (tree !== null && typeof tree === "object")
    return Object.fromEntries(Object.entries(tree).map(([name, value]) => [name, copied(value)]));
  return tree;
}

// ## Spoiling them

interface Spot {
  readonly holder: Record<string, Tree>;
  readonly key: string;
}

/** Every place in a tree that a value could be put in. */
function spotsOf(tree: Tree, spots: Spot[] = []): Spot[] {
  if (tree === null || typeof tree !== "object" || ArrayBuffer.isView(tree)) return spots;
  const holder = tree as Record<string, Tree>;
  for (const key of Object.keys(holder)) {
    spots.push({ holder, key });
    spotsOf(holder[key], spots);
  }
  return spots;
}

const numbers = [0, 1, 2, 3, 7, 64, -1, -0, 0.5, NaN, Infinity, -Infinity];
const large = [
  2 ** 20,
  2 ** 24,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32,
  2 ** 40,
  2 ** 53,
  1e300,
  -(2 ** 31),
];

const junk: fc.Arbitrary<Tree> = fc.oneof(
  fc.constantFrom<Tree>(...numbers),
  fc.constantFrom<Tree>(...large),
  fc.integer({ min: -4, max: 40 }),
  fc.constantFrom<Tree>(undefined, null, true, "", "mean", "relu", 5n, -1n, 2n ** 70n, []),
  fc.array(fc.constantFrom<Tree>(...numbers, ...large), { maxLength: 10 }),
  fc.anything({ withTypedArray: true, withBigInt: true, withNullPrototype: true }),
  fc
    .constantFrom<(n: number) => Tree>(
      (n) => new Float32Array(n),
      (n) => new Float64Array(n),
      (n) => new Uint8Array(n),
      (n) => new Int16Array(n),
      (n) => new BigInt64Array(n).fill(2n ** 62n),
      (n) => new DataView(new ArrayBuffer(n)),
      (n) => new Float32Array(new SharedArrayBuffer(4 * n)),
      () => Symbol("a symbol"),
      () => () => 1,
    )
    .chain((make) => fc.integer({ min: 0, max: 200 }).map((n) => make(n))),
);

type Spoil = (tree: Tree) => void;

const isTyped = (value: Tree): value is Float32Array =>
  ArrayBuffer.isView(value) && !(value instanceof DataView) && value.byteLength > 0;

const pick = <T>(list: readonly T[], n: number): T => list[n % list.length];

/** One change somewhere; `n` and `m` choose the place. */
const spoil: fc.Arbitrary<Spoil> = fc
  .record({
    n: fc.nat(),
    m: fc.nat(),
    value: junk,
    kind: fc.constantFrom(
      ...["junk", "near", "near", "fit", "fit", "fit", "drop", "twice", "take", "get", "extreme"],
      ...(apart ? [] : ["share"]),
    ),
  })
  .map(({ n, m, value, kind }): Spoil => (tree) => {
    const all = spotsOf(tree);
    const read = ({ holder, key }: Spot) => holder[key];
    const choose = (accepts: (v: Tree) => boolean, at = n): Spot | undefined => {
      const fitting = all.filter((spot) => accepts(read(spot)));
      return fitting.length > 0 ? pick(fitting, at) : undefined;
    };
    const any = choose(() => true);
    if (any === undefined) return;
    switch (kind) {
      case "junk":
        any.holder[any.key] = value;
        return;
      case "near": {
        const spot = choose((v) => typeof v === "number");
        if (spot) spot.holder[spot.key] = pick([1, -1, 8, -8], m) + (read(spot) as number);
        return;
      }
      case "fit": {
        // A shape that its data fills is let in.
        const spot = choose(
          (v) => Array.isArray(v) && isTyped(v[0]) && Array.isArray(v[1]) && v.length % 2 === 0,
        );
        if (spot === undefined) return;
        const list = read(spot) as [Float32Array, number[]];
        const i = 2 * (m % (list.length / 2));
        const shape = list[i + 1];
        if (!Array.isArray(shape) || !isTyped(list[i])) return;
        const sizes = [...shape];
        if (typeof value === "number" && value > 0 && value < 50)
          sizes[n % (sizes.length + 1)] = Math.trunc(value);
        else if (m % 3 === 0) sizes.pop();
        else sizes.reverse();
        const size = sizes.reduce((product, d) => product * d, 1);
        if (size > 1e6) return;
        const Kind = list[i].constructor as Float32ArrayConstructor;
        list.splice(i, 2, new Kind(size), sizes as never);
        return;
      }
      case "drop":
        if (Array.isArray(any.holder)) any.holder.splice(Number(any.key), 1);
        else Reflect.deleteProperty(any.holder, any.key);
        return;
      case "twice":
        if (Array.isArray(any.holder)) any.holder.push(read(any));
        return;
      case "share": {
        // The same memory in two places, perhaps under another type, perhaps a little off.
        const [a, b] = [choose(isTyped), choose(isTyped, m)];
        if (a === undefined || b === undefined) return;
        const [to, from] = [read(a), read(b)] as [Float32Array, Float32Array];
        const Kind = to.constructor as Float32ArrayConstructor;
        const bytes = new ArrayBuffer(Math.max(to.byteLength, from.byteLength) + 8);
        const shift = (m % 2) * 8;
        a.holder[a.key] = new Kind(bytes, shift, to.length);
        b.holder[b.key] = new (from.constructor as Float32ArrayConstructor)(bytes, 0, from.length);
        return;
      }
      case "take":
      case "get": {
        // Memory that goes away before the call, or while its arguments are being read.
        const spot = choose(isTyped);
        if (spot === undefined) return;
        const data = read(spot) as Float32Array;
        const takeAway = () => {
          if (data.byteLength > 0)
            structuredClone(data, { transfer: [data.buffer as ArrayBuffer] });
          return value;
        };
        if (kind === "take") takeAway();
        else Object.defineProperty(any.holder, any.key, { get: takeAway, enumerable: true });
        return;
      }
      default: {
        const spot = choose(isTyped);
        if (spot === undefined) return;
        const data = read(spot) as { fill(x: number | bigint): void };
        if (data instanceof BigInt64Array) data.fill(pick([-1n, 2n ** 62n, -(2n ** 63n), 10n], m));
        else data.fill(pick([NaN, Infinity, -Infinity, 1e-45, 3e38], m));
      }
    }
  });

/** Makes the changes in turn; what cannot be changed any more is left as it is. */
function ruin(tree: Tree, spoils: readonly Spoil[]): void {
  for (const change of spoils)
    try {
      change(tree);
    } catch {
      // Shared memory cannot be taken away, and a spoilt getter may want to do that while it is read.
    }
}

// ## Knocking

const count = { computed: 0, refused: 0 };

function knock(what: () => void): void {
  try {
    what();
    count.computed++;
  } catch {
    count.refused++;
  }
}

collect();
const few = fc.array(spoil, { maxLength: 3 });
addon.start({ threads: 2 });
const started = performance.now();
fc.assert(
  fc.property(fc.nat(), few, fc.constantFrom(...isas), fc.nat(40), (n, spoils, isa, restart) => {
    if (restart === 0) addon.start({ isa, threads: 1 + (n % 3) });
    const args = copied(pick(calls, n)) as Tree[];
    ruin(args, spoils);
    knock(() => addon.run(...args));
  }),
  { seed, numRuns: rounds },
);
fc.assert(
  fc.property(fc.nat(), few, few, (n, before, after) => {
    const { description, args } = copied(pick(programs, n)) as (typeof programs)[number];
    if (!apart) ruin(description, before);
    ruin(args, after);
    knock(() => {
      const program = new addon.Program(description);
      (program.run as (...args: Tree[]) => boolean)(...args);
    });
  }),
  { seed, numRuns: Math.ceil(rounds / 10) },
);
fc.assert(
  fc.property(fc.array(junk, { maxLength: 5 }), (args) => {
    knock(() => addon.run(...args));
    knock(() => addon.start(...args));
    knock(() => new addon.Program(args[0] as object));
    knock(() => {
      Reflect.apply(programRun, args[0], args);
    });
  }),
  { seed, numRuns: Math.ceil(rounds / 10) },
);
addon.start({});
const seconds = ((performance.now() - started) / 1000).toFixed(1);
console.log(
  `${count.computed} calls computed, ${count.refused} refused in ${seconds} s; ` +
    `${calls.length} kinds, ${programs.length} programs`,
);
