// # What is fused for GPUs
//
// The notes' networks as plans, without a device and without a number: what has joined what. That the plans
// compute the right thing is tested where they run (emulated/programs.spec.ts).

import assert from "node:assert/strict";
import * as convnotes from "convnotes";
import { gpuKernels } from "./fuse.js";
import type { Plan } from "./plan.js";
import { planStep } from "./program.js";

type Tensor = convnotes.Tensor;

/** The plan of a step for a GPU that has every kernel. */
function planOf(traced: () => convnotes.TracedStep): Plan {
  const step = convnotes.withDevice("meta", () => convnotes.uncomputed(traced));
  const kernels = new Set([...step.graph.nodes.map(({ name }) => name), ...gpuKernels]);
  return planStep(step, { kernels, target: "gpu" });
}

/** That of a network, with its gradients and update or in evaluation. */
const planOfModel = (name: string, training: boolean): Plan =>
  planOf(() => {
    const { create, inputShape } = convnotes.modelNamed(name);
    const model = create().train(training);
    const [x, labels] = [
      convnotes.zeros([2, ...inputShape]),
      convnotes.zeros([2], { dtype: "int64" }),
    ];
    const optimizer = training ? new convnotes.optim.SGD(model.parameters(), { lr: 0.01 }) : null;
    return convnotes.traceStep(model, optimizer, x, labels);
  });

const dropping = (plan: Plan) => plan.calls.filter(({ options }) => "p" in options);
const namesOf = ({ calls }: Plan) => calls.map(({ kernel }) => kernel);

describe("fusions for GPUs", () => {
  // Linear layers, or a pool and a convolution, on both sides.
  for (const [name, dropouts] of Object.entries({ alexnet: 2, vgg: 2, nin: 1 })) {
    it(`leave no dropout of ${name} by itself`, () => {
      const plan = planOfModel(name, true);
      const left = namesOf(plan).filter((kernel) => kernel.startsWith("dropout"));
      assert.deepEqual(left, []);
      assert.equal(dropping(plan).length, 2 * dropouts);
      for (const { varying } of dropping(plan)) assert.deepEqual(varying, ["step", "layer"]);
      assert.deepEqual(dropping(planOfModel(name, false)), []);
    });
  }

  // Batch normalisations behind convolutions, linear layers and, of lenet_bn, both.
  for (const name of ["lenet_bn", "resnet"])
    it(`leave no reading of x for statistics in ${name}`, () => {
      const { calls, buffers } = planOfModel(name, true);
      const norms = calls.filter(({ kernel }) => kernel === "batch_norm");
      assert.ok(norms.length > 0);
      for (const { inputs } of norms) {
        const [x, parts] = [inputs[0]!, inputs[6]!];
        const writer = calls.find(({ outputs }) => outputs[1] === parts);
        assert.equal(writer?.outputs[0], x);
        const [N, C, ...area] = buffers[x].shape;
        const values = area.reduce((product, d) => product * d, N);
        assert.deepEqual(buffers[parts].shape, [C, Math.ceil(values / 64), 4]);
      }
      const evaluated = planOfModel(name, false).calls;
      assert.ok(evaluated.every(({ inputs, outputs }) => inputs.length < 7 && outputs.length < 6));
      assert.ok(
        evaluated.every(({ kernel, outputs }) => kernel === "batch_norm" || outputs.length === 1),
      );
    });

  it("leave a statistics' pass where nobody could leave parts", () => {
    const norms = (f: (x: Tensor) => Tensor) => {
      const plan = planOf(() => {
        const x = convnotes.zeros([2, 3, 4, 5], { requiresGrad: true });
        const w = convnotes.zeros([3, 3, 1, 1]);
        const { graph, result } = convnotes.trace(() => [
          convnotes.batchNorm(f(convnotes.conv2d(x, w, null, {})), ...nothing, { training: true }),
        ]);
        return { graph, inputs: [], outputs: result };
      });
      return plan.calls.filter(({ kernel }) => kernel === "batch_norm");
    };
    const nothing = [null, null, null, null] as const;
    const left = (f: (x: Tensor) => Tensor) => norms(f).map(({ inputs }) => inputs.length === 7);
    assert.deepEqual(
      left((x) => x),
      [true],
    );
    assert.deepEqual(
      left((x) => convnotes.relu(x)),
      [true],
    );
    assert.deepEqual(
      left((x) => convnotes.concat([x, x], { dim: 1 })),
      [false],
    );
    assert.deepEqual(
      left((x) => convnotes.sigmoid(convnotes.add(x, convnotes.relu(x)))),
      [false],
    );
  });

  /** A linear layer, `f`, and another linear layer, with gradients. */
  const between = (f: (x: Tensor) => Tensor) =>
    planOf(() => {
      const leaf = (...shape: number[]) => convnotes.zeros(shape, { requiresGrad: true });
      const leaves = [leaf(2, 3), leaf(4, 3), leaf(5, 4)] as const;
      const { graph, result } = convnotes.trace(() => {
        const [x, w, v] = leaves;
        const y = convnotes.linear(f(convnotes.linear(x, w, null)), v, null);
        y.backward(convnotes.zeros([2, 5]));
        return [y, ...leaves.map(({ grad }) => grad!)];
      });
      return { graph, inputs: [], outputs: result };
    });
  const drop = (x: Tensor, layer = 0) => convnotes.dropout(x, { p: 0.25, seed: 1, step: 2, layer });

  it("let a rectifier's gradient look at what dropout gave, so that the mask is drawn once", () => {
    const plan = between((x) => drop(convnotes.relu(x)));
    const [forward, backward, ...others] = dropping(plan);
    assert.deepEqual(others, []);
    assert.equal((forward.options as { activation?: string }).activation, "relu");
    assert.equal((backward.options as { dropped?: boolean }).dropped, true);
    assert.equal(backward.inputs[2], forward.outputs[0]);
  });

  it("let it look at what came of the same mask", () => {
    const plan = between((x) => {
      const y = convnotes.relu(x);
      const other = drop(y.detach(), 2);
      return convnotes.add(drop(y, 1), other);
    });
    const gated = plan.calls.find(({ options }) => "dropped" in options)!;
    const layerOf = ({ options }: (typeof plan.calls)[number]) =>
      (options as { layer: number }).layer;
    const forward = plan.calls.find(({ outputs }) => outputs[0] === gated.inputs[2])!;
    assert.equal(layerOf(forward), layerOf(gated));
  });

  it("keep what a sigmoid gave for its gradient, which dropout's joins", () => {
    const plan = between((x) => drop(convnotes.sigmoid(x)));
    assert.deepEqual(
      dropping(plan).map(({ kernel }) => kernel),
      ["dropout", "linear_backward_input"],
    );
    assert.ok(dropping(plan).every(({ options }) => !("dropped" in options)));
  });

  it("do not join what is in another order, or what somebody else reads as well", () => {
    const before = between((x) => convnotes.relu(drop(x)));
    assert.ok(namesOf(before).includes("relu"));
    assert.ok(namesOf(before).includes("dropout_backward_input"));
    assert.ok(dropping(before).every(({ options }) => !("activation" in options)));
    const twice = between((x) => drop(drop(convnotes.relu(x), 1), 2));
    assert.equal(namesOf(twice).filter((kernel) => kernel === "dropout").length, 1);
    const shared = between((x) => {
      const y = convnotes.relu(x);
      return convnotes.add(drop(y, 1), drop(y, 2));
    });
    assert.equal(namesOf(shared).filter((kernel) => kernel === "dropout").length, 2);
    assert.ok(shared.calls.every(({ options }) => !("dropped" in options)));
  });
});
