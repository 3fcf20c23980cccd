// # From MLP to convolution: the tests
//
// Every step of the derivation is held against the one before it, on images of whole numbers, where
// equal means equal. The dense layers are built here, weight by weight, from the formulas.

import assert from "node:assert/strict";
import fc from "fast-check";
import {
  add,
  conv2d,
  LeNet,
  linear,
  manualSeed,
  mul,
  nn,
  noGrad,
  optim,
  pad,
  reshape,
  type Shape,
  ShapeError,
  sum,
  summarize,
  tensor,
  type Tensor,
  withDevice,
  zeros,
} from "convnotes";
import { build, combine, convCases, equal, forAll, integers, numbers, reader } from "./cases.js";
import { inner, refute, whole } from "./cases.js";
import { fieldAlong, layerStacks, runStack, windowsOf } from "./fields.js";
import { statement } from "./statement.js";
import { readChapters } from "../statements.js";

// ## Dense layers on images

const imageSizes = fc.record({ height: whole(1, 5), width: whole(1, 5) });

/** An image, and something else that depends on its size. */
const withImage = <T>(more: (height: number, width: number) => fc.Arbitrary<T>) =>
  imageSizes.chain(({ height, width }) =>
    fc.record({ image: integers([height, width]), other: more(height, width) }),
  );

/** `h = w x`, computed by a dense layer from the image as one row. */
function dense(image: Tensor, weight: Tensor): Tensor {
  const [rows, columns, height, width] = weight.shape;
  const flat = reshape(weight, { shape: [rows * columns, height * width] });
  const row = linear(reshape(image, { shape: [1, height * width] }), flat, null);
  return reshape(row, { shape: [rows, columns] });
}

/** Adds an axis for the batch and one for the channels, and takes them away again. */
const onImage = (image: Tensor, f: (x: Tensor) => Tensor): Tensor => {
  const y = f(reshape(image, { shape: [1, 1, ...image.shape] }));
  return reshape(y, { shape: y.shape.slice(2) });
};

const convolve = (image: Tensor, kernel: Tensor, padding: readonly [number, number]): Tensor =>
  onImage(image, (x) =>
    conv2d(x, reshape(kernel, { shape: [1, 1, ...kernel.shape] }), null, { padding }),
  );

/** The dense weights that a kernel stands for: `w[i,j,k,l] = v[k−i, l−j]`, 0 beyond its reach. */
function denseFrom(kernel: Tensor, [height, width]: Shape): Tensor {
  const v = reader(kernel);
  const [up, left] = kernel.shape.map((taps) => (taps - 1) / 2);
  return build([height, width, height, width], (i, j, k, l) => v(k - i + up, l - j + left));
}

/** LeNet up to where the image ends, in float64; its weights are the same in every run. */
function lenetFeatures(): (x: Tensor) => Tensor {
  manualSeed(0);
  const features = new LeNet().net.slice(0, 6).to("float64");
  return (x) => noGrad(() => features.call(x));
}

const impulse = (shape: Shape, at: readonly number[]): Tensor =>
  build(shape, (...index) => (index.every((i, axis) => i === at[axis]) ? 1 : 0));

