// # Modules and containers
//
// Walks, modes, moves, state dicts, hooks, errors. What PyTorch does with the same module is in
// `fixtures/nn.json`.

import assert from "node:assert/strict";
import {
  add,
  mul,
  nn,
  ones,
  ShapeError,
  type Tensor,
  tensor,
  trace,
  withDevice,
  zeros,
} from "convnotes";
import fixture from "../fixtures/nn.json" with { type: "json" };
import { Net } from "./modules.js";
import { numbers, whole } from "./numbers.js";

const names = (walk: Iterable<readonly [string, unknown]>): string[] =>
  Array.from(walk, ([name]) => name);

describe("nn.Module: walks", () => {
  const net = new Net();

  it("finds children, parameters and buffers once, in PyTorch's order, by PyTorch's names", () => {
    const { children, parameters, buffers, modules } = fixture.walks;
    assert.deepEqual(names(net.namedChildren()), children);
    assert.deepEqual(names(net.namedParameters()), parameters);
    assert.deepEqual(names(net.namedBuffers()), buffers);
    assert.deepEqual(
      Array.from(net.namedModules(), ([path, m]) => [path, m.getName()]),
      modules,
    );
    assert.deepEqual(
      [...net.modules()],
      Array.from(net.namedModules(), ([, m]) => m),
    );
    assert.deepEqual(
      [...net.children()],
      Array.from(net.namedChildren(), ([, m]) => m),
    );
    assert.deepEqual(
      [...net.parameters()],
      Array.from(net.namedParameters(), ([, p]) => p),
    );
  });

  it("applies a function to children first, from each parent", () => {
    const visited: string[] = [];
    assert.equal(
      net.apply((m) => visited.push(net.pathOf(m))),
      net,
    );
    assert.deepEqual(visited, fixture.walks.applied);
  });

  it("knows the path of each module below, and none of strangers", () => {
    for (const [path, module] of net.namedModules()) assert.equal(net.pathOf(module), path);
    assert.equal(net.pathOf(new nn.ReLU()), "");
  });

  it("walks a child once that stands under two names, but runs it as often as it stands there", () => {
    const double = new nn.Linear(1, 1, { bias: false });
    double.weight.fill_(2);
    const chain = new nn.Sequential(double, double, double);
    assert.deepEqual(names(chain.namedChildren()), ["0"]);
    assert.deepEqual(names(chain.namedParameters()), ["0.weight"]);
    assert.deepEqual([...chain.stateDict().keys()], ["0.weight", "1.weight", "2.weight"]);
    assert.equal(chain.length, 3);
    assert.equal(chain.call(ones([1, 1])).item(), 8);
  });

  it("takes a parameter that replaces another", () => {
    const layer = new nn.Linear(2, 2);
    layer.weight = new nn.Parameter(ones([2, 2]));
    layer.bias = null;
    assert.deepEqual(names(layer.namedParameters()), ["weight"]);
    assert.deepEqual(numbers(layer.call(ones([1, 2]))), [2, 2]);
  });
});

