// # Random numbers
//
// Two generators, because there are two needs.
//
// Initial weights and the order of the samples are drawn once, on the CPU, one after another:
// there a `Generator` draws what PyTorch's CPU generator draws, bit for bit, so that
// `manualSeed(0)` here and `torch.manual_seed(0)` there begin with the same network.
//
// Dropout draws millions of bits in every step, on any device and in any order: there the
// counter-based Philox computes the bit of an element from where the element stands, and every
// backend finds the same mask without asking its neighbour.

/** The seed of a generator that was given none: PyTorch's `default_rng_seed_val`. */
const DEFAULT_SEED = 67280421310721n;

const TWO_POW_32 = 2 ** 32;

/** A seed as the 64 bits that PyTorch keeps of it; a negative one counts down from 2⁶⁴. */
function seedBits(seed: number | bigint): bigint {
  if (typeof seed === "number" && !Number.isSafeInteger(seed))
    throw new RangeError(
      `a seed is a whole number, got ${seed}; beyond 2^53 write it as a bigint, such as 7n`,
    );
  const whole = BigInt(seed);
  if (whole < -(2n ** 63n) || whole >= 2n ** 64n)
    throw new RangeError(`a seed lies between -2^63 and 2^64 - 1, got ${whole}`);
  return BigInt.asUintN(64, whole);
}

/** A seed out of a saved state, where it stands in decimal digits. */
function savedSeed(digits: unknown): bigint {
  if (typeof digits !== "string" || !/^\d{1,20}$/.test(digits))
    throw new TypeError(`seed: expected a string of digits, got ${show(digits)}`);
  return seedBits(BigInt(digits));
}

function requireWord(name: string, value: unknown, limit = TWO_POW_32): void {
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value >= limit)
    throw new RangeError(
      `${name}: expected a whole number of at least 0 and below ${limit}, got ${show(value)}`,
    );
}

/** A value of unknown type, short enough for an error message. */
const show = (value: unknown): string =>
  typeof value === "string" ? JSON.stringify(value.slice(0, 40)) : String(value);

// ## Fused multiply-add
//
// On x86 with AVX2, PyTorch's kernels compute $a b + c$ with one rounding. JavaScript rounds the
// product and then the sum. The two helpers below repair that: they round as usual, find what
// was lost, which is again a number without error (Dekker 1971, Knuth's two-sum), and mend the
// only case in which the loss decides: when the rounded value lay exactly between its two
// neighbours.

/** `a * b + c` in float32, rounded once. `a`, `b` and `c` are float32. */
function fma32(a: number, b: number, c: number): number {
  const product = a * b; // 24 + 24 bits: exact in float64
  const sum = product + c;
  const rounded = Math.fround(sum);
  // The mirror image of `rounded` in `sum` is a float32 only if `sum` is one, or lies halfway.
  const other = sum + (sum - rounded);
  if (other !== Math.fround(other)) return rounded;
  const back = sum - product;
  const lost = product - (sum - back) + (c - back);
  if (lost === 0 || Math.abs(rounded) === Infinity) return rounded;
  return lost > 0 ? Math.max(rounded, other) : Math.min(rounded, other);
}

/**
 * `a * b + c` in float64, rounded once, as long as nothing is subnormal on the way and no factor
 * exceeds 2⁹⁹⁶: the product and its error, the sum and its errors (Boldo and Melquiond 2008).
 */
