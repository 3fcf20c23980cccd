// # Random numbers
//
// The generator must draw what PyTorch draws, to the last bit: `fixtures/generator.py` asked it.
// What PyTorch cannot be asked is held to arithmetic without rounding, in big integers, and to
// the published answers of Philox.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fc from "fast-check";
import {
  defaultGenerator,
  dropoutMask,
  type DropoutState,
  dropoutState,
  DropoutStream,
  Generator,
  type GeneratorState,
  manualSeed,
  philox4x32,
  sequentialOrder,
  shuffledOrder,
} from "convnotes";
import fixture from "./fixtures/generator.json" with { type: "json" };

type Numbers = Float32Array | Float64Array | Int32Array;

const sha256 = (numbers: Numbers): string =>
  createHash("sha256").update(new Uint8Array(numbers.buffer)).digest("hex");

/** The bits of each element, highest digit first. */
const hexadecimal = (numbers: Numbers): string[] =>
  Array.from(numbers, (_, i) =>
    Buffer.from(numbers.slice(i, i + 1).buffer)
      .reverse()
      .toString("hex"),
  );

const allocate = (dtype: string, size: number): Float32Array | Float64Array =>
  dtype === "float32" ? new Float32Array(size) : new Float64Array(size);

const anySeed = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });

describe("random: PyTorch's generator", () => {
  for (const kind of ["uniform", "normal"])
    for (const dtype of ["float32", "float64"]) {
      const draws = fixture.draws.filter((d) => d.kind === kind && d.dtype === dtype);
      const few = kind === "normal" && dtype === "float64" ? ", fewer than 16 at once" : "";
      it(`draws PyTorch's ${kind} ${dtype} numbers bit for bit${few}`, () => {
        assert.ok(draws.length >= 12);
        for (const { seed, size, a, b, sha256: expected, first, last, after } of draws) {
          const generator = new Generator(BigInt(seed));
          const out = allocate(dtype, size);
          if (kind === "uniform") generator.fillUniform(out, a, b);
          else generator.fillNormal(out, a, b);
          const call = `seed ${seed}, ${size} numbers, ${kind}(${a}, ${b})`;
          assert.deepEqual(hexadecimal(out.slice(0, 3)), first, call);
          assert.deepEqual(hexadecimal(out.slice(-1)), last, call);
          assert.equal(sha256(out), expected, call);
          assert.equal(generator.randomInt64(), BigInt(after), `the number after ${call}`);
        }
      });
    }

  it("draws 16 and more normal float64 numbers up to the rounding of log, cos and sin", () => {
    // Let u be 2^-53. On either side log errs by less than an ulp, at most 2u of its value; the
    // root makes u of that and rounds by u; cos or sin errs by 2u, the product by u. So what is
    // added to the mean errs by gamma5 of itself, and the fused sum rounds by u of its value x.
    const [mean, std] = [0.3, 0.7];
    const u = 2 ** -53;
    const gamma5 = (5 * u) / (1 - 5 * u);
    const out = new Float64Array(fixture.normal64.length);
    new Generator(11).fillNormal(out, mean, std);
    out.forEach((ours, i) => {
      const theirs = Buffer.from(fixture.normal64[i], "hex").readDoubleBE();
      const away = (x: number): number => (Math.abs(x - mean) + u * Math.abs(x)) / (1 - gamma5);
      const one = (x: number): number => gamma5 * away(x) + u * Math.abs(x);
      assert.ok(Math.abs(ours - theirs) <= one(ours) + one(theirs), `number ${i}`);
    });
  });

  it("keeps the second number of a pair through other draws, as PyTorch does", () => {
    const { seed, calls, sha256: expected, after } = fixture.stream;
    const generator = new Generator(BigInt(seed));
    const parts = calls.map(([kind, size]) => {
      const out = new Float32Array(Number(size));
      if (kind === "uniform") generator.fillUniform(out);
      else generator.fillNormal(out);
      return [...out];
    });
    assert.equal(sha256(Float32Array.from(parts.flat())), expected);
    assert.equal(generator.randomInt64(), BigInt(after));
  });

  it("draws PyTorch's permutations", () => {
    for (const { seed, n, sha256: expected, first, after } of fixture.permutations) {
      const generator = new Generator(BigInt(seed));
      const order = generator.randperm(n);
      assert.deepEqual([...order.slice(0, 5)], first, `seed ${seed}, n ${n}`);
      assert.equal(sha256(order), expected, `seed ${seed}, n ${n}`);
      assert.equal(generator.randomInt64(), BigInt(after));
    }
  });

  it("draws PyTorch's integers, from one word or from two", () => {
    for (const { seed, low, high, values, after } of fixture.integers) {
      const generator = new Generator(BigInt(seed));
      const ours = values.map(() => generator.randint(low, high));
      assert.deepEqual(ours, values, `randint(${low}, ${high})`);
      assert.equal(generator.randomInt64(), BigInt(after));
    }
    const generator = new Generator(9);
    assert.deepEqual(
      fixture.words64.map(() => String(generator.random64())),
      fixture.words64,
    );
  });

  it("starts from PyTorch's default seed and reads seeds as PyTorch does", () => {
    assert.equal(new Generator().seed, BigInt(fixture.defaultSeed));
    assert.equal(new Generator(-1).seed, 2n ** 64n - 1n);
    assert.equal(new Generator(-(2n ** 63n)).seed, 2n ** 63n);
    assert.equal(new Generator(2 ** 40).seed, 2n ** 40n);
  });

  it("gives modules PyTorch's initial weights", () => {
    // What PyTorch's reset_parameters and nn.init compute, in float64 and in this order.
    const generator = new Generator(BigInt(fixture.initial.seed));
    const uniform = (size: number, bound: number): Float32Array => {
      const out = new Float32Array(size);
      generator.fillUniform(out, -bound, bound);
      return out;
    };
    const normal = (size: number, std: number): Float32Array => {
      const out = new Float32Array(size);
      generator.fillNormal(out, 0, std);
      return out;
    };
    const gain = Math.sqrt(2 / (1 + Math.sqrt(5) ** 2));
    const weightBound = (fanIn: number): number => Math.sqrt(3) * (gain / Math.sqrt(fanIn));
    const biasBound = (fanIn: number): number => 1 / Math.sqrt(fanIn);
    const xavier = Math.sqrt(2 / (20 + 30));
    const weights = [
      uniform(8 * 3 * 5 * 5, weightBound(3 * 5 * 5)),
      uniform(8, biasBound(3 * 5 * 5)),
      uniform(30 * 20, weightBound(20)),
      uniform(30, biasBound(20)),
      uniform(30 * 20, Math.sqrt(3) * xavier),
      normal(30 * 20, xavier),
      normal(30 * 20, Math.sqrt(2 / (1 + 0 ** 2)) / Math.sqrt(20)),
    ];
    weights.forEach((weight, i) => {
      const name = fixture.initial.names[i];
      assert.deepEqual(hexadecimal(weight.slice(0, 1)), fixture.initial.first[i], name);
      assert.equal(sha256(weight), fixture.initial.sha256[i], name);
    });
  });
});

