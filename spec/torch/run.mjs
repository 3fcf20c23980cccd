// # npm run test:torch
//
// Asks PyTorch itself: both directions of every kind of file, initial weights, the notes' listings,
// and, with fixtures made anew by the PyTorch that is there, everything that the fixtures say of
// networks, layers, optimisers, schedules, training runs and images. Writes docs/fidelity.md.
//
// CONVNOTES_PYTHON names a Python that has the packages below. Without it a virtual environment is
// made in the user's cache, once. Where that cannot be, the comparison is skipped and says so; in
// CI it then fails.

import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { symlinkSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "..", "..");

function run(command, args, options = {}) {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd: root,
    encoding: "utf8",
    maxBuffer: 1 << 28,
    ...options,
  });
  return { ok: status === 0, stdout: stdout ?? "", output: `${stdout}${stderr}${error ?? ""}` };
}

// ## A Python with PyTorch

const packages = ["torch", "torchvision", "numpy", "safetensors", "onnx", "onnxscript"];
const probe = packages.map((name) => `importlib.metadata.version("${name}")`).join("; ");
const hasPackages = (python) => run(python, ["-c", `import importlib.metadata; ${probe}`]).ok;

function findPython() {
  if (process.env.CONVNOTES_PYTHON) {
    const python = process.env.CONVNOTES_PYTHON;
    if (hasPackages(python)) return python;
    return stop(`CONVNOTES_PYTHON (${python}) lacks one of ${packages.join(", ")}`);
  }
  const cache = process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache");
  const venv = join(cache, "convnotes", "torch");
  const python = join(venv, process.platform === "win32" ? "Scripts/python.exe" : "bin/python");
  if (existsSync(python) && hasPackages(python)) return python;
  console.log(`making a virtual environment with PyTorch in ${venv} (once; some hundred MB) …`);
  mkdirSync(dirname(venv), { recursive: true });
  const made = run("python3", ["-m", "venv", venv]);
  if (!made.ok) return stop(`python3 -m venv failed: ${made.output.trim().slice(-300)}`);
  const installed = run(python, ["-m", "pip", "install", "-q", ...packages]);
  return installed.ok ? python : stop(`pip install failed: ${installed.output.slice(-300)}`);
}

function stop(why) {
  if (process.env.CI) {
    console.error(`test:torch: ${why}`);
    process.exit(1);
  }
  console.log(`test:torch: skipped, ${why}`);
  console.log(
    "Set CONVNOTES_PYTHON to a Python that has these to run it: " + packages.join(", ") + ".",
  );
  process.exit(0);
}

const python = findPython();
const rows = [];
let failures = 0;

/** Records what was compared; `detail` says how much. */
function record(what, result, detail) {
  if (!result.ok) failures++;
  rows.push([what, detail(), result.ok ? "agrees" : "**differs**"]);
  console.log(`${result.ok ? "ok    " : "FAILED"} ${what}: ${detail()}`);
  if (!result.ok) console.log(result.output);
}

const tsx = (script, ...args) => run(process.execPath, ["--import=tsx", script, ...args]);

// ## Files, initial weights, listings

const folder = mkdtempSync(join(tmpdir(), "convnotes-torch-"));
const write = run(python, [join(here, "theirs.py"), folder]);
if (!write.ok) throw new Error(write.output);
const { versions } = JSON.parse(readFileSync(join(folder, "theirs.json"), "utf8"));
const ours = tsx(join(here, "ours.ts"), folder);
record(
  "their files read here (.pth new and old, .npy, .npz, safetensors); initial weights from 20 seeds; " +
    "networks from both of their ONNX exporters answer alike",
  ours,
  () => "10 files; 8 networks × 20 seeds, bit for bit; 12 .onnx files",
);
record(
  "our files read there: .pth with `weights_only=True`, optimisers going on from them; ONNX's checker",
  ours.ok ? run(python, [join(here, "check.py"), folder]) : ours,
  () => "4 .pth, .npy, .npz, safetensors, 6 .onnx",
);

