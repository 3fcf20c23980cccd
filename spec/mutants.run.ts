// # npm run test:mutants
//
// Builds the library once for each planted slip, in memory, and runs the laws of its room on the
// result. The law that is named must fail; the others that fail too are shown beside it. With a
// room's name as argument, only its slips.

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build, type Plugin } from "esbuild";
import fc from "fast-check";
import { laws, type Library, rooms } from "./laws.js";
import { type Mutant, mutants } from "./mutants.js";
import "./seed.js";

const reference = fileURLToPath(new URL("../reference/", import.meta.url));

/** The library with the slip in it. Throws: RangeError unless the source text is there once. */
async function planted({ room, file, find, replace }: Mutant): Promise<Library> {
  const path = file ?? `ops/${room}.ts`;
  const source = readFileSync(reference + path, "utf8");
  const found = source.split(find).length - 1;
  if (found !== 1)
    throw new RangeError(`reference/${path} has this ${found} times, not once: ${find}`);
  const slip: Plugin = {
    name: "slip",
    setup(build) {
      build.onLoad({ filter: /\.ts$/ }, (args) =>
        args.path === reference + path
          ? { contents: source.replace(find, () => replace), loader: "ts" }
          : undefined,
      );
    },
  };
  const { outputFiles } = await build({
    entryPoints: [`${reference}index.ts`],
    bundle: true,
    format: "esm",
    write: false,
    plugins: [slip],
  });
  const code = Buffer.from(outputFiles[0].contents).toString("base64");
  return (await import(`data:text/javascript;base64,${code}`)) as Library;
}

fc.configureGlobal({ ...fc.readConfigureGlobal(), endOnFailure: true });

const only = process.argv.at(2);
const table = mutants.filter(({ room }) => only === undefined || room === only);
const all = rooms();
let survivors = 0;

for (const mutant of table) {
  const room = all.find(({ stem }) => stem === mutant.room);
  if (room === undefined) throw new RangeError(`no room "${mutant.room}" has a law`);
  const library = await planted(mutant);
  const killers = Object.entries(laws).flatMap(([name, { holds }]) => {
    try {
      holds(room, library);
      return [];
    } catch {
      return [name];
    }
  });
  const killed = killers.includes(mutant.caughtBy);
  if (!killed) survivors++;
  console.log(
    `${killed ? "killed  " : "SURVIVED"} ${mutant.room}: ${mutant.slip} ` +
      `(by ${mutant.caughtBy}${killed ? "" : ", which did not notice"}; ` +
      `all that noticed: ${killers.join(", ") || "none"})`,
  );
}

const bare = all.filter(({ stem }) => only === undefined && !table.some((m) => m.room === stem));
for (const { stem } of bare) console.log(`NO SLIP  ${stem}: nothing is planted here`);
console.log(`${table.length - survivors} of ${table.length} slips noticed`);
if (survivors > 0 || bare.length > 0 || table.length === 0) process.exitCode = 1;