// ## Against arithmetic without rounding

/** A finite float64 as a whole number of 2⁻¹⁰⁷⁴. */
function exactly(x: number): bigint {
  const bits = new DataView(new ArrayBuffer(8));
  bits.setFloat64(0, Math.abs(x));
  const word = bits.getBigUint64(0);
  const [exponent, fraction] = [word >> 52n, word & (2n ** 52n - 1n)];
  const size = exponent === 0n ? fraction : (fraction | (2n ** 52n)) << (exponent - 1n);
  return x < 0 ? -size : size;
}

/** `n` · 2^−`scale` rounded to `digits` binary digits, ties to even. */
function roundTo(digits: number, n: bigint, scale: number): number {
  const size = n < 0n ? -n : n;
  const drop = BigInt(Math.max(0, size.toString(2).length - digits));
  const [kept, rest] = [size >> drop, size & ((1n << drop) - 1n)];
  const half = drop === 0n ? 1n : 1n << (drop - 1n);
  const up = rest > half || (rest === half && drop > 0n && kept % 2n === 1n) ? 1n : 0n;
  // Two steps, because 2^−scale alone may be too small for a float64.
  const exponent = Number(drop) - scale;
  const value = Number(kept + up) * 2 ** Math.ceil(exponent / 2) * 2 ** Math.floor(exponent / 2);
  return n < 0n ? -value : value;
}

