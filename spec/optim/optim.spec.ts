// # Optimisers and schedules
//
// The formulas are judged in `ops/sgd.md` and `ops/adam.md`. Here: that the optimisers use them
// with PyTorch's settings and defaults, on the right parameters with the right state, and that the
// state survives being saved. `fixtures/nn.py` asked PyTorch.

import assert from "node:assert/strict";
import fc from "fast-check";
import { adam, crossEntropy, fromData, nn, optim, rand, sgd, zeros } from "convnotes";
import fixture from "../fixtures/nn.json" with { type: "json" };
import { numbers, whole } from "../nn/numbers.js";
import { bothFloat64, gamma } from "../rounding.js";

interface Settings {
  readonly lr: number;
  readonly momentum?: number;
  readonly dampening?: number;
  readonly nesterov?: boolean;
  readonly weight_decay?: number;
  readonly betas?: number[];
  readonly eps?: number;
}

/** Our optimiser for PyTorch's settings. */
function make(kind: string, parameters: nn.Parameter[], settings: Settings): optim.Optimizer {
  const { weight_decay: weightDecay, betas, ...rest } = settings;
  if (kind === "SGD") return new optim.SGD(parameters, { ...rest, weightDecay });
  const adamSettings = {
    ...rest,
    ...(betas && { betas: [betas[0], betas[1]] as const }),
    weightDecay,
  };
  return new optim[kind as "Adam" | "AdamW"](parameters, adamSettings);
}

const twoParameters = () =>
  [whole([3], 1, "float64"), whole([2, 2], 2, "float64")].map((t) => new nn.Parameter(t));

/** The gradients of step `t`: each parameter has none at every third step. */
function giveGradients([first, second]: nn.Parameter[], t: number): void {
  first.grad = t % 3 === 1 ? null : whole([3], 3 + t, "float64");
  second.grad = t % 3 === 2 ? null : whole([2, 2], 5 + t, "float64");
}

describe("optim: as PyTorch", () => {
  for (const { kind, settings, params, state, group } of fixture.trajectories) {
    const title = `${kind} ${JSON.stringify(settings)}`;

    it(`moves parameters, ${kind === "SGD" ? "exactly" : "within rounding"}: ${title}`, () => {
      const parameters = twoParameters();
      const optimizer = make(kind, parameters, settings);
      // SGD's settings here are such that nothing is rounded. Of Adam both running means are exact;
      // the step is made of 7 rounded operations, shrinking and moving the parameter round twice
      // more, and an error of one step goes on to the next undiminished at most.
      const shrink = kind === "AdamW" ? 1 - settings.lr * (settings.weight_decay ?? 0) : 1;
      let before = parameters.map(numbers);
      const bounds = before.map((list) => list.map(() => 0));
      params.forEach((expected, t) => {
        if (t === params.length / 2) optimizer.paramGroups[0].lr /= 2;
        giveGradients(parameters, t);
        optimizer.step();
        parameters.forEach((parameter, k) =>
          numbers(parameter).forEach((value, i) => {
            const [from, to] = [before[k][i], expected[k][i]];
            if (kind !== "SGD")
              bounds[k][i] +=
                gamma(8, bothFloat64) * (Math.abs(to - shrink * from) + Math.abs(from)) +
                gamma(3, bothFloat64) * Math.max(Math.abs(from), Math.abs(to));
            assert.ok(
              Math.abs(value - to) <= bounds[k][i],
              `step ${t}, parameter ${k}[${i}]: ${value}, PyTorch has ${to}`,
            );
          }),
        );
        before = expected;
      });
    });

    it(`keeps PyTorch's state under PyTorch's names: ${title}`, () => {
      const parameters = twoParameters();
      const optimizer = make(kind, parameters, settings);
      params.forEach((_, t) => {
        if (t === params.length / 2) optimizer.paramGroups[0].lr /= 2;
        giveGradients(parameters, t);
        optimizer.step();
      });
      const saved = optimizer.stateDict();
      const plain = Object.entries(saved.state).map(([i, known]) => [
        i,
        Object.fromEntries(
          Object.entries(known).map(([name, value]) => [
            name,
            typeof value === "number" ? value : value.toArray(),
          ]),
        ),
      ]);
      assert.deepEqual(Object.fromEntries(plain), state);
      const { params: positions, ...own } = saved.param_groups[0];
      assert.deepEqual(positions, group.params);
      for (const [name, value] of Object.entries(own))
        assert.deepEqual(value, (group as Record<string, unknown>)[name], name);
    });
  }

  for (const [kind, group] of Object.entries(fixture.defaults))
    it(`has PyTorch's defaults: ${kind}`, () => {
      const Kind = optim[kind as "SGD" | "Adam" | "AdamW"];
      const optimizer = new Kind([new nn.Parameter(zeros([1]))]);
      const { params, ...own } = optimizer.stateDict().param_groups[0];
      assert.deepEqual(params, [0]);
      assert.ok(Object.keys(own).length >= 4);
      for (const [name, value] of Object.entries(own))
        assert.deepEqual(value, (group as Record<string, unknown>)[name], name);
    });
});