function fma64(a: number, b: number, c: number): number {
  const product = a * b;
  const scaledA = 134217729 * a; // 2^27 + 1 cuts 53 bits into two halves of at most 26
  const highA = scaledA - (scaledA - a);
  const lowA = a - highA;
  const scaledB = 134217729 * b;
  const highB = scaledB - (scaledB - b);
  const lowB = b - highB;
  const error = lowA * lowB - (product - highA * highB - lowA * highB - highA * lowB);
  if (Number.isNaN(error)) return product + c; // a factor too large to be cut
  const small = c + error;
  const backSmall = small - c;
  const lostSmall = c - (small - backSmall) + (error - backSmall);
  const large = product + small;
  const backLarge = large - product;
  const lostLarge = product - (large - backLarge) + (small - backLarge);
  const lost = lostSmall + lostLarge;
  const backLost = lost - lostSmall;
  const beyond = lostSmall - (lost - backLost) + (lostLarge - backLost);
  const rounded = large + lost;
  const rest = large - rounded + lost;
  const other = rounded + 2 * rest;
  if (beyond === 0 || rest === 0 || other - rounded !== 2 * rest) return rounded;
  return beyond > 0 ? Math.max(rounded, other) : Math.min(rounded, other);
}

// ## PyTorch's CPU generator
//
// The engine is the Mersenne Twister MT19937: 624 words of 32 bits, recombined all at once when
// they are used up, and each scrambled on its way out. Of a 64-bit seed it takes the low half.
//
// What PyTorch makes of the words depends on its build. This is version 2.13 on x86 with AVX2,
// which is also what it runs on a CPU with AVX-512. Without AVX2 it rounds in other places, so that
// last bits differ; the same is to be expected on ARM. On each path:
//
// - uniform float32: $u$ is the low 24 bits of a word over $2^{24}$; float64: the low 53 bits of
//   two words, the first one high, over $2^{53}$. Then $u (\mathit{to} - \mathit{from}) +
//   \mathit{from}$ fused, in the element type; where that rounds up to `to`, it becomes `from`.
// - fewer than 16 normal numbers: Box–Muller in float64, one pair after another; the second
//   number of a pair waits in the generator for the next call.
// - 16 and more: all uniform numbers first, then Box–Muller on each 16 in place, the first eight
//   paired with the last eight. If some remain, the *last 16* are drawn anew, from new words.

const STATE_WORDS = 624;
const SHIFT = 397;

/** What a generator needs to go on; plain data, which survives JSON. */
export interface GeneratorState {
  /** The seed in decimal digits: JSON has no 64-bit numbers. */
  readonly seed: string;
  /** The 624 words of the Mersenne Twister, each below 2³². */
  readonly words: readonly number[];
  /** How many of the words are used up: 0 to 624. */
  readonly next: number;
  /** The second number of a pair of normal numbers, if it was not taken yet. */
  readonly spare: number | null;
}

/**
 * PyTorch's CPU generator, bit for bit as version 2.13 draws on x86 with AVX2.
 *
 * Differs from PyTorch: the float64 logarithm, sine and cosine are this engine's, not the C
 * library's. So normal float64 numbers may differ in their last bits. So may, about once in 10⁸
 * numbers, normal float32 ones drawn fewer than 16 at a time, which are rounded from float64.
 * Source: Matsumoto and Nishimura 1998; Box and Muller 1958.
 */
export class Generator {
  private readonly words = new Int32Array(STATE_WORDS);
  private next = STATE_WORDS;
  private spare: number | null = null;
  private currentSeed = DEFAULT_SEED;

  /** A generator of its own. Default: PyTorch's default seed, 67280421310721. */
  constructor(seed: number | bigint = DEFAULT_SEED) {
    this.manualSeed(seed);
  }

  /** The seed that was last given, as PyTorch's `initial_seed()`: 0 to 2⁶⁴ − 1. */
  get seed(): bigint {
    return this.currentSeed;
  }

  /**
   * Starts over from `seed`.
   *
   * Throws: RangeError for a fraction, or a seed outside −2⁶³ … 2⁶⁴ − 1.
   */
  manualSeed(seed: number | bigint): this {
    this.currentSeed = seedBits(seed);
    const { words } = this;
    words[0] = Number(BigInt.asIntN(32, this.currentSeed));
    for (let i = 1; i < STATE_WORDS; i++)
      words[i] = Math.imul(1812433253, words[i - 1] ^ (words[i - 1] >>> 30)) + i;
    this.next = STATE_WORDS;
    this.spare = null;
    return this;
  }