const listed = [python, process.execPath].map((program, i) => {
  const own = join(folder, `listings${i}`);
  mkdirSync(own);
  return i === 0
    ? run(program, [join(here, "listings.py"), own])
    : tsx(join(here, "listings.ts"), own);
});
const [theirLines, ourLines] = listed.map(({ stdout }) => stdout);
record(
  "the notes' listings of chapter 1 print the same",
  {
    ok: listed.every(({ ok }) => ok) && theirLines === ourLines,
    output: `PyTorch:\n${theirLines}\nhere:\n${ourLines}${listed.map((l) => l.output).join("")}`,
  },
  () => `${theirLines.trim().split("\n").length} lines`,
);

// ## Fixtures of this very PyTorch
//
// The tests that read fixtures run in a copy of spec/ whose fixtures were just made.

const copy = join(folder, "house");
mkdirSync(copy);
for (const name of ["reference", "node_modules", "package.json", "tsconfig.json"])
  symlinkSync(join(root, name), join(copy, name));
cpSync(here.slice(0, -"/torch".length), join(copy, "spec"), { recursive: true });

const images = process.env.CONVNOTES_DATA;
const comparisons = [
  ["formulas, gradients and updates", ["formulas.py", "ops.py"], ["formulas.spec.ts"]],
  ["random numbers and orders", ["generator.py"], ["random.spec.ts"]],
  [
    "networks: printed forms, names, outputs, losses, gradients",
    ["models.py"],
    ["models/pytorch.spec.ts"],
  ],
  [
    "layers, initialisers, optimisers and schedules",
    ["nn.py"],
    ["nn/*.spec.ts", "optim/*.spec.ts"],
  ],
  ["files in every type and layout", ["torch_files.py"], ["files/torch_file.spec.ts"]],
  [
    "50-step training runs",
    images ? [["trajectories.py", images]] : [],
    ["trajectories.spec.ts"],
    images ? undefined : "committed results; CONVNOTES_DATA is needed to make them anew",
  ],
  ["Resize, ToTensor, Normalize", ["resize.py"], ["data/transforms.spec.ts"]],
];

for (const [what, scripts, specs, note] of comparisons) {
  let result = { ok: true, output: "" };
  for (const script of scripts) {
    const [name, ...args] = [script].flat();
    if (result.ok)
      result = run(python, [join(copy, "spec", "fixtures", name), ...args], { cwd: copy });
  }
  if (result.ok)
    result = run(
      process.execPath,
      [
        join(root, "node_modules", "mocha", "bin", "mocha.js"),
        "--no-config",
        "--import=tsx",
        "--timeout=300000",
        ...specs.map((spec) => `spec/${spec}`),
      ],
      { cwd: copy },
    );
  const count = /(\d+) passing/.exec(result.output)?.[1] ?? "0";
  record(what, { ...result, ok: result.ok && count !== "0" }, () =>
    [`${count} tests`, ...(note ? [note] : [])].join("; "),
  );
}
rmSync(folder, { recursive: true, force: true });

// ## The report

const house = JSON.parse(readFileSync(join(root, "reference", "package.json"), "utf8"));
const table = [
  "# Fidelity",
  "",
  "What `npm run test:torch` found when it was last run and asked to write it down",
  "(`npm run test:torch -- --write`). Fixtures were made anew by this PyTorch for every row that",
  "does not say otherwise.",
  "",
  `convnotes ${house.version}, Node.js ${process.versions.node}, ` +
    Object.entries(versions)
      .map((entry) => entry.join(" "))
      .join(", "),
  "",
  "| what | how much | result |",
  "| --- | --- | --- |",
  ...rows.map((row) => `| ${row.join(" | ")} |`),
  "",
];
if (process.argv.includes("--write"))
  writeFileSync(join(root, "docs", "fidelity.md"), table.join("\n"));
console.log(`${rows.length - failures} of ${rows.length} comparisons agree`);
process.exitCode = failures > 0 ? 1 : 0;