// ## The formula is that of the operation

const fraction = fc.double({ min: 0, max: 0.99, noNaN: true });
const lr = fc.double({ min: 0, max: 2, noNaN: true });
const gradients = fc.array(fc.array(fc.float({ min: -4, max: 4, noNaN: true }), pair()), {
  minLength: 1,
  maxLength: 4,
});
function pair() {
  return { minLength: 2, maxLength: 2 };
}

/** The parameter after each of the steps along `rows`. */
function walk(optimizer: optim.Optimizer, parameter: nn.Parameter, rows: number[][]): number[][] {
  return rows.map((row) => {
    parameter.grad = fromData(Float32Array.from(row));
    optimizer.step();
    return numbers(parameter);
  });
}

describe("optim: the same bits as", () => {
  it("sgd, for all settings", () => {
    const settings = fc.record({
      lr,
      momentum: fc.oneof(fc.constant(0), fraction),
      dampening: fraction,
      weightDecay: fraction,
    });
    fc.assert(
      fc.property(settings, gradients, fc.boolean(), (options, rows, wantsNesterov) => {
        const nesterov = wantsNesterov && options.momentum > 0;
        const given = { ...options, nesterov, dampening: nesterov ? 0 : options.dampening };
        const parameter = new nn.Parameter(whole([2], 1));
        const found = walk(new optim.SGD([parameter], given), parameter, rows);
        const [p, buffer] = [whole([2], 1), zeros([2])];
        const expected = rows.map((row, t) => {
          const gradient = fromData(Float32Array.from(row));
          return numbers(sgd(p, gradient, buffer, { ...given, first: t === 0 }));
        });
        assert.deepEqual(found, expected);
      }),
    );
  });

  it("adam, for all settings, decoupled for AdamW", () => {
    const settings = fc.record({
      lr,
      betas: fc.tuple(fraction, fraction),
      eps: fc.double({ min: 1e-12, max: 1, noNaN: true }),
      weightDecay: fraction,
    });
    fc.assert(
      fc.property(settings, gradients, fc.boolean(), (given, rows, decoupled) => {
        const parameter = new nn.Parameter(whole([2], 1));
        const Kind = decoupled ? optim.AdamW : optim.Adam;
        const found = walk(new Kind([parameter], given), parameter, rows);
        const [p, m, v] = [whole([2], 1), zeros([2]), zeros([2])];
        const { betas, ...rest } = given;
        const expected = rows.map((row, t) => {
          const options = { ...rest, beta1: betas[0], beta2: betas[1], decoupled, step: t + 1 };
          return numbers(adam(p, fromData(Float32Array.from(row)), m, v, options));
        });
        assert.deepEqual(found, expected);
      }),
    );
  });
});

// ## A network learns, and can stop on the way

const kinds: Readonly<Record<string, (model: nn.Module) => optim.Optimizer>> = {
  SGD: (m) => new optim.SGD(m.parameters(), { lr: 0.1, momentum: 0.9, weightDecay: 0.01 }),
  Adam: (m) => new optim.Adam(m.parameters(), { lr: 0.01 }),
  AdamW: (m) => new optim.AdamW(m.parameters(), { lr: 0.01 }),
};