  /** Where the generator stands, as plain data that survives JSON. */
  getState(): GeneratorState {
    return {
      seed: String(this.currentSeed),
      words: Array.from(this.words, (word) => word >>> 0),
      next: this.next,
      spare: this.spare,
    };
  }

  /**
   * Goes on where the generator stood that gave this state.
   *
   * Throws: TypeError or RangeError for what `getState` cannot have given; the generator is then
   * as it was.
   */
  setState(state: GeneratorState): void {
    const { words, next, spare } = state;
    const seed = savedSeed(state.seed);
    if (!Array.isArray(words) || words.length !== STATE_WORDS)
      throw new TypeError(`words: expected an array of ${STATE_WORDS} numbers, got ${show(words)}`);
    words.forEach((word, i) => requireWord(`words[${i}]`, word));
    requireWord("next", next, STATE_WORDS + 1);
    if (spare !== null && !Number.isFinite(spare))
      throw new TypeError(`spare: expected a finite number or null, got ${show(spare)}`);
    this.currentSeed = seed;
    this.words.set(words);
    this.next = next;
    this.spare = spare;
  }

  /** The next 32 bits: 0 to 2³² − 1. */
  random(): number {
    return this.draw() >>> 0;
  }

  /** The next 64 bits; the first word drawn is the high half. */
  random64(): bigint {
    const high = BigInt(this.random());
    return (high << 32n) | BigInt(this.random());
  }

  /** One element of PyTorch's int64 `tensor.random_()`: 0 to 2⁶³ − 1. */
  randomInt64(): bigint {
    return BigInt.asUintN(63, this.random64());
  }

  /**
   * One element of `torch.randint(low, high, …)`: `low` to `high − 1`.
   *
   * Throws: RangeError when there is no number between the two.
   */
  randint(low: number, high: number): number {
    const range = high - low;
    if (!Number.isSafeInteger(low) || !Number.isSafeInteger(range) || range <= 0)
      throw new RangeError(
        `randint: expected whole numbers with low below high, got low ${low} and high ${high}`,
      );
    // From here on PyTorch takes two words: the remainder of one would favour small numbers.
    return range >= 2 ** 28
      ? low + Number(this.random64() % BigInt(range))
      : low + (this.random() % range);
  }

  /**
   * Uniform numbers from `from` up to but not including `to`: `tensor.uniform_(from, to)`.
   *
   * Throws: RangeError when `from` exceeds `to`, or their difference is not finite.
   */
  fillUniform(out: Float32Array | Float64Array, from = 0, to = 1): void {
    const single = out instanceof Float32Array;
    const low = single ? Math.fround(from) : from;
    const high = single ? Math.fround(to) : to;
    const width = single ? Math.fround(high - low) : high - low;
    if (!(width >= 0 && width < Infinity))
      throw new RangeError(
        `uniform: expected finite bounds with from at most to, got from ${from} and to ${to}`,
      );
    // One loop for each element type: the engine compiles each for its own kind of array.
    if (single)
      for (let i = 0; i < out.length; i++) {
        const x = fma32((this.draw() & 0xffffff) * 2 ** -24, width, low);
        out[i] = x === high ? low : x;
      }
    else
      for (let i = 0; i < out.length; i++) {
        const x = fma64(this.uniform53(), width, low);
        out[i] = x === high ? low : x;
      }
  }

  /**
   * Normal numbers: `tensor.normal_(mean, std)`, and so `torch.randn` and `nn.init.normal_`.
   *
   * Throws: RangeError when `std` is negative.
   */
  fillNormal(out: Float32Array | Float64Array, mean = 0, std = 1): void {
    if (!(std >= 0)) throw new RangeError(`normal: expected a std of at least 0, got ${std}`);
    if (out.length < 16) {
      for (let i = 0; i < out.length; i++) out[i] = fma64(this.normal(), std, mean);
      return;
    }
    this.fillUniform(out);
    normalInPlace(out, mean, std);
    if (out.length % 16 !== 0) {
      const last = out.subarray(out.length - 16);
      this.fillUniform(last);
      normalInPlace(last, mean, std);
    }
  }