describe("random: uniform numbers", () => {
  for (const [dtype, digits] of [
    ["float32", 24],
    ["float64", 53],
  ] as const)
    it(`are u · (to − from) + from in ${dtype}, rounded once`, () => {
      // Powers of two apart, so that the two terms overlap in every possible way.
      const bound = fc
        .tuple(fc.integer({ min: -(2 ** 24), max: 2 ** 24 }), fc.integer({ min: -70, max: 30 }))
        .map(([m, e]) => m * 2 ** e);
      fc.assert(
        fc.property(bound, bound, fc.nat(), (a, b, seed) => {
          const [from, to] = a < b ? [a, b] : [b, a];
          const [generator, words] = [new Generator(seed), new Generator(seed)];
          const out = allocate(dtype, 20);
          generator.fillUniform(out, from, to);
          const width = dtype === "float32" ? Math.fround(to - from) : to - from;
          out.forEach((ours, i) => {
            const word = dtype === "float32" ? words.random() : words.random64();
            const u = BigInt.asUintN(digits, BigInt(word));
            const exact = u * exactly(width) + (exactly(from) << BigInt(digits));
            const rounded = roundTo(digits, exact, 1074 + digits);
            assert.equal(ours, rounded === to ? from : rounded, `number ${i}`);
          });
        }),
      );
    });

  it("stay within bounds that are too large to be rounded only once", () => {
    const out = new Float64Array(1000);
    new Generator(0).fillUniform(out, 0, 1.5e308);
    assert.ok(out.every((x) => x >= 0 && x < 1.5e308));
  });

  it("do not depend on how many are drawn at a time", () => {
    fc.assert(
      fc.property(anySeed, fc.nat(700), fc.nat(700), (seed, n, m) => {
        const [once, twice] = [new Generator(seed), new Generator(seed)];
        const out = new Float32Array(n + m);
        const parts = new Float32Array(n + m);
        once.fillUniform(out);
        twice.fillUniform(parts.subarray(0, n));
        twice.fillUniform(parts.subarray(n));
        assert.deepEqual(parts, out);
      }),
    );
  });
});

describe("random: generators", () => {
  it("see no more of a seed than its low 32 bits", () => {
    fc.assert(
      fc.property(anySeed, (seed) => {
        const [whole, low] = [new Generator(seed), new Generator(BigInt.asUintN(32, seed))];
        assert.equal(whole.seed, seed);
        assert.equal(whole.random64(), low.random64());
      }),
    );
  });

  it("shuffle: every number below n comes once", () => {
    fc.assert(
      fc.property(anySeed, fc.nat(300), (seed, n) => {
        const order = new Generator(seed).randperm(n);
        assert.deepEqual(
          [...order].sort((a, b) => a - b),
          Array.from({ length: n }, (_, i) => i),
        );
      }),
    );
  });

  it("go on from a saved state as if they had never stopped", () => {
    const call = fc.constantFrom(
      (g: Generator) => g.random(),
      (g: Generator) => g.randomInt64(),
      (g: Generator) => g.randperm(9).join(),
      (g: Generator) => normals(g, 3).join(),
      (g: Generator) => normals(g, 20).join(),
    );
    fc.assert(
      fc.property(anySeed, fc.array(call), fc.array(call), (seed, before, after) => {
        const first = new Generator(seed);
        for (const run of before) run(first);
        const second = new Generator(1);
        second.fillNormal(new Float32Array(1));
        second.setState(JSON.parse(JSON.stringify(first.getState())) as GeneratorState);
        assert.equal(second.seed, first.seed);
        for (const run of after) assert.equal(run(second), run(first));
        assert.deepEqual(second.getState(), first.getState());
      }),
    );
  });

  it("forget a number that was put by when they are seeded again", () => {
    const generator = new Generator(3);
    const fresh = normals(generator, 1);
    assert.deepEqual(normals(generator.manualSeed(3), 1), fresh);
  });

  it("refuse a state that no generator can have given, and stay as they were", () => {
    const generator = new Generator(3);
    const good = generator.getState();
    const refuses = (change: Partial<GeneratorState>, message: string): void => {
      assert.throws(() => generator.setState({ ...good, ...change }), { message });
      assert.deepEqual(generator.getState(), good);
    };
    refuses({ seed: "-3" }, 'seed: expected a string of digits, got "-3"');
    refuses(
      { seed: "99999999999999999999" },
      "a seed lies between -2^63 and 2^64 - 1, got 99999999999999999999",
    );
    refuses({ words: [1, 2] }, "words: expected an array of 624 numbers, got 1,2");
    refuses(
      { words: good.words.map((word, i) => (i === 5 ? 0.5 : word)) },
      "words[5]: expected a whole number of at least 0 and below 4294967296, got 0.5",
    );
    refuses({ next: 625 }, "next: expected a whole number of at least 0 and below 625, got 625");
    refuses({ spare: NaN }, "spare: expected a finite number or null, got NaN");
  });

  it("refuse what has no meaning", () => {
    const generator = new Generator();
    const out = new Float32Array(3);
    const refuses = (run: () => void, message: string): void =>
      assert.throws(run, { name: "RangeError", message });
    refuses(
      () => generator.manualSeed(0.5),
      "a seed is a whole number, got 0.5; beyond 2^53 write it as a bigint, such as 7n",
    );
    refuses(
      () => generator.manualSeed(2n ** 64n),
      "a seed lies between -2^63 and 2^64 - 1, got 18446744073709551616",
    );
    refuses(
      () => generator.fillUniform(out, 1, 0),
      "uniform: expected finite bounds with from at most to, got from 1 and to 0",
    );
    refuses(
      () => generator.fillUniform(out, -3e38, 3e38),
      "uniform: expected finite bounds with from at most to, got from -3e+38 and to 3e+38",
    );
    refuses(() => generator.fillNormal(out, 0, -1), "normal: expected a std of at least 0, got -1");
    refuses(
      () => generator.randint(4, 4),
      "randint: expected whole numbers with low below high, got low 4 and high 4",
    );
    refuses(
      () => generator.randperm(-1),
      "randperm: n: expected a whole number of at least 0 and below 214748364, got -1",
    );
  });
});

