// # Slips that the statements notice
//
// A test that cannot fail shows nothing. So each statement names slips: mistakes planted into the
// source that its tests must notice. Many are those of the operations' own laws
// (`spec/mutants.ts`), named here by `room: slip`; the others follow. `npm run test:mutants` plants
// each and fails when a statement that names it still holds.

/** A change of the source text, which must stand there exactly once. */
export interface Slip {
  /** Below `reference/`. */
  readonly file: string;
  readonly slip: string;
  readonly find: string;
  readonly replace: string;
}

export const slips: readonly Slip[] = [
  {
    file: "nn/linear.ts",
    slip: "every layer has a bias",
    find: "this.bias = bias ? new Parameter(zeros([outFeatures])) : null;",
    replace: "this.bias = new Parameter(zeros([outFeatures]));",
  },
  {
    file: "ops/linear.ts",
    slip: "the weight is read by columns",
    find: "total += X[x + i] * W[w + i];",
    replace: "total += X[x + i] * W[i * O + o];",
  },
  {
    file: "ops/conv2d.ts",
    slip: "rows have no stride",
    find: "const h = i * stride[0] + a",
    replace: "const h = i + a",
  },
  {
    file: "ops/conv2d.ts",
    slip: "rows are not dilated",
    find: "a * dilation[0] - padding[0];",
    replace: "a - padding[0];",
  },
  {
    file: "ops/conv2d.ts",
    slip: "padding repeats the edge",
    find: "const h = i * stride[0] + a * dilation[0] - padding[0];",
    replace:
      "const h = Math.min(H - 1, Math.max(0, i * stride[0] + a * dilation[0] - padding[0]));",
  },
  {
    file: "ops/conv2d.ts",
    slip: "only the magnitude of a weight counts",
    find: "Y[y0 + j] += factor * X[x0 + j * step];",
    replace: "Y[y0 + j] += Math.abs(factor) * X[x0 + j * step];",
  },
  {
    file: "ops/conv2d.ts",
    slip: "products overwrite one another",
    find: "Y[y0 + j] += factor * X[x0 + j * step];",
    replace: "Y[y0 + j] = factor * X[x0 + j * step];",
  },
  {
    file: "ops/conv2d.ts",
    slip: "every channel has the first kernel",
    find: "((k * perGroup + c) * kernel[0] + a) * kernel[1] + b;",
    replace: "(c * kernel[0] + a) * kernel[1] + b;",
  },
  {
    file: "ops/conv2d.ts",
    slip: "work is counted by output channels",
    find: "output[3] * weight[1] * weight[2]",
    replace: "output[3] * weight[0] * weight[2]",
  },
  {
    file: "window.ts",
    slip: "padding counts on one side only",
    find: "const room = size + 2 * p - d * (k - 1) - 1;\n    if",
    replace: "const room = size + p - d * (k - 1) - 1;\n    if",
  },
  {
    file: "window.ts",
    slip: "the last plane is left out",
    find: "start < data.length;",
    replace: "start < data.length - size;",
  },
  {
    file: "ops/max_pool2d.ts",
    slip: "the smallest wins",
    find: "plane[j] > plane[best]",
    replace: "plane[j] < plane[best]",
  },
  {
    file: "ops/max_pool2d.ts",
    slip: "the largest magnitude wins",
    find: "plane[j] > plane[best]",
    replace: "Math.abs(plane[j]) > Math.abs(plane[best])",
  },
  {
    file: "ops/max_pool2d.ts",
    slip: "the first pixel wins",
    find: "plane[j] > plane[best]",
    replace: "j < best",
  },
  {
    file: "ops/avg_pool2d.ts",
    slip: "the sum is not divided",
    find: "sum / divisor",
    replace: "sum",
  },
  {
    file: "window.ts",
    slip: "places are rounded up",
    find: "return Math.floor(room / s) + 1;",
    replace: "return Math.ceil(room / s) + 1;",
  },
  {
    file: "nn/conv.ts",
    slip: "layers have no bias unless asked for",
    find: "groups = 1, bias = true }",
    replace: "groups = 1, bias = false }",
  },
  {
    file: "nn/init.ts",
    slip: "the interval is as wide as the deviation",
    find: "Math.sqrt(3) * xavierStd(t, gain)",
    replace: "xavierStd(t, gain)",
  },
  {
    file: "nn/init.ts",
    slip: "only what goes in counts",
    find: "Math.sqrt(2 / (fanIn + fanOut))",
    replace: "Math.sqrt(1 / fanIn)",
  },
  {
    file: "train/loop.ts",
    slip: "the smallest score is the answer",
    find: "scores[i * classes + k] > scores",
    replace: "scores[i * classes + k] < scores",
  },
  {
    file: "ops/batch_norm.ts",
    slip: "the mean stays",
    find: "const normal = (input.data[i] - mean.data[c]) * inverse[c];",
    replace: "const normal = input.data[i] * inverse[c];",
  },
  {
    file: "ops/batch_norm.ts",
    slip: "only the first pixel counts",
    find: "const inner = sizeOf(shape.slice(2));",
    replace: "const inner = Math.min(1, sizeOf(shape.slice(2)));",
  },
  {
    file: "nn/batchnorm.ts",
    slip: "evaluation uses the batch",
    find: "training: this.training || !trackRunningStats",
    replace: "training: true",
  },
  {
    file: "nn/batchnorm.ts",
    slip: "there is no shift",
    find: "bias = true,",
    replace: "bias = false,",
  },
  {
    file: "tape.ts",
    slip: "gradients replace one another",
    find: "gradients.set(x, sum === undefined ? dx : accumulate(sum, dx));",
    replace: "gradients.set(x, dx);",
  },
  {
    file: "nn/residual.ts",
    slip: "the shortcut begins behind the first convolution",
    find: "?? x",
    replace: "?? y",
  },
  {
    file: "nn/residual.ts",
    slip: "the sum is not rectified",
    find: "return relu(add(",
    replace: "return (add(",
  },
  {
    file: "models/resnet.ts",
    slip: "no group halves the image",
    find: "strides: 2 }",
    replace: "strides: 1 }",
  },
  {
    file: "nn/containers.ts",
    slip: "a part goes on to the end",
    find: "this.ownChildren().slice(start, end)",
    replace: "this.ownChildren().slice(start)",
  },
  {
    file: "nn/module.ts",
    slip: "paths are joined by slashes",
    find: "`${path}.${name}`",
    replace: "`${path}/${name}`",
  },
  {
    file: "nn/module.ts",
    slip: "parents come before children",
    find: "for (const child of this.children()) child.apply(visit);\n    visit(this);",
    replace: "visit(this);\n    for (const child of this.children()) child.apply(visit);",
  },
  {
    file: "nn/module.ts",
    slip: "only the root is switched",
    find: "for (const module of this.modules()) module.training = mode;",
    replace: "this.training = mode;",
  },
  {
    file: "nn/module.ts",
    slip: "missing names are overlooked",
    find: "if (strict && missingKeys.length > 0)",
    replace: "if (missingKeys.length > 99)",
  },
  {
    file: "nn/module.ts",
    slip: "buffers stay where they are",
    find: "for (const [, value] of [...this.namedParameters(), ...this.namedBuffers()])",
    replace: "for (const [, value] of this.namedParameters())",
  },
  {
    file: "nn/init.ts",
    slip: "rectifiers are not made up for",
    find: "Math.sqrt(2 / (1 + slope * slope))",
    replace: "Math.sqrt(1 / (1 + slope * slope))",
  },
  {
    file: "tape.ts",
    slip: "a new gradient replaces the old one",
    find: "t.grad = t.grad === null ? own : accumulate(t.grad, own);",
    replace: "t.grad = own;",
  },
  {
    file: "files/torch_file.ts",
    slip: "every tensor has the first one's numbers",
    find: "return { key: keys.get(run)!, offset",
    replace: "return { key: 0, offset",
  },
  {
    file: "summary.ts",
    slip: "strides do not multiply",
    find: "stride[axis] * jump[axis]",
    replace: "stride[axis]",
  },
  {
    file: "nn/inception.ts",
    slip: "the first two paths change places",
    find: "concat([b1, b2, b3, b4], { dim: 1 })",
    replace: "concat([b2, b1, b3, b4], { dim: 1 })",
  },
  {
    file: "nn/inception.ts",
    slip: "the 5×5 window's reduction is a large window itself",
    find: "this.b3_1 = new Conv2d(inChannels, c3[0], 1);",
    replace: "this.b3_1 = new Conv2d(inChannels, c3[0], 5, { padding: 2 });",
  },
  {
    file: "models/googlenet.ts",
    slip: "halving rounds down",
    find: "new MaxPool2d(3, { stride: 2, padding: 1 })",
    replace: "new MaxPool2d(2, { stride: 2 })",
  },
  {
    file: "models/nin.ts",
    slip: "the small network sees neighbours",
    find: "    new Conv2d(outChannels, outChannels, 1),\n    new ReLU(),\n    new Conv2d(outChannels",
    replace:
      "    new Conv2d(outChannels, outChannels, 3, { padding: 1 }),\n    new ReLU(),\n    new Conv2d(outChannels",
  },
  {
    file: "ops/adaptive_avg_pool2d.ts",
    slip: "the sum is not divided",
    find: "y.data[i] += input.data[j] / count",
    replace: "y.data[i] += input.data[j]",
  },
  {
    file: "models/nin.ts",
    slip: "the last block has a 5×5 window",
    find: "ninBlock(384, 10, 3, { stride: 1, padding: 1 })",
    replace: "ninBlock(384, 10, 5, { stride: 1, padding: 2 })",
  },
  {
    file: "models/nin.ts",
    slip: "the first window is padded as AlexNet's is",
    find: "{ stride: 4, padding: 0 }",
    replace: "{ stride: 4, padding: 1 }",
  },
  {
    file: "models/vgg.ts",
    slip: "every convolution of a block sees the block's input channels",
    find: "new Conv2d(i === 0 ? inChannels : outChannels, outChannels, 3, { padding: 1 })",
    replace: "new Conv2d(inChannels, outChannels, 3, { padding: 1 })",
  },
  {
    file: "summary.ts",
    slip: "a window adds all its pixels to the field",
    find: "size[axis] + (kernel[axis] - 1) * jump[axis]",
    replace: "size[axis] + kernel[axis] * jump[axis]",
  },
  {
    file: "models/vgg.ts",
    slip: "the blocks' pooling has the convolutions' window",
    find: "new MaxPool2d(2, { stride: 2 })",
    replace: "new MaxPool2d(3, { stride: 2 })",
  },
  {
    file: "models/vgg.ts",
    slip: "the head has half of the hidden units",
    find: "{ inChannels = 1, imageSize = 224, hidden = 4096, dropout = 0.5 }",
    replace: "{ inChannels = 1, imageSize = 224, hidden = 2048, dropout = 0.5 }",
  },
  {
    file: "ops/relu.ts",
    slip: "negative numbers pass",
    find: "input.data[i] < 0 ? 0 : input.data[i]",
    replace: "input.data[i]",
  },
  {
    file: "ops/relu.ts",
    slip: "a part of the gradient passes where nothing else does",
    find: "y.data[i] <= 0 ? 0 : dy.data[i]",
    replace: "y.data[i] <= 0 ? 0.1 * dy.data[i] : dy.data[i]",
  },
  {
    file: "nn/activation.ts",
    slip: "evaluation drops as well",
    find: "this.training && this.p > 0 ? dropout",
    replace: "this.p > 0 ? dropout",
  },
  {
    file: "models/alexnet.ts",
    slip: "the last dense layer makes a hundred classes",
    find: "new Linear(4096, 10)",
    replace: "new Linear(4096, 100)",
  },
  {
    file: "models/alexnet.ts",
    slip: "the first window is not padded",
    find: "new Conv2d(1, 96, 11, { stride: 4, padding: 1 })",
    replace: "new Conv2d(1, 96, 11, { stride: 4 })",
  },
  {
    file: "random.ts",
    slip: "every layer draws the same mask",
    find: "philox4x32([i / 4, layer, step, 0], key)",
    replace: "philox4x32([i / 4, 0, step, 0], key)",
  },
];