describe("optim: on a network", () => {
  const x = rand([6, 3]);
  const labels = fromData(BigInt64Array.of(0n, 1n, 0n, 1n, 1n, 0n));
  const step = (model: nn.Module, optimizer: optim.Optimizer): number => {
    optimizer.zeroGrad();
    const loss = crossEntropy(model.call(x), labels, null);
    loss.backward();
    optimizer.step();
    return loss.item();
  };
  const network = () => new nn.Sequential(new nn.Linear(3, 4), new nn.Tanh(), new nn.Linear(4, 2));
  const clone = (state: nn.StateDict) =>
    new Map(Array.from(state, ([name, t]) => [name, t.clone()] as const));
  const values = (model: nn.Module) => [...model.parameters()].map(numbers);

  for (const [kind, optimizerOf] of Object.entries(kinds)) {
    it(`${kind} lowers the loss`, () => {
      const model = network();
      const optimizer = optimizerOf(model);
      const losses = Array.from({ length: 20 }, () => step(model, optimizer));
      assert.ok(losses.at(-1)! < losses[0], losses.join(" "));
    });

    it(`${kind} goes on from its saved state with the same bits`, () => {
      const model = network();
      const optimizer = optimizerOf(model);
      for (let t = 0; t < 3; t++) step(model, optimizer);
      optimizer.paramGroups[0].lr = 0.05;

      const other = network();
      other.loadStateDict(model.stateDict());
      const resumed = optimizerOf(other);
      resumed.loadStateDict(optimizer.stateDict());
      for (let t = 0; t < 3; t++)
        assert.equal(step(other, resumed), step(model, optimizer), `step ${t}`);
      assert.deepEqual(values(other), values(model));
    });

    it(`${kind} goes on when the model moves`, () => {
      const model = network();
      const optimizer = optimizerOf(model);
      const before = values(model);
      model.to("float64");
      crossEntropy(model.call(x.to("float64")), labels, null).backward();
      optimizer.step();
      assert.notDeepEqual(values(model), before);
    });
  }

  it("zeroGrad forgets gradients", () => {
    const model = network();
    const optimizer = kinds.SGD(model);
    step(model, optimizer);
    optimizer.zeroGrad();
    assert.ok([...model.parameters()].every((p) => p.grad === null));
  });

  it("a state from before the first step is a beginning", () => {
    const [model, other] = [network(), network()];
    other.loadStateDict(model.stateDict());
    const [optimizer, fresh] = [kinds.SGD(model), kinds.SGD(other)];
    const beginning = { model: clone(model.stateDict()), optimizer: optimizer.stateDict() };
    step(model, optimizer);
    model.loadStateDict(beginning.model);
    optimizer.loadStateDict(beginning.optimizer);
    step(model, optimizer);
    step(other, fresh);
    assert.deepEqual(values(model), values(other));
  });

  it("a saved state is not touched by what is loaded from it", () => {
    const model = network();
    const optimizer = kinds.SGD(model);
    step(model, optimizer);
    const saved = optimizer.stateDict();
    const buffer = saved.state[0].momentum_buffer as ReturnType<typeof zeros>;
    const resumed = kinds.SGD(model);
    resumed.loadStateDict(saved);
    const before = numbers(buffer);
    step(model, resumed);
    assert.deepEqual(numbers(buffer), before);
  });
});

describe("optim: what it refuses", () => {
  const parameter = () => new nn.Parameter(zeros([2]));

  const settings: [make: () => unknown, message: string][] = [
    [
      () => new optim.SGD([parameter()], { lr: -1 }),
      "SGD: lr must be at least 0 and finite, got -1",
    ],
    [
      () => new optim.SGD([parameter()], { momentum: NaN }),
      "SGD: momentum must be at least 0 and finite, got NaN",
    ],
    [
      () => new optim.SGD([parameter()], { weightDecay: -0.1 }),
      "SGD: weightDecay must be at least 0 and finite, got -0.1",
    ],
    [
      () => new optim.SGD([parameter()], { nesterov: true, momentum: 0.9, dampening: 0.5 }),
      "SGD: nesterov needs a momentum above 0 and no dampening, got momentum 0.9 and dampening 0.5",
    ],
    [
      () => new optim.Adam([parameter()], { betas: [0.9, 1] }),
      "Adam: betas[1] must be at least 0 and below 1, got 1",
    ],
    [
      () => new optim.AdamW([parameter()], { eps: -1 }),
      "AdamW: eps must be at least 0 and finite, got -1",
    ],
    [() => new optim.Adam([]), "Adam: there are no parameters to optimise"],
    [
      () => {
        const p = parameter();
        return new optim.SGD([parameter(), p, p]);
      },
      "SGD: parameter 2 is parameter 1 again; give each once",
    ],
    [
      () => new optim.StepLR(new optim.SGD([parameter()]), 0.5),
      "StepLR: stepSize must be a whole number of epochs, at least 1, got 0.5",
    ],
    [
      () => new optim.CosineAnnealingLR(new optim.SGD([parameter()]), 0),
      "CosineAnnealingLR: tMax must be a whole number of epochs, at least 1, got 0",
    ],
  ];
  for (const [make, message] of settings)
    it(message, () => assert.throws(make, { name: "RangeError", message }));

  it("the state of another model or optimiser, and keeps its own", () => {
    const stepped = (shape: number[], settings: optim.SGDSettings) => {
      const p = new nn.Parameter(zeros(shape));
      const optimizer = new optim.SGD([p], settings);
      p.grad = zeros(shape).fill_(1);
      optimizer.step();
      return optimizer;
    };
    const own = stepped([2], { lr: 0.5, momentum: 0.5 });
    const before = own.stateDict();
    const refused = (state: optim.OptimizerState, why: string) => {
      const message = `SGD: cannot load this state: ${why}`;
      assert.throws(() => own.loadStateDict(state), { name: "RangeError", message });
      assert.deepEqual(own.stateDict(), before);
    };
    refused(
      stepped([3], { momentum: 0.5 }).stateDict(),
      "momentum_buffer of parameter 0 has shape [3], expected [2]; it belongs to another model",
    );
    refused(
      new optim.SGD([parameter(), parameter()]).stateDict(),
      "its groups have 2 parameters, expected one group of 1; it belongs to another model",
    );
    refused(
      { state: {}, param_groups: [] },
      "its groups have no parameters, expected one group of 1; it belongs to another model",
    );
    refused(
      new optim.Adam([parameter()]).stateDict(),
      "it has no momentum, dampening, nesterov; it belongs to another optimiser",
    );
  });
});

