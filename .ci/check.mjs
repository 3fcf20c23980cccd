// # npm test
//
// Sets up, then runs every check: types, lint, format, dead code, import arrows, tests. A check
// that looked at nothing has not passed. What a check says is shown when it fails. Arguments go
// to the tests: `npm test -- --grep conv2d --reporter spec`.

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { root, setUp } from "./setup.mjs";

setUp({ tools: true });

const types = (project) => ({
  command: ["typescript/bin/tsc", "-p", project, "--extendedDiagnostics"],
  saw: /^Lines of TypeScript: +[1-9]\d{2,}$/m,
  noise: /^[\w/ ]+: +[\d.]+[sK]?\n/gm,
});

// These fail by themselves when a pattern matches no file.
const sources = [
  ".",
  ...["reference", "spec", "kernels", "extension", "docs"].map((wing) => `${wing}/**/*.ts`),
];

const wings = ["reference", "spec", "kernels", "extension", "docs"].filter((wing) =>
  existsSync(join(root, wing)),
);

/** Its output shows what `saw` matches when a check has looked at something; `noise` is not shown. */
const checks = [
  { name: "types", ...types(".") },
  { name: "types of docs", ...types("docs") },
  { name: "types of panels", ...types("extension/panel") },
  { name: "types in a browser", ...types("reference/tsconfig.browser.json") },
  { name: "lint", command: ["eslint/bin/eslint.js", ...sources, "--max-warnings=0"] },
  {
    name: "format",
    command: ["prettier/bin/prettier.cjs", ...sources, "--check", "--log-level=debug"],
    saw: /^\[debug\] .*index\.ts/m,
    noise: /^\[debug\].*\n/gm,
  },
  {
    name: "dead code",
    command: [
      ...["knip/bin/knip.js", "--no-progress"],
      ...["--reporter", "symbols", "--reporter", "./.ci/knip-count.mjs"],
    ],
    saw: /^[1-9]\d+ files analysed$/m,
  },
  {
    name: "arrows",
    command: ["dependency-cruiser/bin/dependency-cruise.mjs", ...wings],
    saw: /\([1-9]\d+ modules, [1-9]\d+ dependencies cruised\)/,
  },
];

/** Runs a package's script; `onOutput` gets what it prints while it runs. */
function execute([script, ...args], onOutput) {
  const started = performance.now();
  return new Promise((resolve) => {
    const path = join(root, "node_modules", script);
    // Colours, which some tools switch on under CI, would stand in the way of reading the output.
    const env = { ...process.env, FORCE_COLOR: "0", NO_COLOR: "1" };
    const child = spawn(process.execPath, [path, ...args], { cwd: root, env });
    let output = "";
    const collect = (chunk) => {
      output += chunk;
      onOutput?.(chunk);
    };
    child.stdout.on("data", collect);
    child.stderr.on("data", collect);
    child.on("close", (code) =>
      resolve({ code, output, seconds: (performance.now() - started) / 1000 }),
    );
  });
}

let failures = 0;

async function check({ name, command, saw, noise = /^$/ }) {
  const { code, output, seconds } = await execute(command);
  const blind = code === 0 && saw !== undefined && !saw.test(output);
  const passed = code === 0 && !blind;
  console.log(`${passed ? "ok    " : "FAILED"} ${name} (${seconds.toFixed(1)} s)`);
  if (passed) return;
  failures++;
  if (blind) console.log(`It looked at nothing: its output does not match ${saw}.`);
  console.log(output.replace(noise, ""));
}

// Two at a time: that is what a small machine has.
const queue = [...checks];
const worker = async () => {
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) await check(next);
};
await Promise.all([worker(), worker()]);

// One seed for all processes that run tests; whoever meets a failure can repeat it.
process.env.FC_SEED ??= String(Date.now() % 2 ** 31);
console.log(`FC_SEED=${process.env.FC_SEED}`);

// A test process may find nothing to do when only some tests are asked for; all may not.
const jobs = ["--parallel", "--jobs", String(availableParallelism()), "--no-fail-zero"];
const tests = await execute(
  ["mocha/bin/mocha.js", "--reporter", "dot", ...jobs, ...process.argv.slice(2)],
  (chunk) => process.stdout.write(chunk),
);
const count = (word) =>
  Number(new RegExp(`^ +(\\d+) ${word}\\b`, "m").exec(tests.output)?.[1] ?? 0);
const [passing, failing, pending] = ["passing", "failing", "pending"].map(count);
// A run that broke off, or in which nothing passed, has failed whatever it counted.
if (tests.code !== 0 || passing === 0) failures += Math.max(failing, 1);
console.log(`${passing} passed, ${failures} failed${pending > 0 ? `, ${pending} skipped` : ""}`);
process.exitCode = failures > 0 ? 1 : 0;
