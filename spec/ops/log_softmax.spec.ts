// # Properties of the logarithm of softmax

import assert from "node:assert/strict";
import fc from "fast-check";
import { add, fromData, logSoftmax, softmax, tensor } from "convnotes";
import { integers, ordinary } from "../arbitraries.js";
import { bothFloat64, within } from "../rounding.js";
import "../seed.js";
import type { Values } from "../values.js";
import { law } from "./log_softmax.law.js";
import { inRows, law as softmaxLaw } from "./softmax.law.js";

const from = ({ shape, data }: Values) => fromData(Float64Array.from(data), shape);

describe("log_softmax", () => {
  it("is the logarithm of softmax, as far as that can be told", () => {
    fc.assert(
      fc.property(inRows(ordinary), (c) => {
        const [logs, shares] = [logSoftmax, softmax].map((op) =>
          Array.from(op(from(c.inputs[0]!), c.options).data, Number),
        );
        const [error] = law.bound(c, bothFloat64);
        const [bound] = softmaxLaw.bound(c, bothFloat64);
        logs.forEach((log, i) => {
          // An error in the logarithm is a relative one in the share; exp adds its own.
          const relative = Math.expm1(error![i] + 5 * bothFloat64.unit);
          assert(within(Math.exp(log), shares[i], bound![i] + Math.exp(log) * relative));
        });
      }),
    );
  });

  it("does not notice when all scores are moved by a whole number, to the last bit", () => {
    fc.assert(
      fc.property(inRows(integers), integers, (c, by) => {
        const x = from(c.inputs[0]!);
        assert.deepEqual(logSoftmax(add(x, by), c.options).data, logSoftmax(x, c.options).data);
      }),
    );
  });

  it("keeps what softmax rounds to 0", () => {
    assert.deepEqual(logSoftmax(tensor([0, -1000]), { dim: 0 }).toArray(), [0, -1000]);
    assert.deepEqual(logSoftmax(tensor([0, -Infinity]), { dim: 0 }).toArray(), [0, -Infinity]);
  });
});