describe("nn.Module: changing all of it", () => {
  it("trains and evaluates with everything below", () => {
    const net = new Net();
    assert.equal(net.eval(), net);
    assert.ok([...net.modules()].every((m) => !m.training));
    net.train();
    assert.ok([...net.modules()].every((m) => m.training));
  });

  it("forgets gradients, and freezes", () => {
    const layer = new nn.Linear(2, 1);
    layer.call(ones([1, 2])).backward();
    assert.ok([...layer.parameters()].every((p) => p.grad !== null));
    layer.zeroGrad();
    assert.ok([...layer.parameters()].every((p) => p.grad === null));
    layer.requiresGrad_(false);
    assert.equal(layer.call(ones([1, 2])).requiresGrad, false);
  });

  it("moves to another type, and its parameters stay the objects that they were", () => {
    const norm = new nn.BatchNorm1d(2);
    const weight = norm.weight!;
    norm.call(whole([3, 2], 1)).backward(ones([3, 2]));
    const gradient = numbers(weight.grad!);
    norm.to("float64");
    assert.equal(norm.weight, weight);
    const found = Array.from(norm.stateDict(), ([name, t]) => `${name} ${t.dtype}`);
    assert.deepEqual(found, [
      "weight float64",
      "bias float64",
      "running_mean float64",
      "running_var float64",
      "num_batches_tracked int64",
    ]);
    assert.deepEqual([weight.grad!.dtype, numbers(weight.grad!)], ["float64", gradient]);
    assert.ok(weight.requiresGrad && weight.isLeaf);
    assert.equal(norm.call(whole([3, 2], 1, "float64")).dtype, "float64");
  });

  it("moves to another device, buffers and all", () => {
    const device = "reference";
    const net = new Net();
    const before = [...net.stateDict()].map(([name, t]) => [name, numbers(t)]);
    assert.equal(net.to(device), net);
    assert.ok([...net.stateDict().values()].every((t) => t.device === device));
    assert.deepEqual(
      [...net.stateDict()].map(([name, t]) => [name, numbers(t)]),
      before,
    );
  });

  it("refuses to become whole numbers, or to go where nothing is", () => {
    assert.throws(() => new nn.Linear(1, 1).to("int64"), {
      name: "TypeError",
      message: "Linear: a module is float32 or float64, not int64",
    });
    assert.throws(() => new nn.Linear(1, 1).to("cpx"), /there is no device "cpx".*"cpu"/);
  });
});

describe("nn.Module: state", () => {
  it("shares the module's numbers", () => {
    const layer = new nn.Linear(1, 1);
    layer.weight.fill_(3);
    const state = layer.stateDict();
    layer.weight.fill_(4);
    assert.equal(state.get("weight")!.item(), 4);
    assert.equal(state.get("weight")!.requiresGrad, false);
  });

  it("travels to another module, which goes on learning", () => {
    const [from, to] = [new Net(), new Net()];
    from.features[1].call(whole([1, 2, 3, 3], 1));
    const { missingKeys, unexpectedKeys } = to.loadStateDict(from.stateDict());
    assert.deepEqual([missingKeys, unexpectedKeys], [[], []]);
    const values = (net: Net) => Array.from(net.stateDict(), ([name, t]) => [name, numbers(t)]);
    assert.deepEqual(values(to), values(from));
    from.scale.fill_(5);
    assert.deepEqual(numbers(to.scale), [1, 1]);
    assert.ok([...to.parameters()].every((p) => p.requiresGrad && p.isLeaf));
  });

  it("converts element types", () => {
    const layer = new nn.Linear(1, 1, { bias: false });
    layer.loadStateDict(new Map([["weight", tensor([[0.1]], { dtype: "float64" })]]));
    assert.deepEqual([layer.weight.dtype, layer.weight.item()], ["float32", Math.fround(0.1)]);
  });

  type State = Map<string, Tensor>;
  const rename = (state: State) => {
    for (const name of ["scale", "features.0.bias", "blocks.2.weight"]) {
      state.set(`${name}s`, state.get(name)!);
      state.delete(name);
    }
    for (const name of ["blocks.7.weight", "elsewhere", "classification.last.deep.weight"])
      state.set(name, zeros([1]));
  };
  const resize = (state: State) => {
    state.set("mean", zeros([2, 1]));
    state.set("features.1.num_batches_tracked", zeros([3, 2], { dtype: "int64" }));
    state.set("classification.last.weight", zeros([3, 5]));
  };
  const changes: Record<string, (state: State) => void> = {
    rename,
    resize,
    everything(state) {
      rename(state);
      resize(state);
    },
  };

  for (const [name, message] of Object.entries(fixture.refusals))
    it(`refuses what does not fit in PyTorch's words, and loads nothing (${name})`, () => {
      const net = new Net();
      const state = net.stateDict();
      for (const [key, t] of state) state.set(key, t.clone().fill_(9));
      changes[name](state);
      assert.throws(() => net.loadStateDict(state), { name: "RangeError", message });
      assert.ok([...net.stateDict().values()].every((t) => !numbers(t).includes(9)));
    });

  it("loads what fits when it is not strict, and reports the rest as PyTorch does", () => {
    const net = new Net();
    const state = net.stateDict();
    for (const [key, t] of state) state.set(key, t.clone().fill_(9));
    rename(state);
    const report = net.loadStateDict(state, { strict: false });
    const { missing, unexpected } = fixture.lenient;
    assert.deepEqual(report, { missingKeys: missing, unexpectedKeys: unexpected });
    for (const [name, t] of net.stateDict())
      assert.equal(
        numbers(t).every((v) => v === 9),
        !missing.includes(name),
        name,
      );
  });

  it("refuses sizes that differ even when it is not strict", () => {
    const layer = new nn.Linear(2, 1);
    const state = new Map([["bias", zeros([3])]]);
    assert.throws(() => layer.loadStateDict(state, { strict: false }), /size mismatch for bias/);
  });

  it("refuses tensors without numbers", () => {
    const state = withDevice("meta", () => new nn.Linear(1, 1, { bias: false })).stateDict();
    assert.throws(() => new nn.Linear(1, 1, { bias: false }).loadStateDict(state), {
      message:
        "Error(s) in loading state_dict for Linear:\n\t" +
        'no numbers for weight: the tensor is on "meta".',
    });
  });
});