  /**
   * The numbers from 0 to `n − 1` in random order: `torch.randperm(n)`.
   *
   * Throws: RangeError from 214748364 on, where PyTorch shuffles by another rule.
   */
  randperm(n: number): Int32Array {
    requireWord("randperm: n", n, Math.floor((TWO_POW_32 - 1) / 20));
    const order = Int32Array.from({ length: n }, (_, i) => i);
    for (let i = 0; i < n - 1; i++) {
      const j = i + (this.random() % (n - i));
      const moved = order[i];
      order[i] = order[j];
      order[j] = moved;
    }
    return order;
  }

  /** The next 32 bits, as a signed number: what the loops above compile best. */
  private draw(): number {
    if (this.next === STATE_WORDS) this.recombine();
    let y = this.words[this.next++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return y ^ (y >>> 18);
  }

  private recombine(): void {
    const { words } = this;
    for (let i = 0; i < STATE_WORDS; i++) {
      const following = words[i + 1 < STATE_WORDS ? i + 1 : 0];
      const y = (words[i] & 0x80000000) | (following & 0x7fffffff);
      const partner = words[i < STATE_WORDS - SHIFT ? i + SHIFT : i + SHIFT - STATE_WORDS];
      words[i] = partner ^ (y >>> 1) ^ (-(y & 1) & 0x9908b0df);
    }
    this.next = 0;
  }

  /** Uniform on [0, 1) with 53 bits. */
  private uniform53(): number {
    const high = this.draw() & 0x1fffff;
    return (high * TWO_POW_32 + (this.draw() >>> 0)) * 2 ** -53;
  }

  /** One normal number; every second call takes what the call before it put by. */
  private normal(): number {
    const { spare } = this;
    if (spare !== null) {
      this.spare = null;
      return spare;
    }
    const theta = 2 * Math.PI * this.uniform53();
    const radius = Math.sqrt(-2 * Math.log1p(-this.uniform53()));
    this.spare = radius * Math.sin(theta);
    return radius * Math.cos(theta);
  }
}

// ## Normal numbers, sixteen at a time
//
// Uniform $u_1, \dots, u_{16}$ become eight points in the plane: for $j = 1, \dots, 8$ the radius
// $r = \sqrt{-2 \ln (1 - u_j)}$ and the angle $\theta = 2 \pi u_{j+8}$, and the coordinates
// $r \cos \theta$, $r \sin \theta$ take the places of $u_j$ and $u_{j+8}$. What remains beyond a
// multiple of sixteen is left alone.

function normalInPlace(out: Float32Array | Float64Array, mean: number, std: number): void {
  if (out instanceof Float32Array) normalInPlace32(out, Math.fround(mean), Math.fround(std));
  else
    for (let start = 0; start + 16 <= out.length; start += 16)
      for (let i = start; i < start + 8; i++) {
        const radius = Math.sqrt(-2 * Math.log(1 - out[i]));
        const theta = 2 * Math.PI * out[i + 8];
        out[i] = fma64(radius * Math.cos(theta), std, mean);
        out[i + 8] = fma64(radius * Math.sin(theta), std, mean);
      }
}

// In float32 PyTorch evaluates the polynomials of Moshier's Cephes library, eight at a time, and
// its compiler fuses each product with the sum it goes into. To draw the same bits, the order of
// operations below is that of the compiled code, and each of them rounds to float32.

const TWO_PI = Math.fround(2 * Math.PI);

function normalInPlace32(out: Float32Array, mean: number, std: number): void {
  for (let start = 0; start + 16 <= out.length; start += 16)
    for (let i = start; i < start + 8; i++) {
      const radius = Math.fround(Math.sqrt(-2 * log32(Math.fround(1 - out[i]))));
      const theta = Math.fround(TWO_PI * out[i + 8]);

      // The angle less the nearest even number of eighths of a turn, π/4 each, in three pieces.
      const eighths = (Math.trunc(Math.fround(theta * FOUR_OVER_PI)) + 1) & ~1;
      let x = theta;
      for (const piece of MINUS_QUARTER_PI) x = fma32(eighths, piece, x);
      const [sin, cos] = eighths & 2 ? [cos32(x), sin32(x)] : [sin32(x), cos32(x)];
      const above = eighths & 4 ? -1 : 1;
      const right = (eighths + 2) & 4 ? -1 : 1;

      out[i] = fma32(Math.fround(radius * cos * right), std, mean);
      out[i + 8] = fma32(Math.fround(radius * sin * above), std, mean);
    }
}

const FOUR_OVER_PI = Math.fround(1.27323954473516);
const MINUS_QUARTER_PI = Float32Array.of(
  -0.78515625,
  -2.4187564849853515625e-4,
  -3.77489497744594108e-8,
);

/** $c_0 x^n + \dots + c_n$ by Horner's rule, one rounding a step. */
function polynomial32(coefficients: Float32Array, x: number): number {
  let y = coefficients[0];
  for (let i = 1; i < coefficients.length; i++) y = fma32(y, x, coefficients[i]);
  return y;
}

const LOG = Float32Array.of(
  7.0376836292e-2,
  -1.151461031e-1,
  1.167699874e-1,
  -1.2420140846e-1,
  1.4249322787e-1,
  -1.6668057665e-1,
  2.0000714765e-1,
  -2.4999993993e-1,
  3.3333331174e-1,
);
const SQRT_HALF = Math.fround(Math.SQRT1_2);
const LN_2_HIGH = Math.fround(0.693359375);
const LN_2_LOW = Math.fround(-2.1219444e-4);

/** The natural logarithm of a whole number of 2⁻²⁴, at least one and at most 1. */
function log32(u: number): number {
  const bits = 32 - Math.clz32(u * 2 ** 24);
  let exponent = bits - 24;
  let x = (u * 2 ** 24) / (1 << bits); // u = x · 2^exponent with x in [1/2, 1)
  if (x < SQRT_HALF) {
    exponent -= 1;
    x += x;
  }
  x -= 1;
  const square = Math.fround(x * x);
  let y = Math.fround(polynomial32(LOG, x) * x);
  y = fma32(y, square, Math.fround(exponent * LN_2_LOW));
  y = fma32(square, -0.5, y);
  return fma32(exponent, LN_2_HIGH, Math.fround(x + y));
}

const SIN = Float32Array.of(-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1);
const COS = Float32Array.of(2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2);

/** The sine of an angle of at most π/4. */
function sin32(x: number): number {
  const square = Math.fround(x * x);
  return fma32(Math.fround(polynomial32(SIN, square) * square), x, x);
}

/** The cosine of an angle of at most π/4. */
function cos32(x: number): number {
  const square = Math.fround(x * x);
  const y = Math.fround(polynomial32(COS, square) * square);
  return Math.fround(fma32(y, square, -0.5 * square) + 1);
}

// ## The order of the samples
//
// A pass over a PyTorch `DataLoader` draws two seeds: one for its worker processes, drawn even
// when there are none and nothing is shuffled, and one for its sampler, if it shuffles, which
// makes a fresh generator of it. Both functions draw the same seeds, so that a run that trains
// and validates in turn sees each epoch in the order in which PyTorch sees it.

/**
 * The order in which one pass over `DataLoader(dataset, shuffle=True)` visits `n` samples,
 * for any batch size: a permutation of 0 to `n − 1`.
 *
 * `generator` stands for PyTorch's default generator, and has moved on by two seeds.
 */
export function shuffledOrder(n: number, generator: Generator = defaultGenerator): Int32Array {
  generator.randomInt64();
  return new Generator(generator.randomInt64()).randperm(n);
}

/** The same for `shuffle=False`: 0 to `n − 1`; `generator` has moved on by one seed. */
export function sequentialOrder(n: number, generator: Generator = defaultGenerator): Int32Array {
  generator.randomInt64();
  return Int32Array.from({ length: n }, (_, i) => i);
}

// ## Philox4x32-10
//
// A block cipher, too weak for secrets and good enough for chance: ten rounds mix a counter of
// four words under a key of two. All numbers are unsigned and of 32 bits; high and low are the
// halves of a product of 64. A round makes of counter $c$ and key $k$
//
// $$ (\mathrm{high}(M_1 c_2) \oplus c_1 \oplus k_0,\ \mathrm{low}(M_1 c_2),\
//     \mathrm{high}(M_0 c_0) \oplus c_3 \oplus k_1,\ \mathrm{low}(M_0 c_0)) $$
//
// and between two rounds each key word grows by a constant of its own, modulo $2^{32}$.

const MULTIPLIER_0 = 0xd2511f53;
const MULTIPLIER_1 = 0xcd9e8d57;
const KEY_STEP_0 = 0x9e3779b9; // the golden ratio's fraction
const KEY_STEP_1 = 0xbb67ae85; // √3 − 1

/** The high 32 of the 64 bits of `a * b`, by halves of 16 bits, none of whose sums overflows. */
function highHalf(a: number, b: number): number {
  const [a0, a1, b0, b1] = [a & 0xffff, a >>> 16, b & 0xffff, b >>> 16];
  const middle = Math.imul(a1, b0) + (Math.imul(a0, b0) >>> 16);
  const other = Math.imul(a0, b1) + (middle & 0xffff);
  return (Math.imul(a1, b1) + (middle >>> 16) + (other >>> 16)) | 0;
}

/**
 * The four random words that belong to a counter and a key.
 *
 * Shape: `counter` holds four words, `key` two; each word is a whole number from 0 to 2³² − 1.
 * Source: Salmon, Moraes, Dror and Shaw 2011, “Parallel random numbers: as easy as 1, 2, 3”.
 */
export function philox4x32(
  counter: readonly [number, number, number, number],
  key: readonly [number, number],
): Uint32Array {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < 10; round++) {
    const high0 = highHalf(MULTIPLIER_0, c0);
    const high2 = highHalf(MULTIPLIER_1, c2);
    const low0 = Math.imul(MULTIPLIER_0, c0);
    const low2 = Math.imul(MULTIPLIER_1, c2);
    [c0, c1, c2, c3] = [high2 ^ c1 ^ k0, low2, high0 ^ c3 ^ k1, low0];
    k0 = (k0 + KEY_STEP_0) | 0;
    k1 = (k1 + KEY_STEP_1) | 0;
  }
  return Uint32Array.of(c0, c1, c2, c3);
}

