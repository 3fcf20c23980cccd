// # The laws, by name
//
// The same laws that spec/laws.ts finds by looking into its folder, listed, so that they can be packed
// into a program that has no folder.

import type { Law } from "../../spec/laws.js";
import { law as adam } from "../../spec/ops/adam.law.js";
import { law as adaptiveAvgPool2d } from "../../spec/ops/adaptive_avg_pool2d.law.js";
import { law as add } from "../../spec/ops/add.law.js";
import { law as argmax } from "../../spec/ops/argmax.law.js";
import { law as avgPool2d } from "../../spec/ops/avg_pool2d.law.js";
import { law as batchNorm } from "../../spec/ops/batch_norm.law.js";
import { law as concat } from "../../spec/ops/concat.law.js";
import { law as conv2d } from "../../spec/ops/conv2d.law.js";
import { law as crossEntropy } from "../../spec/ops/cross_entropy.law.js";
import { law as dropout } from "../../spec/ops/dropout.law.js";
import { law as gatherImages } from "../../spec/ops/gather_images.law.js";
import { law as linear } from "../../spec/ops/linear.law.js";
import { law as logSoftmax } from "../../spec/ops/log_softmax.law.js";
import { law as matmul } from "../../spec/ops/matmul.law.js";
import { law as max } from "../../spec/ops/max.law.js";
import { law as maxPool2d } from "../../spec/ops/max_pool2d.law.js";
import { law as mean } from "../../spec/ops/mean.law.js";
import { law as mul } from "../../spec/ops/mul.law.js";
import { law as narrow } from "../../spec/ops/narrow.law.js";
import { law as pad } from "../../spec/ops/pad.law.js";
import { law as permute } from "../../spec/ops/permute.law.js";
import { law as relu } from "../../spec/ops/relu.law.js";
import { law as sgd } from "../../spec/ops/sgd.law.js";
import { law as sigmoid } from "../../spec/ops/sigmoid.law.js";
import { law as softmax } from "../../spec/ops/softmax.law.js";
import { law as sum } from "../../spec/ops/sum.law.js";
import { law as tanh } from "../../spec/ops/tanh.law.js";

/** Every operation that computes something; a reshape copies nothing. */
export const laws: readonly Law[] = [
  ...([conv2d, linear, matmul, maxPool2d, avgPool2d, adaptiveAvgPool2d, batchNorm] as Law[]),
  ...([relu, sigmoid, tanh, softmax, logSoftmax, crossEntropy, dropout] as Law[]),
  ...([add, mul, sum, mean, max, argmax, concat, narrow, pad, permute] as Law[]),
  ...([gatherImages, sgd, adam] as Law[]),
];