describe("02 From MLP to convolution", () => {
  statement("mlp-parameters", "counts what the module has, on the meta device", () => {
    const layer = withDevice("meta", () => new nn.Linear(36 * 2 ** 20, 100, { bias: false }));
    const count = [...layer.parameters()].reduce((total, p) => total + p.size, 0);
    const [english] = readChapters().filter((c) => c.name.startsWith("02"));
    const { formulas, body } = english.statements[0];
    const printed = /= ([\d\\,]+) \\approx ([\d.]+) \\times 10\^\{(\d+)\}/.exec(formulas[0])!;
    assert.equal(count, Number(printed[1].replaceAll("\\,", "")));
    const rounded = (Math.round(count / 10 ** (Number(printed[3]) - 1)) / 10).toFixed(1);
    assert.equal(rounded, printed[2]);
    assert.equal(((count * 4) / 1e9).toFixed(1), /([\d.]+) GB/.exec(body)![1]);
  });

  statement("mlp", "is the weighted sum of all inputs", () => {
    forAll(
      [
        fc
          .tuple(whole(1, 6), whole(1, 6))
          .chain(([i, j]) => fc.record({ x: integers([1, j]), w: integers([i, j]) })),
      ],
      ({ x, w }) => {
        const [xAt, wAt] = [reader(x), reader(w)];
        const h = build([1, w.shape[0]], (_, i) =>
          numbers(x).reduce((total, _, j) => total + wAt(i, j) * xAt(0, j), 0),
        );
        equal(linear(x, w, null), h);
      },
    );
  });

  statement("mlp", "does not notice a permutation of the pixels", () => {
    const drawn = whole(1, 6).chain((j) =>
      fc.record({
        x: integers([1, j]),
        w: integers([3, j]),
        order: fc.shuffledSubarray([...Array(j).keys()], { minLength: j }),
      }),
    );
    forAll([drawn], ({ x, w, order }) => {
      const permuted = (t: Tensor) => {
        const at = reader(t);
        return build(t.shape, (row, j) => at(row, order[j]));
      };
      equal(linear(permuted(x), permuted(w), null), linear(x, w, null));
    });
  });

  statement("mlp-2d", "is the dense layer on the image as one row", () => {
    forAll([withImage((h, w) => integers([h, w, h, w]))], ({ image, other: weight }) => {
      const [x, w] = [reader(image), reader(weight)];
      const [height, width] = image.shape;
      const h = build([height, width], (i, j) => {
        let total = 0;
        for (let k = 0; k < height; k++)
          for (let l = 0; l < width; l++) total += w(i, j, k, l) * x(k, l);
        return total;
      });
      equal(dense(image, weight), h);
    });
  });

  statement("relative", "says the same with offsets for positions", () => {
    forAll([withImage((h, w) => integers([h, w, h, w]))], ({ image, other: weight }) => {
      const [height, width] = image.shape;
      const w = reader(weight);
      const v = reader(
        build([height, width, 2 * height - 1, 2 * width - 1], (i, j, a, b) =>
          w(i, j, i + a - (height - 1), j + b - (width - 1)),
        ),
      );
      const x = reader(image);
      const h = build([height, width], (i, j) => {
        let total = 0;
        for (let a = 1 - height; a < height; a++)
          for (let b = 1 - width; b < width; b++)
            total += v(i, j, a + height - 1, b + width - 1) * x(i + a, j + b);
        return total;
      });
      equal(dense(image, weight), h);
    });
  });

  const sharedKernels = withImage((h, w) => integers([2 * h - 1, 2 * w - 1]));

  statement("invariance", "a dense layer with shared weights is conv2d", () => {
    forAll([sharedKernels], ({ image, other: kernel }) => {
      const [height, width] = image.shape;
      equal(
        dense(image, denseFrom(kernel, image.shape)),
        convolve(image, kernel, [height - 1, width - 1]),
      );
    });
  });

  statement("invariance", "without it no kernel computes the dense layer", () => {
    // The answer to a pixel at (0, 0) tells the only kernel that could do it, for what lies below
    // and to the right; it must then answer a pixel elsewhere wrongly.
    refute([withImage((h, w) => integers([h, w, h, w]))], ({ image, other: weight }) => {
      const [height, width] = image.shape;
      const w = reader(weight);
      const kernel = build([2 * height - 1, 2 * width - 1], (a, b) => {
        const [up, left] = [a - (height - 1), b - (width - 1)];
        return w(Math.max(0, -up), Math.max(0, -left), Math.max(0, up), Math.max(0, left));
      });
      equal(dense(image, weight), convolve(image, kernel, [height - 1, width - 1]));
    });
  });

  const reaches = fc
    .record({ height: whole(2, 6), width: whole(2, 6), delta: whole(0, 2) })
    .chain(({ height, width, delta }) =>
      fc.record({
        image: integers([height, width]),
        kernel: integers([2 * delta + 1, 2 * delta + 1]),
        delta: fc.constant(delta),
        pixel: fc.tuple(whole(0, height - 1), whole(0, width - 1)),
        value: whole(5, 9),
      }),
    );

  statement("locality", "weights that are zero beyond the reach need not be stored", () => {
    forAll([reaches], ({ image, kernel, delta }) => {
      const [height, width] = image.shape;
      const near = reader(kernel);
      const far = build([2 * height - 1, 2 * width - 1], (a, b) =>
        near(a - (height - 1) + delta, b - (width - 1) + delta),
      );
      const small = convolve(image, kernel, [delta, delta]);
      equal(small, convolve(image, far, [height - 1, width - 1]));
      equal(small, dense(image, denseFrom(kernel, image.shape)));
    });
  });

  statement("locality", "a pixel changes exactly what is within its reach", () => {
    forAll([reaches], ({ image, kernel, delta, pixel, value }) => {
      const changed = image.clone();
      changed.data[pixel[0] * image.shape[1] + pixel[1]] = value;
      const [before, after] = [image, changed].map((x) =>
        reader(convolve(x, kernel, [delta, delta])),
      );
      const v = reader(kernel);
      for (let i = 0; i < image.shape[0]; i++)
        for (let j = 0; j < image.shape[1]; j++)
          assert.equal(
            before(i, j) !== after(i, j),
            v(pixel[0] - i + delta, pixel[1] - j + delta) !== 0,
            `hidden unit (${i}, ${j}) for a change at (${pixel.join(", ")})`,
          );
    });
  });

  statement("locality", "without it a far pixel does matter", () => {
    refute([sharedKernels, whole(0, 1)], ({ image, other: kernel }, delta) => {
      const [height, width] = image.shape;
      const v = reader(kernel);
      const cut = build([2 * delta + 1, 2 * delta + 1], (a, b) =>
        v(a - delta + height - 1, b - delta + width - 1),
      );
      equal(dense(image, denseFrom(kernel, image.shape)), convolve(image, cut, [delta, delta]));
    });
  });

  statement("kernel-size", "has the support 2Δ + 1 exactly", () => {
    forAll([whole(0, 3), fc.boolean()], (delta, negative) => {
      const side = 2 * delta + 1;
      const kernel = build([side, side], () => (negative ? -3 : 2));
      const size = 2 * delta + 7;
      const centre = delta + 3;
      const answer = reader(
        convolve(impulse([size, size], [centre, centre]), kernel, [delta, delta]),
      );
      let answering = 0;
      for (let i = 0; i < size; i++)
        for (let j = 0; j < size; j++) {
          const inside = Math.abs(i - centre) <= delta && Math.abs(j - centre) <= delta;
          assert.equal(answer(i, j) !== 0, inside, `hidden unit (${i}, ${j}), Δ = ${delta}`);
          if (inside) answering++;
        }
      assert.equal(answering, (2 * delta + 1) ** 2);
    });
  });

  statement("kernel-size", "no window of 2Δ rows keeps the size with equal padding", () => {
    forAll([whole(1, 4), whole(0, 6), whole(8, 12)], (delta, padding, size) => {
      const kernel = zeros([1, 1, 2 * delta, 2 * delta], { device: "meta" });
      const image = zeros([1, 1, size, size], { device: "meta" });
      assert.notEqual(conv2d(image, kernel, null, { padding }).shape[2], size);
    });
  });

  const odd = fc.tuple(whole(0, 2), whole(1, 5), whole(1, 5)).chain(([delta, height, width]) =>
    fc.record({
      kernel: integers([2 * delta + 1, 2 * delta + 1]),
      image: integers([height, width]),
    }),
  );

  const turned = (kernel: Tensor): Tensor => {
    const v = reader(kernel);
    const [rows, columns] = kernel.shape;
    return build(kernel.shape, (a, b) => v(rows - 1 - a, columns - 1 - b));
  };

  statement("convolution", "is cross-correlation with the kernel turned by 180°", () => {
    forAll([odd], ({ kernel, image }) => {
      const delta = (kernel.shape[0] - 1) / 2;
      const [v, x] = [reader(kernel), reader(image)];
      const h = build(image.shape, (i, j) => {
        let total = 0;
        for (let a = -delta; a <= delta; a++)
          for (let b = -delta; b <= delta; b++) total += v(a + delta, b + delta) * x(i - a, j - b);
        return total;
      });
      equal(convolve(image, turned(kernel), [delta, delta]), h);
    });
  });

  statement("convolution", "answers a bright pixel with the turned kernel", () => {
    forAll([odd], ({ kernel }) => {
      const side = kernel.shape[0];
      const point = impulse([2 * side - 1, 2 * side - 1], [side - 1, side - 1]);
      equal(convolve(point, kernel, [0, 0]), turned(kernel));
    });
  });

  const shifts = fc
    .record({ m: whole(1, 2), stride: whole(1, 3), taps: whole(1, 3), extra: whole(0, 3) })
    .chain(({ m, stride, taps, extra }) => {
      const height = m * stride + taps + extra;
      return fc.record({
        m: fc.constant(m),
        stride: fc.constant(stride),
        image: integers([1, 1, height, 5]),
        fill: integers([1, 1, height, 5]),
        kernel: integers([2, 1, taps, 3]),
      });
    });

  /** The image moved down by `rows`; what comes in at the top is taken from `fill`. */
  const moved = (image: Tensor, rows: number, fill: Tensor): Tensor => {
    const [x, other] = [reader(image), reader(fill)];
    return build(image.shape, (n, c, k, l) =>
      k < rows ? other(n, c, k, l) : x(n, c, k - rows, l),
    );
  };

  /** Compares the rows of `after` with those of `before` that stand `m` higher. */
  const expectMoved = (before: Tensor, after: Tensor, m: number): void => {
    const [h, h2] = [reader(before), reader(after)];
    const [batch, channels, rows, columns] = after.shape;
    equal(
      build([batch, channels, rows - m, columns], (n, c, i, j) => h2(n, c, i + m, j)),
      build([batch, channels, rows - m, columns], (n, c, i, j) => h(n, c, i, j)),
    );
  };

  statement("translation", "moves the result by one pixel for each stride", () => {
    forAll([shifts], ({ m, stride, image, fill, kernel }) => {
      const f = (x: Tensor) => conv2d(x, kernel, null, { stride });
      expectMoved(f(image), f(moved(image, m * stride, fill)), m);
    });
  });

  statement("translation", "fails at a padded border, and for half a stride", () => {
    refute([shifts], ({ m, stride, image, fill, kernel }) => {
      const f = (x: Tensor) => conv2d(x, kernel, null, { stride, padding: [2, 0] });
      expectMoved(f(image), f(moved(image, m * stride, fill)), m);
    });
    const f = (x: Tensor, kernel: Tensor) => conv2d(x, kernel, null, { stride: 2 });
    for (const m of [0, 1])
      refute([shifts], ({ image, fill, kernel }) => {
        expectMoved(f(image, kernel), f(moved(image, 1, fill), kernel), m);
      });
  });

  statement("translation", "holds for LeNet's feature maps inside the image", () => {
    const net = lenetFeatures();
    const { size, stride, offset } = fieldAlong(windowsOf("lenet").layers);
    const drawn = integers([1, 1, 28, 28], 0, 9);
    forAll(
      [drawn, drawn],
      (image, fill) => {
        const [h, h2] = [image, moved(image, stride, fill)].map((x) => reader(net(x)));
        // Both fields must lie inside the image: that of row i, and that of row i + 1.
        const rows = [0, 1, 2, 3].filter(
          (i) => i * stride >= offset && (i + 1) * stride - offset + size <= 28,
        );
        assert.deepEqual(rows, [1, 2]);
        for (const i of rows)
          for (let c = 0; c < 16; c++)
            for (let j = 0; j < 5; j++)
              assert.equal(h2(0, c, i + 1, j), h(0, c, i, j), `channel ${c}, row ${i}`);
      },
      0.1,
    );
  });

  statement("receptive-field", "nothing outside matters, and both ends do", () => {
    forAll([layerStacks], (layers) => {
      const { size, stride, offset } = fieldAlong(layers);
      const length = size + 2 * stride;
      const at = Math.ceil(offset / stride);
      const from = at * stride - offset;
      const image = build([1, 1, length, 1], (_, __, k) => 1 + ((k * 7) % 5));
      const result = (x: Tensor) => reader(runStack(layers, x))(0, 0, at, 0);
      const before = result(image);
      const matters = Array.from({ length }, (_, k) => {
        // Sums, means and maxima of positive numbers all grow with a very bright pixel.
        const changed = image.clone();
        changed.data[k] = 1000;
        return result(changed) !== before;
      });
      assert.deepEqual(
        [matters.indexOf(true), matters.lastIndexOf(true)],
        [from, from + size - 1],
        JSON.stringify(layers),
      );
    });
  });

  for (const name of ["notes_example", "lenet", "lenet_bn", "alexnet", "vgg", "nin"])
    statement("receptive-field", `is what summary reports for ${name}`, () => {
      const { layers, reported } = windowsOf(name);
      const fields = layers.map((_, i) => fieldAlong(layers.slice(0, i + 1)).size);
      assert.ok(fields.length > 0);
      assert.deepEqual(
        reported,
        fields.map((size) => [size, size]),
      );
    });

  statement(
    "receptive-field",
    "is exact for LeNet: outside nothing changes, at each corner all does",
    () => {
      const net = lenetFeatures();
      const { size, stride, offset } = fieldAlong(windowsOf("lenet").layers);
      forAll(
        [integers([1, 1, 28, 28], 0, 9), integers([1, 1, 28, 28], 10, 19)],
        (image, other) => {
          const [i, j] = [1, 2];
          const [top, left] = [i * stride - offset, j * stride - offset];
          const inside = (k: number, l: number) =>
            k >= top && k < top + size && l >= left && l < left + size;
          const [x, z] = [reader(image), reader(other)];
          const at = (t: Tensor) => {
            const y = reader(net(t));
            return Array.from({ length: 16 }, (_, c) => y(0, c, i, j));
          };
          const before = at(image);
          assert.deepEqual(
            at(build(image.shape, (n, c, k, l) => (inside(k, l) ? x : z)(n, c, k, l))),
            before,
          );
          for (const k of [top, top + size - 1])
            for (const l of [left, left + size - 1]) {
              const after = at(
                build(image.shape, (n, c, r, q) => (r === k && q === l ? z : x)(n, c, r, q)),
              );
              assert.ok(
                after.every((v, c) => v !== before[c]),
                `the pixel (${k}, ${l}) changed nothing`,
              );
            }
        },
        0.1,
      );
    },
  );

  statement("receptive-field", "of branches that meet is the widest", () => {
    const create = () => new nn.Inception(1, 1, [1, 1], [1, 1], 1);
    const widest = Math.max(
      ...summarize(create, [1, 1, 9, 9]).rows.map((row) => row.receptiveField?.[0] ?? 0),
    );
    const block = create();
    for (const parameter of block.parameters()) parameter.fill_(1);
    const x = zeros([1, 1, 9, 9], { requiresGrad: true });
    for (let k = 0; k < 81; k++) x.data[k] = k;
    const y = block.call(x);
    y.backward(build(y.shape, (_, __, i, j) => (i === 4 && j === 4 ? 1 : 0)).to("float32"));
    const rows = numbers(x.grad!).flatMap((g, k) => (g === 0 ? [] : [Math.floor(k / 9)]));
    assert.deepEqual(
      [Math.min(...rows), Math.max(...rows)],
      [4 - (widest - 1) / 2, 4 + (widest - 1) / 2],
    );
  });

  const pairs = convCases.chain(({ input, weight, options }) =>
    fc.record({
      options: fc.constant(options),
      x: integers(input),
      x2: integers(input),
      w: integers(weight),
      w2: integers(weight),
      lambda: whole(-5, 5),
      mu: whole(-5, 5),
    }),
  );

  statement("linearity", "holds in the image and in the kernel", () => {
    forAll([pairs], ({ options, x, x2, w, w2, lambda, mu }) => {
      const f = (image: Tensor, kernel: Tensor) => conv2d(image, kernel, null, options);
      equal(f(combine(lambda, x, mu, x2), w), combine(lambda, f(x, w), mu, f(x2, w)));
      equal(f(x, combine(lambda, w, mu, w2)), combine(lambda, f(x, w), mu, f(x, w2)));
    });
  });

  statement("linearity", "a stack of two kernels is one kernel", () => {
    forAll([integers([1, 1, 7, 6]), integers([1, 1, 3, 2]), integers([1, 1, 2, 3])], (x, w, w2) => {
      // The joint kernel is what the second answers to the first, seen with a wide frame.
      const joint = reader(conv2d(w, turnedImage(w2), null, { padding: [1, 2] }));
      const kernel = build([1, 1, 4, 4], joint);
      equal(conv2d(conv2d(x, w, null), w2, null), conv2d(x, kernel, null));
    });
  });

  statement("adjoint", "makes three sums equal, for all settings", () => {
    const drawn = convCases.chain(({ input, weight, options }) => {
      const y = conv2d(
        zeros(input, { device: "meta" }),
        zeros(weight, { device: "meta" }),
        null,
        options,
      );
      return fc.record({
        options: fc.constant(options),
        x: integers(input),
        w: integers(weight),
        dy: integers(y.shape),
      });
    });
    forAll([drawn], ({ options, x, w, dy }) => {
      x.requiresGrad = w.requiresGrad = true;
      const y = conv2d(x, w, null, options);
      y.backward(dy);
      assert.equal(inner(y, dy), inner(x, x.grad!), "⟨y, dy⟩ = ⟨x, dx⟩");
      assert.equal(inner(y, dy), inner(w, w.grad!), "⟨y, dy⟩ = ⟨w, dw⟩");
    });
  });

  const edgeKernel = (): Tensor => tensor([[[[1, -1]]]], { dtype: "float64" });

  statement("edge-detector", "answers where neighbours differ, with the sign", () => {
    forAll([integers([1, 1, 4, 5], 0, 1)], (image) => {
      const x = reader(image);
      const h = build([1, 1, 4, 4], (n, c, i, j) => x(n, c, i, j) - x(n, c, i, j + 1));
      equal(conv2d(image, edgeKernel(), null), h);
      const upright = build([1, 1, 5, 4], (n, c, i, j) => x(n, c, j, i));
      const flat = build([1, 1, 4, 5], (n, c, _, j) => x(n, c, 0, j));
      const horizontal = reshape(edgeKernel(), { shape: [1, 1, 2, 1] });
      equal(conv2d(flat, horizontal, null), zeros([1, 1, 3, 5]));
      equal(
        conv2d(upright, horizontal, null),
        build([1, 1, 4, 4], (_, __, i, j) => h.data[j * 4 + i] as number),
      );
    });
  });

  statement("edge-detector", "is found by gradient descent", () => {
    // A dark bar on a bright ground. Every row 1 1 0 0 0 0 1 1 holds seven pairs of neighbours with
    // the Gram matrix (3 2; 2 3), so over six rows the squared error has the Hessian 2·6·(3 2; 2 3),
    // and (1, −1) is an eigenvector to the eigenvalue 12. Steps of 1/64 from zero therefore leave
    // exactly (1 − 12/64)ᵗ of the way, in fractions that float64 holds for a dozen steps.
    const image = build([1, 1, 6, 8], (_, __, ___, l) => (l >= 2 && l < 6 ? 0 : 1));
    const answers = conv2d(image, edgeKernel(), null);
    const kernel = new nn.Parameter(zeros([1, 1, 1, 2], { dtype: "float64" }));
    const optimizer = new optim.SGD([kernel], { lr: 1 / 64 });
    for (let t = 1; t <= 12; t++) {
      optimizer.zeroGrad();
      const error = add(conv2d(image, kernel, null), mul(answers, -1));
      sum(mul(error, error)).backward();
      optimizer.step();
      const left = (13 / 16) ** t;
      equal(kernel, tensor([[[[1 - left, left - 1]]]], { dtype: "float64" }));
    }
  });

  const alongAxis = fc.record({
    size: whole(1, 20),
    k: whole(1, 5),
    p: whole(0, 3),
    s: whole(1, 4),
    d: whole(1, 3),
  });

  statement("output-size", "is the number of places, counted one by one", () => {
    forAll([alongAxis, alongAxis], (rows, columns) => {
      const count = ({ size, k, p, s, d }: typeof rows) => {
        let places = 0;
        while (places * s + d * (k - 1) < size + 2 * p) places++;
        return places;
      };
      const run = (device: string) =>
        conv2d(
          zeros([1, 1, rows.size, columns.size], { device }),
          zeros([1, 1, rows.k, columns.k], { device }),
          null,
          {
            padding: [rows.p, columns.p],
            stride: [rows.s, columns.s],
            dilation: [rows.d, columns.d],
          },
        ).shape;
      const places = [count(rows), count(columns)];
      if (Math.min(...places) === 0) {
        assert.throws(() => run("cpu"), ShapeError);
        return;
      }
      const formula = [rows, columns].map(
        ({ size, k, p, s, d }) => Math.floor((size + 2 * p - d * (k - 1) - 1) / s) + 1,
      );
      assert.deepEqual(formula, places);
      assert.deepEqual(run("cpu"), [1, 1, ...places]);
      assert.deepEqual(run("meta"), [1, 1, ...places]);
    });
  });

  statement("same-padding", "keeps every size, and 28 × 28 in LeNet", () => {
    forAll([whole(0, 4), whole(1, 12), whole(1, 12)], (p, height, width) => {
      const k = 2 * p + 1;
      const y = conv2d(zeros([1, 1, height, width]), zeros([1, 1, k, k]), null, { padding: p });
      assert.deepEqual(y.shape, [1, 1, height, width]);
    });
    const [layer] = windowsOf("lenet").layers;
    assert.deepEqual([layer.kernel, layer.padding], [5, 2]);
    assert.deepEqual(new LeNet().net[0].call(zeros([1, 1, 28, 28])).shape, [1, 6, 28, 28]);
  });

  const simple = fc.tuple(
    integers([2, 2, 4, 5]),
    integers([3, 2, 2, 3]),
    fc.tuple(whole(0, 2), whole(0, 2)),
  );

  statement("padding", "is a frame of zeros", () => {
    forAll([simple], ([x, w, padding]) => {
      const framed = pad(x, {
        padding: [padding[1], padding[1], padding[0], padding[0]],
        value: 0,
      });
      equal(conv2d(x, w, null, { padding }), conv2d(framed, w, null));
    });
  });

  statement("stride", "keeps every s-th result", () => {
    forAll([simple, whole(1, 3), whole(1, 3)], ([x, w, padding], down, right) => {
      const all = reader(conv2d(x, w, null, { padding }));
      const some = conv2d(x, w, null, { padding, stride: [down, right] });
      equal(
        some,
        build(some.shape, (n, o, i, j) => all(n, o, i * down, j * right)),
      );
    });
  });

  statement("dilation", "is a kernel with zeros in between", () => {
    forAll(
      [integers([2, 2, 6, 8]), integers([3, 2, 2, 3]), whole(1, 3), whole(1, 3)],
      (x, w, d, e) => {
        const at = reader(w);
        const spread = build([3, 2, d + 1, 2 * e + 1], (o, c, a, b) =>
          a % d === 0 && b % e === 0 ? at(o, c, a / d, b / e) : 0,
        );
        equal(conv2d(x, w, null, { dilation: [d, e] }), conv2d(x, spread, null));
      },
    );
  });
});

const turnedImage = (w: Tensor): Tensor => {
  const at = reader(w);
  const [, , rows, columns] = w.shape;
  return build(w.shape, (n, c, a, b) => at(n, c, rows - 1 - a, columns - 1 - b));
};