// ## Dropout masks
//
// This is the whole definition; the kernels implement the same sentences.
//
// *A mask belongs to a seed of 64 bits, a step of 32 bits, and a layer of 32 bits. Number the
// elements of the tensor from 0 in row-major order. Element $i$ looks at word $i \bmod 4$ of the
// Philox4x32-10 block whose counter is $[\lfloor i / 4 \rfloor, \mathit{layer}, \mathit{step},
// 0]$ and whose key is $[\mathit{seed} \bmod 2^{32}, \lfloor \mathit{seed} / 2^{32} \rfloor]$,
// word 0 standing first in each. It is kept when that word, as an unsigned number, is at least
// $\lfloor p \cdot 2^{32} \rfloor$, computed from the float64 $p$ and wider than 32 bits; otherwise
// it is dropped.*
//
// So $p = 0$ keeps everything, $p = 1$ drops everything, and $p = 1/2$ drops exactly the words
// whose highest bit is 0. The step is the number of the training step; the layer counts the calls
// of dropout within the step, in the order of the forward pass. The backward pass has the mask of
// its forward pass. PyTorch draws its masks otherwise: ours are the same on every device instead.

/** What one call of dropout in one step draws its mask from. */
export interface DropoutCall {
  /** 64 bits, as for `manualSeed`. */
  readonly seed: number | bigint;
  /** The number of the training step: 0 to 2³² − 1. */
  readonly step: number;
  /** How many calls of dropout came before in this step: 0 to 2³² − 1. */
  readonly layer: number;
}

