// # The notes' listings of chapter 1, saving and loading
//
// The twin of listings.py, line by line; run.mjs compares what the two print, and lets each read
// the other's files.

import { manualSeed, nn, randn, relu, tensor, Tensor, zeros } from "convnotes";
import { load, save } from "convnotes/node";

process.chdir(process.argv[2]);

/** As Python prints lists, tuples and truth values. */
function python(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`;
  if (typeof value === "boolean") return value ? "True" : "False";
  return typeof value === "string" ? `'${value}'` : String(value);
}

const listOf = (t: unknown): unknown => (t as Tensor).toArray();

// A tensor
const x = tensor([0, 1, 2, 3], { dtype: "int64" });
save(x, "x-file");
console.log(python(listOf(load("x-file"))));

// A list of tensors
const y = zeros([4]);
save([x, y], "x-files");
const [x2, y2] = load("x-files") as Tensor[];
console.log(`(${python(listOf(x2))}, ${python(listOf(y2))})`);

// A dictionary of tensors
save({ x, y }, "mydict");
const mydict = load("mydict") as Record<string, Tensor>;
const allZero = Array.from({ length: mydict.y.size }, (_, i) => Number(mydict.y.data[i]) === 0);
console.log(
  python(Object.keys(mydict)),
  python(listOf(mydict.x)),
  python(!allZero.includes(false)),
);

// A model's parameters
class MLP extends nn.Module {
  readonly hidden = new nn.Linear(20, 256);
  readonly output = new nn.Linear(256, 10);

  override forward(x: Tensor): Tensor {
    return this.output.call(relu(this.hidden.call(x)));
  }
}

manualSeed(0);
const net = new MLP();
const X = randn([2, 20]);
const Y = net.call(X);
save(net.stateDict(), "mlp.params");
const clone = new MLP();
const { missingKeys, unexpectedKeys } = clone.loadStateDict(
  load("mlp.params") as Map<string, Tensor>,
);
console.log(
  missingKeys.length + unexpectedKeys.length === 0 ? "<All keys matched successfully>" : "not all",
);
clone.eval();
console.log(String(clone));
const cloned = clone.call(X);
const equal = Array.from({ length: Y.size }, (_, i) => cloned.data[i] === Y.data[i]);
console.log(python(!equal.includes(false)), python([...Y.shape]), Number(X.data[0]));
for (const [name, value] of clone.stateDict())
  console.log(name, python([...value.shape]), Number(value.data[0]));