describe("nn.Module: hooks", () => {
  const layer = new nn.Sequential(new nn.Linear(1, 1, { bias: false }), new nn.ReLU());
  layer[0].weight.fill_(2);
  const x = ones([1, 1]);

  it("run before and after forward, until they are removed", () => {
    const seen: string[] = [];
    const tell = (when: string, m: nn.Module, inputs: readonly Tensor[], output?: Tensor) =>
      seen.push(
        `${when} ${m.getName()} ${numbers(inputs[0]).join()}` + (output ? ` ${output.item()}` : ""),
      );
    const handles = [layer, layer[0]].flatMap((module) => [
      module.registerForwardPreHook((m, inputs) => void tell("before", m, inputs)),
      module.registerForwardHook((m, inputs, output) => {
        tell("after", m, inputs, output);
        return undefined;
      }),
    ]);
    layer.call(x);
    assert.deepEqual(seen.splice(0), [
      "before Sequential 1",
      "before Linear 1",
      "after Linear 1 2",
      "after Sequential 1 2",
    ]);
    for (const handle of handles) handle.remove();
    layer.call(x);
    assert.deepEqual(seen, []);
  });

  it("may replace the output", () => {
    const handle = layer[0].registerForwardHook((_, __, output) => mul(output, 10));
    assert.equal(layer.call(x).item(), 20);
    handle.remove();
    assert.equal(layer.call(x).item(), 2);
  });
});

describe("nn.Module: where it is", () => {
  it("gives a trace the path of each step", () => {
    const net = new nn.Sequential(new nn.Linear(2, 2), new nn.Sequential(new nn.ReLU()));
    const { graph } = trace(() => net.call(ones([1, 2])));
    assert.deepEqual(
      graph.nodes.map(({ name, path }) => [name, path]),
      [
        ["linear", "0"],
        ["relu", "1.0"],
      ],
    );
  });

  class Classifier extends nn.Module {
    readonly features = new nn.Flatten();
    readonly classification = new nn.Sequential(new nn.Linear(400, 10), new nn.ReLU());

    override forward(x: Tensor): Tensor {
      return this.classification.call(this.features.call(x));
    }
  }

  it("gives an error of sizes the path and class of the innermost module, once", () => {
    assert.throws(
      () => new Classifier().call(zeros([1, 16, 6, 6])),
      (error) => {
        assert.ok(error instanceof ShapeError);
        assert.equal(error.path, "classification.0");
        assert.equal(
          error.message,
          "classification.0 (Linear): linear: input [1, 576] has 576 features, " +
            "but weight [10, 400] expects 400; set in_features to 576",
        );
        return true;
      },
    );
  });

  it("names only the class of the outermost module", () => {
    assert.throws(
      () => new nn.Linear(2, 1).call(zeros([1, 3])),
      /^ShapeError: Linear: linear: input/,
    );
  });

  it("is forgotten after an error", () => {
    const net = new Classifier();
    assert.throws(() => net.call(zeros([1, 2])));
    const { graph } = trace(() => net.classification[1].call(ones([1])));
    assert.deepEqual(
      graph.nodes.map(({ path }) => path),
      [""],
    );
  });
});