/**
 * Fills `out` with 1 where an element is kept and 0 where it is dropped.
 *
 * Units: `p` is the probability of being dropped, in [0, 1].
 * Throws: RangeError for another `p`, or a step or layer that is no 32-bit number.
 */
export function dropoutMask(out: Uint8Array, p: number, call: DropoutCall): void {
  if (!(p >= 0 && p <= 1))
    throw new RangeError(`dropout: p is a probability, from 0 to 1, got ${p}`);
  const { step, layer } = call;
  requireWord("dropout: step", step);
  requireWord("dropout: layer", layer);
  const seed = seedBits(call.seed);
  const key = [Number(seed & 0xffffffffn), Number(seed >> 32n)] as const;
  const threshold = Math.floor(p * TWO_POW_32);
  for (let i = 0; i < out.length; i += 4) {
    const words = philox4x32([i / 4, layer, step, 0], key);
    const end = Math.min(4, out.length - i);
    for (let j = 0; j < end; j++) out[i + j] = words[j] >= threshold ? 1 : 0;
  }
}

/** Where the numbering of dropout masks stands; plain data, which survives JSON. */
export interface DropoutState {
  /** The seed in decimal digits: JSON has no 64-bit numbers. */
  readonly seed: string;
  readonly step: number;
  readonly layer: number;
}