/** For each label the slips that its tests notice. */
export const kills: Readonly<Record<string, readonly string[]>> = {
  // Modules, parameters, files, devices
  sequential: ["containers: a part goes on to the end"],
  "custom-layer": ["mean: the gradient is that of the sum"],
  parameters: ["module: paths are joined by slashes"],
  sharing: ["tape: gradients replace one another"],
  apply: ["module: parents come before children"],
  init: ["init: rectifiers are not made up for"],
  modes: ["module: only the root is switched"],
  autograd: [
    "tape: gradients replace one another",
    "linear: the weight's gradient is the last row's",
    "sigmoid: the gradient is that of tanh",
    "avg_pool2d: the gradient is not divided",
    "adaptive_avg_pool2d: the gradient is not divided",
    "batch_norm: the variance is taken for fixed",
    "concat: every gradient starts at the beginning",
    "dropout: backward draws another mask",
    "cross_entropy: the gradient is not divided",
  ],
  accumulation: ["tape: a new gradient replaces the old one"],
  state: ["module: missing names are overlooked"],
  files: ["torch_file: every tensor has the first one's numbers"],
  devices: ["module: buffers stay where they are"],

  // From MLP to convolution
  "mlp-parameters": ["linear: every layer has a bias"],
  mlp: ["linear: the weight is read by columns"],
  "mlp-2d": ["linear: the weight is read by columns"],
  relative: ["linear: the weight is read by columns"],
  invariance: ["conv2d: the kernel is flipped"],
  locality: ["conv2d: padding is off by one", "conv2d: the last column of each row is dropped"],
  "kernel-size": ["conv2d: padding is off by one"],
  convolution: ["conv2d: the kernel is flipped"],
  translation: ["conv2d: rows have no stride"],
  "receptive-field": ["conv2d: rows are not dilated", "summary: strides do not multiply"],
  linearity: ["conv2d: only the magnitude of a weight counts"],
  adjoint: ["conv2d: the weight's gradient is overwritten, not added up"],
  "edge-detector": ["conv2d: the kernel is flipped"],
  "output-size": ["conv2d: dilation is forgotten in the size of the output"],
  "same-padding": ["window: padding counts on one side only"],
  padding: ["conv2d: padding repeats the edge"],
  stride: ["conv2d: the column's stride is taken for the row's"],
  dilation: ["conv2d: rows are not dilated"],

  // Many channels
  channels: ["conv2d: products overwrite one another"],
  kernels: ["conv2d: every channel has the first kernel"],
  "channel-order": ["conv2d: every channel has the first kernel"],
  bias: ["conv2d: the bias is forgotten", "conv2d: the bias's gradient is the mean, not the sum"],
  groups: ["conv2d: all groups see the first group's channels"],
  "conv-counts": ["conv2d: work is counted by output channels"],

  // Pooling
  pooling: ["max_pool2d: the smallest wins", "avg_pool2d: the sum is not divided"],
  "pooling-channels": ["window: the last plane is left out"],
  "pooling-padding": [
    "max_pool2d: padding takes part as zero",
    "avg_pool2d: padded zeros do not count by default",
  ],
  "pooling-order": ["max_pool2d: the smallest wins", "avg_pool2d: the sum is not divided"],
  "pooling-scaling": ["max_pool2d: the largest magnitude wins"],
  "pooling-monotone": ["max_pool2d: the largest magnitude wins"],
  "pooling-mean-conv": ["avg_pool2d: the sum is not divided"],
  "pooling-impulse": ["max_pool2d: the smallest wins", "avg_pool2d: the sum is not divided"],
  "pooling-place": ["max_pool2d: the first pixel wins"],
  "pooling-size": [
    "window: padding counts on one side only",
    "max_pool2d: an overhanging window may start in the right padding",
  ],
  "pooling-gradient": [
    "max_pool2d: the last of equals wins",
    "avg_pool2d: the gradient is not divided",
  ],

  // GoogLeNet
  inception: ["inception: the first two paths change places"],
  "inception-reduction": ["inception: the 5×5 window's reduction is a large window itself"],
  "googlenet-layers": ["googlenet: halving rounds down"],

  // LeNet
  shapes: ["window: padding counts on one side only", "window: places are rounded up"],
  counts: ["conv: layers have no bias unless asked for"],
  "input-sizes": ["window: places are rounded up"],
  sigmoid: ["sigmoid: the sign is lost", "sigmoid: the gradient is that of tanh"],
  softmax: ["softmax: the largest score is not taken out"],
  "cross-entropy": ["cross_entropy: the gradient is not divided"],
  prediction: ["loop: the smallest score is the answer"],
  xavier: ["init: the interval is as wide as the deviation", "init: only what goes in counts"],
  sgd: ["sgd: the step goes uphill"],

  // Network in network
  "nin-1x1": ["conv2d: every channel has the first kernel"],
  "nin-block": ["nin: the small network sees neighbours"],
  "nin-global-pooling": [
    "adaptive_avg_pool2d: the sum is not divided",
    "adaptive_avg_pool2d: the gradient is not divided",
  ],
  "nin-head": ["nin: the last block has a 5×5 window"],
  "nin-layers": ["nin: the first window is padded as AlexNet's is"],

  // VGG
  "vgg-block": ["vgg: every convolution of a block sees the block's input channels"],
  "vgg-windows": ["summary: a window adds all its pixels to the field"],
  "vgg-composition": ["conv2d: every channel has the first kernel", "relu: negative numbers pass"],
  "vgg-halving": ["vgg: the blocks' pooling has the convolutions' window"],
  "vgg-layers": ["vgg: the head has half of the hidden units"],

  // Batch normalisation
  batchnorm: [
    "batch_norm: the batch is divided by n − 1",
    "batch_norm: eps joins behind the root",
    "batch_norm: bias comes before weight",
  ],
  "batchnorm-moments": ["batch_norm: the batch is divided by n − 1"],
  "batchnorm-affine": ["batch_norm: eps joins behind the root"],
  "batchnorm-bias": ["batch_norm: the mean stays", "batch_norm: the mean is taken for fixed"],
  "batchnorm-axes": ["batch_norm: only the first pixel counts"],
  "batchnorm-gradient": [
    "batch_norm: the mean is taken for fixed",
    "batch_norm: the variance is taken for fixed",
  ],
  "batchnorm-batch": ["batchnorm: evaluation uses the batch"],
  "batchnorm-running": [
    "batch_norm: the running variance is biased",
    "batch_norm: momentum weighs what was, not what is",
  ],
  "batchnorm-eval": ["batch_norm: bias comes before weight"],
  "lenet-bn": ["batchnorm: there is no shift"],

  // AlexNet
  "alexnet-relu": [
    "relu: negative numbers pass",
    "relu: a part of the gradient passes where nothing else does",
  ],
  "alexnet-overlap": ["window: places are rounded up"],
  dropout: [
    "dropout: what is kept is not scaled up",
    "dropout: what is dropped is kept",
    "dropout: backward draws another mask",
    "random: every layer draws the same mask",
    "activation: evaluation drops as well",
  ],
  "alexnet-layers": ["alexnet: the last dense layer makes a hundred classes"],
  "alexnet-input-sizes": [
    "window: places are rounded up",
    "alexnet: the first window is not padded",
  ],

  // ResNet
  vanishing: ["sigmoid: the gradient is that of tanh"],
  "residual-block": ["residual: the sum is not rectified"],
  residual: ["tape: gradients replace one another"],
  "residual-identity": ["residual: the shortcut begins behind the first convolution"],
  "residual-nested": ["residual: the shortcut begins behind the first convolution"],
  "residual-gradient": ["tape: gradients replace one another"],
  "deep-stack": ["sgd: the step goes uphill"],
  "resnet-layers": ["resnet: no group halves the image"],
};
