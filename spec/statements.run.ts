// # npm run test:mutants, for the chapters
//
// Builds the chapters' tests once for each planted slip, with the library that has it, and runs the
// tests of every statement that claims to notice it (`chapters/mutants.ts`). With a label as
// argument, only that statement's.

import { readFileSync } from "node:fs";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build, type Plugin } from "esbuild";
import fc from "fast-check";
import { kills, type Slip, slips } from "./chapters/mutants.js";
import { declared } from "./chapters/statement.js";
import { mutants } from "./mutants.js";
import { readChapters } from "./statements.js";
import "./seed.js";

const spec = fileURLToPath(new URL(".", import.meta.url));
const reference = fileURLToPath(new URL("../reference/", import.meta.url));

/** Every slip by its name, `room: slip`: those of the operations' laws, and the chapters' own. */
const named = new Map<string, Slip>([
  ...mutants.map(
    (m) => [`${m.room}: ${m.slip}`, { ...m, file: m.file ?? `ops/${m.room}.ts` }] as const,
  ),
  ...slips.map((s) => [`${/(\w+)\.ts$/.exec(s.file)![1]}: ${s.slip}`, s] as const),
]);

/** Declares all tests of the chapters, on the library with the slip in it; none without one. */
async function declareWith(slip: Slip | null): Promise<void> {
  const target = slip && reference + slip.file;
  const source = target === null ? "" : readFileSync(target, "utf8");
  if (slip !== null) {
    const found = source.split(slip.find).length - 1;
    if (found !== 1)
      throw new RangeError(
        `reference/${slip.file} has this ${found} times, not once: ${slip.find}`,
      );
  }
  // What both sides must share, and what is not under test, is loaded as it stands.
  const shared: Plugin = {
    name: "shared",
    setup(build) {
      build.onResolve({ filter: /^fast-check$/ }, () => ({
        path: import.meta.resolve("fast-check"),
        external: true,
      }));
      build.onResolve({ filter: /\/(statement|statements|seed)\.js$/ }, ({ path, importer }) => ({
        path: new URL(path.replace(/js$/, "ts"), pathToFileURL(importer)).href,
        external: true,
      }));
      build.onLoad({ filter: /\.ts$/ }, ({ path }) =>
        slip !== null && path === target
          ? { contents: source.replace(slip.find, () => slip.replace), loader: "ts" }
          : undefined,
      );
    },
  };
  const chapters = [...new Set(readChapters().map((c) => `./chapters/${c.name}.spec.ts`))];
  const { outputFiles } = await build({
    stdin: { contents: chapters.map((path) => `import "${path}";`).join("\n"), resolveDir: spec },
    bundle: true,
    format: "esm",
    platform: "node",
    write: false,
    plugins: [shared],
  });
  declared.length = 0;
  const code = Buffer.from(outputFiles[0].contents).toString("base64");
  await import(`data:text/javascript;base64,${code}`);
}

/** The first failure of the tests of `label`, or null when all of them hold. */
function failureOf(label: string): string | null {
  const tests = declared.filter((t) => t.label === label);
  if (tests.length === 0) throw new RangeError(`"${label}" has no test`);
  for (const { title, body } of tests)
    try {
      body();
    } catch {
      return title;
    }
  return null;
}

Object.assign(globalThis, { describe: (_: string, body: () => void) => body(), it: () => {} });
fc.configureGlobal({ ...fc.readConfigureGlobal(), endOnFailure: true });

const only = process.argv.at(2);
const wanted = Object.entries(kills).filter(([label]) => only === undefined || label === only);
let [noticed, survivors] = [0, 0];

await declareWith(null);
for (const [label] of wanted) {
  const failure = failureOf(label);
  if (failure !== null) throw new Error(`${label} fails without a slip: ${failure}`);
}

for (const name of new Set(wanted.flatMap(([, slips]) => slips))) {
  const slip = named.get(name);
  if (slip === undefined) throw new RangeError(`no slip is called "${name}"`);
  await declareWith(slip);
  for (const [label, slips] of wanted) {
    if (!slips.includes(name)) continue;
    const failure = failureOf(label);
    if (failure === null) survivors++;
    else noticed++;
    console.log(
      failure === null
        ? `SURVIVED ${name}: ${label} did not notice`
        : `noticed  ${name} (by ${label}: ${failure})`,
    );
  }
}

console.log(`${noticed} of ${noticed + survivors} slips noticed`);
if (survivors > 0 || noticed === 0) process.exitCode = 1;