/** Hands each call of dropout its seed, step and layer. */
export class DropoutStream {
  private seed = DEFAULT_SEED;
  private step = 0;
  private layer = 0;

  /** Starts over at step 0. Throws: RangeError, as `Generator.manualSeed` does. */
  manualSeed(seed: number | bigint): void {
    this.seed = seedBits(seed);
    this.setStep(0);
  }

  /** Begins a training step: its next mask is that of layer 0. */
  setStep(step: number): void {
    requireWord("dropout: step", step);
    this.step = step;
    this.layer = 0;
  }

  /** The next call of dropout in this step. */
  nextLayer(): DropoutCall {
    const { seed, step } = this;
    return { seed, step, layer: this.layer++ };
  }

  /** Where the stream stands, as plain data that survives JSON. */
  getState(): DropoutState {
    return { seed: String(this.seed), step: this.step, layer: this.layer };
  }

  /** Goes on where `getState` was called. Throws: TypeError or RangeError for another state. */
  setState({ seed, step, layer }: DropoutState): void {
    const bits = savedSeed(seed);
    requireWord("dropout: step", step);
    requireWord("dropout: layer", layer);
    [this.seed, this.step, this.layer] = [bits, step, layer];
  }
}

// ## The ones that everything draws from unless told otherwise

/**
 * Draws initial weights and shuffles. Differs from PyTorch: it starts at the default seed in
 * every process, so that a run is repeatable even if nobody gave a seed.
 */
export const defaultGenerator = new Generator();

/** Numbers the dropout masks of the training run. */
export const dropoutState = new DropoutStream();

/**
 * Seeds the default generator, as `torch.manual_seed` does, and starts the dropout masks over.
 *
 * Throws: RangeError for a fraction, or a seed outside −2⁶³ … 2⁶⁴ − 1.
 */
export function manualSeed(seed: number | bigint): Generator {
  dropoutState.manualSeed(seed);
  return defaultGenerator.manualSeed(seed);
}