function normals(generator: Generator, size: number): Float32Array {
  const out = new Float32Array(size);
  generator.fillNormal(out);
  return out;
}

// ## The order of the samples

describe("random: the order of the samples", () => {
  it("is that of PyTorch's DataLoader, epoch after epoch, with validation in between", () => {
    for (const { seed, n, orders, after } of fixture.epochs) {
      const generator = manualSeed(BigInt(seed));
      for (const { sha256: expected, first } of orders) {
        const order = shuffledOrder(n);
        assert.deepEqual([...order.slice(0, 5)], first, `seed ${seed}, n ${n}`);
        assert.equal(sha256(order), expected, `seed ${seed}, n ${n}`);
        assert.deepEqual(
          [...sequentialOrder(100)],
          Array.from({ length: 100 }, (_, i) => i),
        );
      }
      assert.equal(generator.randomInt64(), BigInt(after));
    }
  });

  it("draws from the generator that it is given, and leaves the default one alone", () => {
    manualSeed(8);
    const expected = shuffledOrder(50);
    const before = defaultGenerator.getState();
    assert.deepEqual(shuffledOrder(50, new Generator(8)), expected);
    sequentialOrder(50, new Generator(8));
    assert.deepEqual(defaultGenerator.getState(), before);
  });
});

// ## Philox and dropout

const word = fc.nat(0xffffffff);

/** Philox4x32-10 once more, from its definition, in whole numbers of any size. */
function philoxInBigIntegers(counter: readonly number[], key: readonly number[]): number[] {
  let [a, b, c, d] = counter.map(BigInt);
  let [k, l] = key.map(BigInt);
  for (let round = 0; round < 10; round++) {
    const [x, y] = [a * 0xd2511f53n, c * 0xcd9e8d57n];
    [a, b, c, d] = [(y >> 32n) ^ b ^ k, y % 2n ** 32n, (x >> 32n) ^ d ^ l, x % 2n ** 32n];
    k = (k + 0x9e3779b9n) % 2n ** 32n;
    l = (l + 0xbb67ae85n) % 2n ** 32n;
  }
  return [a, b, c, d].map(Number);
}

