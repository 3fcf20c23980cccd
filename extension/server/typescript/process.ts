// # The process that runs the user's TypeScript
//
// Bundles the file with the esbuild that lies beside it, together with what looks at its models, and runs
// it. It is asked once and ends; who asked it ends it when it takes too long.

import { createRequire, SourceMap, type SourceMapPayload } from "node:module";
import { dirname, join, resolve } from "node:path";
import { runInThisContext } from "node:vm";
import type * as esbuild from "esbuild";
import { type Said, saidBy, say } from "convnotes";
import { ownFolder } from "../files.js";
import type { Ground } from "./look.js";
import { BEGUN, type Traced, type TraceQuestion } from "./question.js";
import { declaredNames } from "./scan.js";

const bundleName = "convnotes-trace.cjs";
const slot = "__convnotesNames";

process.once("message", (question: TraceQuestion) => {
  answer(question)
    .catch((error: unknown) => nothing(question, saidBy(error)))
    .then((traced) => process.send!(traced, () => process.exit()))
    .catch(() => process.exit(1));
});

/** Nothing to show, and why. */
const nothing = ({ source }: TraceQuestion, message: Said, at = /["']convnotes["']/): Traced => {
  const match = at.exec(source.text);
  const start = match?.index ?? 0;
  const range = { file: source.file, start, end: start + (match?.[0].length ?? 0) };
  return {
    networks: [],
    findings: [{ severity: "note", code: "unknown", message, range, related: [] }],
  };
};

async function answer(question: TraceQuestion): Promise<Traced> {
  const { source, path } = question;
  const folder = dirname(path);
  const near = createRequire(path);
  let build: typeof esbuild.build;
  try {
    ({ build } = near("esbuild") as typeof esbuild);
  } catch {
    return nothing(
      question,
      say`to show the models of TypeScript, esbuild must be installed beside it: npm install
        --save-dev esbuild`,
    );
  }
  // Names are read when all has run, or as far as it came. One line, so that the others stay put.
  const names = declaredNames(source.text).map(({ name }) => `get ${name}(){return ${name}}`);
  const prefix = `globalThis.${slot}={${names.join()}};`;
  const looker = join(ownFolder(), "look.mjs");
  const result = await build({
    stdin: {
      contents: `export { compute, look } from ${JSON.stringify(looker)}; export const load = () => require("convnotes:source");`,
      resolveDir: folder,
    },
    ...{ bundle: true, write: false, format: "cjs", platform: "node", target: "node20" },
    ...{ keepNames: true, sourcemap: "external", outfile: join(folder, bundleName) },
    ...{ logLevel: "silent", external: ["convnotes-kernels"], absWorkingDir: folder },
    plugins: [
      {
        name: "convnotes",
        setup(on) {
          on.onResolve({ filter: /^convnotes:source$/ }, () => ({ path }));
          on.onLoad({ filter: /./ }, ({ path: loaded }) =>
            resolve(loaded) === path
              ? { contents: prefix + source.text, loader: "ts", resolveDir: folder }
              : null,
          );
          // Whoever looks uses the library that the file uses.
          on.onResolve({ filter: /^convnotes$/ }, ({ importer, kind }) =>
            resolve(importer) === looker
              ? on.resolve("convnotes", { resolveDir: folder, kind })
              : null,
          );
        },
      },
    ],
  } satisfies esbuild.BuildOptions).catch((error: unknown) => error as esbuild.BuildFailure);
  if (!("outputFiles" in result)) return unfinished(question, result, prefix.length);
  const [map, code] = result.outputFiles;
  const places = new Places(JSON.parse(map.text) as SourceMapPayload, question, prefix.length);
  const wrapper = `(function (module, exports, require) {${code.text}\n})`;
  /** Each time all of it begins anew, the library too. */
  const begin = () => {
    type Wrapper = (module: object, exports: object, require: NodeJS.Require) => void;
    const module = { exports: {} as typeof import("./look.js") & { load(): void } };
    (runInThisContext(wrapper, { filename: bundleName }) as Wrapper)(module, module.exports, near);
    return module.exports;
  };
  const global = globalThis as { [slot]?: Record<string, unknown> };
  const ground = (load: () => void): Ground => ({
    load,
    named(name) {
      try {
        return global[slot]?.[name];
      } catch {
        // It was never reached.
        return undefined;
      }
    },
    places: () => places.now(),
    placeOf: (error) => places.of(error),
  });
  const first = begin();
  process.send!(BEGUN);
  const traced = first.look(
    question,
    ground(() => first.load()),
  );
  if (!question.outputs) return traced;
  const anew = begin();
  return {
    ...traced,
    outputs: anew.compute(
      question,
      ground(() => anew.load()),
      traced.networks,
    ),
  };
}

/** The first thing that esbuild does not understand. */
function unfinished(
  question: TraceQuestion,
  { errors, message }: esbuild.BuildFailure,
  prefix: number,
): Traced {
  const { source, path } = question;
  const [first] = errors as readonly (esbuild.Message | undefined)[];
  const location = first?.location;
  if (first?.text.startsWith('Could not resolve "convnotes"'))
    return nothing(question, say`the package convnotes is not installed: "npm install convnotes"`);
  const inside = location && resolve(dirname(path), location.file) === path ? location : null;
  const lines = source.text.split("\n").slice(0, (inside?.line ?? 1) - 1);
  const column = (inside?.column ?? 0) - (inside?.line === 1 ? prefix : 0);
  const start = lines.reduce((sum, line) => sum + line.length + 1, 0) + Math.max(0, column);
  const range = { file: source.file, start, end: start + (inside?.length ?? 0) };
  const words = say`${first?.text ?? message}`;
  const finding = { severity: "note", code: "syntax", message: words, range, related: [] } as const;
  return { networks: [], findings: [finding], unfinished: true };
}

/** Leads places of what runs back to the user's text. */
class Places {
  readonly #map: SourceMap;
  readonly #source: string;
  readonly #lines: number[] = [0];
  readonly #prefix: number;

  constructor(payload: SourceMapPayload, { source, path }: TraceQuestion, prefix: number) {
    this.#map = new SourceMap(payload);
    const own = payload.sources.find((name) => resolve(dirname(path), name) === path);
    this.#source = own ?? path;
    this.#prefix = prefix;
    for (const { index } of source.text.matchAll(/\n/g)) this.#lines.push(index + 1);
    Error.stackTraceLimit = 200;
  }

  now(): number[] {
    return this.#offsets((holder) => Error.captureStackTrace(holder));
  }

  of(error: unknown): number | null {
    // The stack was written down when the error was made, as text.
    const stack = error instanceof Error ? (error.stack ?? "") : "";
    for (const [, line, column] of stack.matchAll(/convnotes-trace\.cjs:(\d+):(\d+)/g)) {
      const offset = this.#offset(Number(line), Number(column));
      if (offset !== null) return offset;
    }
    return null;
  }

  #offsets(capture: (holder: object) => void): number[] {
    // eslint-disable-next-line @typescript-eslint/unbound-method -- it is put back as it was
    const before = Error.prepareStackTrace;
    Error.prepareStackTrace = (_, sites) => sites;
    const holder: { stack?: unknown } = {};
    try {
      capture(holder);
      return (holder.stack as NodeJS.CallSite[]).flatMap((site) =>
        site.getFileName() === bundleName
          ? (this.#offset(site.getLineNumber()!, site.getColumnNumber()!) ?? [])
          : [],
      );
    } finally {
      Error.prepareStackTrace = before;
    }
  }

  #offset(line: number, column: number): number | null {
    // The wrapper stands on the first line only.
    const entry = this.#map.findEntry(line - 1, column - 1);
    if (!("originalSource" in entry) || entry.originalSource !== this.#source) return null;
    const { originalLine, originalColumn } = entry;
    const shift = originalLine === 0 ? this.#prefix : 0;
    return this.#lines[originalLine] + Math.max(0, originalColumn - shift);
  }
}