describe("nn.Sequential", () => {
  const net = new nn.Sequential(new nn.Flatten(), new nn.Linear(4, 2), new nn.ReLU());

  it("knows the class of each module by its index", () => {
    net[1].weight.grad = null;
    net[1].weight.fill_(1);
    // @ts-expect-error a ReLU has no weight
    assert.equal(net[2].weight, undefined);
    const named = new nn.Sequential({ fc: new nn.Linear(1, 1), act: new nn.ReLU() });
    named.fc.weight.grad = null;
    assert.equal(named.fc, named.at(0));
  });

  it("has a length, indices from both ends, and can be iterated", () => {
    assert.equal(net.length, 3);
    assert.deepEqual([...net], [net[0], net[1], net[2]]);
    assert.equal(net.at(-1), net[2]);
    assert.equal(net.at(0), net[0]);
    assert.throws(() => net.at(3), {
      name: "RangeError",
      message: "Sequential: index 3 is out of range, it has 3 modules",
    });
  });

  it("can be sliced; the part shares the modules and their names", () => {
    const part = net.slice(1);
    assert.deepEqual(names(part.namedChildren()), ["1", "2"]);
    assert.equal(part[1], net[1]);
    assert.deepEqual(numbers(part.call(ones([1, 4]))), numbers(net.call(ones([1, 2, 2]))));
  });

  it("keeps the order in which it was given names, even where a name is a number", () => {
    const [a, b, c] = [0, 1, 2].map(() => new nn.Linear(1, 1));
    const chain = new nn.Sequential({ b, a }).append(c);
    assert.deepEqual(names(chain.namedChildren()), ["b", "a", "2"]);
    assert.deepEqual([...chain], [b, a, c]);
    assert.deepEqual(names(chain.slice(1).namedChildren()), ["a", "2"]);
  });

  it("refuses a name that is taken, empty or has a dot", () => {
    assert.throws(() => net.slice(1).append(new nn.ReLU()), {
      name: "RangeError",
      message: 'Sequential: the name "2" is taken; choose another',
    });
    assert.throws(() => new nn.Sequential({ forward: new nn.ReLU() }), /"forward" is taken/);
    for (const name of ["", "a.b"])
      assert.throws(() => new nn.Sequential({ [name]: new nn.ReLU() }), {
        message: `Sequential: "${name}" cannot name a module: names are not empty and have no dot`,
      });
  });
});

describe("nn.ModuleList", () => {
  it("keeps modules by index and does not run them", () => {
    const list = new nn.ModuleList([new nn.ReLU()]).append(new nn.Tanh());
    assert.deepEqual([list.length, list.at(-1), [...list]], [2, list[1], [list[0], list[1]]]);
    assert.throws(() => list.call(), {
      name: "TypeError",
      message: "ModuleList has no forward: call its modules one by one",
    });
  });
});

describe("nn: a module of one's own", () => {
  class Affine extends nn.Module {
    weight = new nn.Parameter(ones([2]));

    constructor(readonly shift: number) {
      super();
    }

    override forward(x: Tensor): Tensor {
      return add(mul(x, this.weight), this.shift);
    }

    override extraRepr(): string {
      return `shift=${this.shift}`;
    }
  }

  it("prints its class and what it adds", () => {
    assert.equal(String(new Affine(3)), "Affine(shift=3)");
    assert.equal(
      String(new nn.Sequential(new Affine(3))),
      "Sequential(\n  (0): Affine(shift=3)\n)",
    );
  });

  it("learns", () => {
    const affine = new Affine(1);
    affine.call(tensor([2, 3])).backward(ones([2]));
    assert.deepEqual(numbers(affine.weight.grad!), [2, 3]);
  });
});