describe("random: philox4x32", () => {
  it("gives the known answers that its authors publish", () => {
    // Random123, kat_vectors, philox4x32 10; the last one counts in the digits of π.
    const ones = 0xffffffff;
    const known = [
      { counter: [0, 0, 0, 0], key: [0, 0], answer: "6627e8d5 e169c58d bc57ac4c 9b00dbd8" },
      {
        counter: [ones, ones, ones, ones],
        key: [ones, ones],
        answer: "408f276d 41c83b0e a20bc7c6 6d5451fd",
      },
      {
        counter: [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
        key: [0xa4093822, 0x299f31d0],
        answer: "d16cfe09 94fdcceb 5001e420 24126ea1",
      },
    ] as const;
    for (const { counter, key, answer } of known) {
      const hex = Array.from(philox4x32(counter, key), (w) => w.toString(16).padStart(8, "0"));
      assert.equal(hex.join(" "), answer);
    }
  });

  it("is its definition, whatever the counter and the key", () => {
    fc.assert(
      fc.property(fc.tuple(word, word, word, word), fc.tuple(word, word), (counter, key) => {
        assert.deepEqual([...philox4x32(counter, key)], philoxInBigIntegers(counter, key));
      }),
    );
  });
});

describe("random: dropout", () => {
  it("keeps element i when its word of its block reaches p · 2^32", () => {
    const p = fc.oneof(fc.constantFrom(0, 0.5, 1), fc.double({ min: 0, max: 1, noNaN: true }));
    fc.assert(
      fc.property(anySeed, word, word, p, fc.nat(40), (seed, step, layer, p, size) => {
        const mask = new Uint8Array(size).fill(7);
        dropoutMask(mask, p, { seed, step, layer });
        const key = [Number(seed % 2n ** 32n), Number(seed / 2n ** 32n)];
        const expected = Array.from(mask, (_, i) => {
          const block = philoxInBigIntegers([Math.floor(i / 4), layer, step, 0], key);
          return block[i % 4] >= Math.floor(p * 2 ** 32) ? 1 : 0;
        });
        assert.deepEqual([...mask], expected);
      }),
    );
  });

  it("still keeps a word that is p · 2^32 rounded down, and drops the one below", () => {
    fc.assert(
      fc.property(anySeed, fc.nat(3), (seed, i) => {
        const call = { seed, step: 1, layer: 2 };
        const key = [Number(seed % 2n ** 32n), Number(seed / 2n ** 32n)] as const;
        const reached = philox4x32([0, 2, 1, 0], key)[i];
        const mask = new Uint8Array(4);
        for (const [threshold, kept] of [
          [reached, 1],
          [reached + 0.75, 1],
          [reached + 1, 0],
        ]) {
          dropoutMask(mask, threshold / 2 ** 32, call);
          assert.equal(mask[i], kept);
        }
      }),
    );
  });

  it("draws this mask", () => {
    const mask = new Uint8Array(32);
    dropoutMask(mask, 0.5, { seed: 0, step: 0, layer: 0 });
    // The words of its first block are the first known answer above: 66…, e1…, bc…, 9b….
    assert.equal(mask.join(""), "01111010000010101111001011101010");
  });

  it("numbers the masks of a step from 0", () => {
    const stream = new DropoutStream();
    stream.manualSeed(-1);
    stream.setStep(4);
    const seed = 2n ** 64n - 1n;
    assert.deepEqual(stream.nextLayer(), { seed, step: 4, layer: 0 });
    assert.deepEqual(stream.nextLayer(), { seed, step: 4, layer: 1 });
    stream.setStep(5);
    assert.deepEqual(stream.nextLayer(), { seed, step: 5, layer: 0 });
  });

  it("goes on from a saved state", () => {
    const [first, second] = [new DropoutStream(), new DropoutStream()];
    first.manualSeed(2n ** 60n);
    first.setStep(7);
    first.nextLayer();
    const saved = JSON.stringify(first.getState());
    assert.equal(saved, '{"seed":"1152921504606846976","step":7,"layer":1}');
    second.setState(JSON.parse(saved) as DropoutState);
    assert.deepEqual(second.nextLayer(), first.nextLayer());
  });

  it("starts over with manualSeed", () => {
    manualSeed(5);
    dropoutState.setStep(3);
    dropoutState.nextLayer();
    assert.equal(manualSeed(6), defaultGenerator);
    assert.equal(defaultGenerator.seed, 6n);
    assert.deepEqual(dropoutState.nextLayer(), { seed: 6n, step: 0, layer: 0 });
  });

  it("refuses what has no meaning", () => {
    const out = new Uint8Array(1);
    const refuses = (run: () => void, message: string): void =>
      assert.throws(run, { name: "RangeError", message });
    const limits = "expected a whole number of at least 0 and below 4294967296";
    refuses(
      () => dropoutMask(out, 1.5, { seed: 0, step: 0, layer: 0 }),
      "dropout: p is a probability, from 0 to 1, got 1.5",
    );
    refuses(
      () => dropoutMask(out, 0.5, { seed: 0, step: -1, layer: 0 }),
      `dropout: step: ${limits}, got -1`,
    );
    refuses(
      () => dropoutMask(out, 0.5, { seed: 0, step: 0, layer: 2 ** 32 }),
      `dropout: layer: ${limits}, got 4294967296`,
    );
    const stream = new DropoutStream();
    refuses(() => stream.setStep(0.5), `dropout: step: ${limits}, got 0.5`);
    refuses(
      () => stream.setState({ seed: "0", step: 0, layer: -1 }),
      `dropout: layer: ${limits}, got -1`,
    );
  });
});
