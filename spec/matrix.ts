// # The traceability matrix
//
// For every statement of the chapters: its operations, the tests that hold it to account, the slips
// that those tests were seen to notice, the kernels that compute it fast, and when these were last
// certified. A hole is a statement without a test or without a slip, a test or a slip that names no
// statement, or an operation that no formula explains.

import * as convnotes from "convnotes";
import { kills } from "./chapters/mutants.js";
import {
  type Chapter,
  type NamedTest,
  type Project,
  projectAt,
  projectRoot,
  readChapters,
  readTests,
} from "./statements.js";

/** The stems of all operations, from the library itself. */
export const stems: readonly string[] = Object.values(convnotes).flatMap((value: unknown) =>
  typeof value === "function" && "stem" in value ? [String(value.stem)] : [],
);

/** One statement. */
export interface MatrixRow {
  readonly label: string;
  readonly chapter: string;
  readonly erratum: boolean;
  readonly operations: readonly string[];
  readonly tests: readonly NamedTest[];
  /** Names of the slips that its tests notice. */
  readonly slips: readonly string[];
  /** Those of its operations that have a kernel. */
  readonly kernels: readonly string[];
  /** When these were last certified, and the largest error ÷ bound then; or null. */
  readonly certified: { readonly date: string; readonly worst: number } | null;
}

export interface Matrix {
  readonly rows: readonly MatrixRow[];
  /** What is missing, each as `file:line: what` where there is a line. */
  readonly holes: readonly string[];
}

/** What the matrix is made of; tests put in their own. */
export interface Ingredients {
  readonly chapters: readonly Chapter[];
  readonly tests: readonly NamedTest[];
  /** Slips that each label's tests must notice. */
  readonly kills: Readonly<Record<string, readonly string[]>>;
  readonly project: Project;
}

export const ingredients = (): Ingredients => ({
  chapters: readChapters(),
  tests: readTests(),
  kills,
  project: projectAt(projectRoot, stems),
});

/** What `convnotes verify` writes, as far as it is read here. */
interface Certificate {
  readonly date: string;
  readonly passed: boolean;
  readonly operations: readonly { readonly operation: string; readonly worst: number }[];
}

const CERTIFICATE = "docs/certificates/cpu.json";

/** The committed certificate, for these kernels. */
function certified(project: Project, stems: readonly string[]): MatrixRow["certified"] {
  const text = project.read(CERTIFICATE);
  if (text === null || stems.length === 0) return null;
  const { date, passed, operations } = JSON.parse(text) as Certificate;
  const own = operations.filter(({ operation }) => stems.includes(operation));
  if (!passed || own.length < stems.length) return null;
  return { date: date.slice(0, 10), worst: Math.max(...own.map(({ worst }) => worst)) };
}

export function makeMatrix({ chapters, tests, kills, project }: Ingredients): Matrix {
  const statements = chapters.filter((c) => c.language === "en").flatMap((c) => c.statements);
  const labels = new Set(statements.map((s) => s.label));
  const withKernel = new Set(
    [...(project.read("kernels/ops.def") ?? "").matchAll(/^OP\((\w+)\)/gm)].map(([, stem]) => stem),
  );
  const rows = statements.map(({ label, chapter, operations, erratum }): MatrixRow => ({
    label,
    chapter,
    erratum: erratum !== null,
    operations,
    tests: tests.filter((t) => t.label === label),
    slips: Object.hasOwn(kills, label) ? kills[label] : [],
    kernels: operations.filter((stem) => withKernel.has(stem)),
    certified: certified(
      project,
      operations.filter((stem) => withKernel.has(stem)),
    ),
  }));
  const holes = [
    ...statements.flatMap(({ label, file, line }, i) => [
      ...(rows[i].tests.length === 0 ? [`${file}:${line}: no test names ${label}`] : []),
      ...(rows[i].slips.length === 0 ? [`${file}:${line}: no slip is planted for ${label}`] : []),
    ]),
    ...tests
      .filter((t) => !labels.has(t.label))
      .map((t) => `${t.file}:${t.line}: tests "${t.label}", which no chapter states`),
    ...Object.keys(kills)
      .filter((label) => !labels.has(label))
      .map((label) => `spec/chapters/mutants.ts: names "${label}", which no chapter states`),
    ...project.operations
      .filter((stem) => {
        const note = project.read(`spec/ops/${stem}.md`) ?? "";
        return !note.includes("$") && !statements.some((s) => s.operations.includes(stem));
      })
      .map((stem) => `reference/ops/${stem}.ts: no note and no statement has its formula`),
  ];
  return { rows, holes };
}

/** The matrix as Markdown. */
export function showMatrix({ rows, holes }: Matrix): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const heads = [
    "label",
    "chapter",
    "operations",
    "tests",
    "slips noticed",
    "kernels",
    "certified",
  ];
  const parts = [
    "# Traceability",
    "",
    `${rows.length} statements, ${rows.reduce((n, r) => n + r.tests.length, 0)} tests, ` +
      `${holes.length} holes.`,
    "",
    line(heads),
    line(heads.map(() => "---")),
    ...rows.map((r) =>
      line([
        `${r.label}${r.erratum ? " (erratum)" : ""}`,
        r.chapter,
        r.operations.join(", "),
        r.tests.map((t) => t.title.replaceAll("|", "\\|")).join("<br>"),
        r.slips.join("<br>"),
        r.kernels.join(", "),
        r.certified ? `${r.certified.date}, worst ${r.certified.worst.toFixed(2)}` : "",
      ]),
    ),
    "",
    ...holes.map((hole) => `- hole: ${hole}`),
  ];
  return `${parts.join("\n").trimEnd()}\n`;
}
