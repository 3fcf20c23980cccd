// # npm test
//
// Sets up, then runs every check: types, lint, format, dead code, import arrows, tests. A check
// that looked at nothing has not passed. Output is shown for what failed; the tests are shown
// always.

import { spawn } from "node:child_process";
import { setUp } from "./setup.mjs";

setUp();

/** A check passes when it exits with 0 and its output shows that it saw something. */
const checks = [
  {
    name: "types",
    command: ["tsc", "-p", ".", "--noEmit", "--listFilesOnly"],
    saw: /reference\/index\.ts[\s\S]*spec\//,
    quiet: true,
  },
  { name: "types", command: ["tsc", "-p", "."] },
  { name: "types of docs", command: ["tsc", "-p", "docs"] },
  {
    name: "lint",
    command: ["eslint", ".", "--max-warnings=0", "--no-error-on-unmatched-pattern=false"],
  },
  { name: "format", command: ["prettier", ".", "--check"], saw: /All matched files/ },
  { name: "dead code", command: ["knip", "--no-progress"] },
  {
    name: "arrows",
    command: ["depcruise", "reference", "spec", "docs", "--config", ".dependency-cruiser.cjs"],
    saw: /\((?:[5-9]\d|\d{3,}) modules, (?:[5-9]\d|\d{3,}) dependencies/,
  },
];

function execute(command, onOutput) {
  const started = performance.now();
  return new Promise((resolve) => {
    const child = spawn("npx", ["--no-install", ...command], {
      shell: process.platform === "win32",
    });
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

async function check({ name, command, saw, quiet }) {
  const { code, output, seconds } = await execute(command);
  const blind = code === 0 && saw !== undefined && !saw.test(output);
  const passed = code === 0 && !blind;
  if (!passed) failures++;
  if (passed && quiet) return;
  console.log(`${passed ? "ok    " : "FAILED"} ${name} (${seconds.toFixed(1)} s)`);
  if (blind) console.log(`  it looked at nothing: its output does not match ${saw}`);
  if (!passed) console.log(output);
}

// Two at a time: that is what a small machine has.
const queue = [...checks];
const worker = async () => {
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) await check(next);
};
await Promise.all([worker(), worker()]);

const tests = await execute(["mocha", ...process.argv.slice(2)], (chunk) =>
  process.stdout.write(chunk),
);
const count = (word) => Number(new RegExp(`(\\d+) ${word}`).exec(tests.output)?.[1] ?? 0);
const [passing, failing, pending] = ["passing", "failing", "pending"].map(count);
if (tests.code !== 0 || passing === 0) failures++;
const skipped = pending > 0 ? `, ${pending} skipped` : "";
const broken = failing + (failures > 0 && failing === 0 ? failures : 0);
console.log(`${passing} passed, ${broken} failed${skipped}`);
process.exitCode = failures > 0 ? 1 : 0;