describe("optim: schedules", () => {
  const optimizerAt = (lr: number) => new optim.SGD([new nn.Parameter(zeros([1]))], { lr });
  const scheduleOf = (
    name: string,
    optimizer: optim.Optimizer,
    s: { step_size?: number; gamma?: number; T_max?: number; eta_min?: number },
  ) =>
    name === "StepLR"
      ? new optim.StepLR(optimizer, s.step_size!, { gamma: s.gamma })
      : new optim.CosineAnnealingLR(optimizer, s.T_max!, { etaMin: s.eta_min });

  // Both sides take the same steps on the same numbers, and differ where their cosines do: by an
  // ulp each, 2⁻⁵² together. Above `eta_min` the learning rate is in proportion to the height
  // 1 + cos of its epoch, or to that beside the foot where it set out from there; no height but
  // that of the foot itself, which is 0 on both sides, is less than `least`. In each epoch both
  // sides round 4 times, and adding `eta_min` rounds once, measured by the least that is added.
  const cosineBound = (
    lr: number,
    epoch: number,
    [base, T, etaMin]: readonly [base: number, T: number, etaMin: number],
  ): number => {
    const least = 1 - Math.cos(Math.PI / T);
    const rounding = gamma(epoch, bothFloat64) * (5 + etaMin / (((base - etaMin) * least) / 2));
    return Math.abs(lr - etaMin) * (rounding + (3 * 2 ** -52) / least);
  };

  for (const { name, lr, settings, lrs } of fixture.schedules) {
    const exact = name === "StepLR";
    const title = `${name} ${JSON.stringify(settings)}`;
    it(`has PyTorch's learning rates, ${exact ? "exactly" : "within rounding"}: ${title}`, () => {
      const optimizer = optimizerAt(lr);
      const schedule = scheduleOf(name, optimizer, settings);
      lrs.forEach((expected, epoch) => {
        if (epoch > 0) schedule.step();
        const [found] = schedule.getLastLr();
        assert.equal(optimizer.paramGroups[0].lr, found);
        const { T_max = 1, eta_min = 0 } = settings;
        const bound = exact ? 0 : cosineBound(expected, epoch, [lr, T_max, eta_min]);
        assert.ok(
          Math.abs(found - expected) <= bound,
          `epoch ${epoch}: ${found}, PyTorch has ${expected}`,
        );
      });
    });

    it(`goes on from its saved state: ${name} ${JSON.stringify(settings)}`, () => {
      const [optimizer, other] = [optimizerAt(lr), optimizerAt(99)];
      const schedule = scheduleOf(name, optimizer, settings);
      const resumed = scheduleOf(name, other, settings);
      for (let epoch = 0; epoch < 5; epoch++) schedule.step();
      other.loadStateDict(optimizer.stateDict());
      resumed.loadStateDict(schedule.stateDict());
      for (let epoch = 5; epoch < 12; epoch++) {
        schedule.step();
        resumed.step();
        assert.deepEqual(resumed.getLastLr(), schedule.getLastLr());
      }
    });
  }
});
