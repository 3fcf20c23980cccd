// # Rooms
//
// An operation is one file stem in every wing. These are its doors; one may be missing only where the
// first lines of the note say why (`kernels: none, reshapes only`).

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "./statements.js";

export { stems } from "./matrix.js";

export interface Door {
  readonly path: string;
  readonly what: string;
  /** `there`, `missing`, or the note's reason for having none. */
  readonly state: string;
}

/** The doors of the room `stem`. */
export function doors(stem: string): Door[] {
  const note = `spec/ops/${stem}.md`;
  const notePath = join(projectRoot, note);
  const opening = existsSync(notePath)
    ? readFileSync(notePath, "utf8").split("\n").slice(0, 6).join("\n")
    : "";
  const table = join(projectRoot, "kernels", "ops.def");
  const hasKernel = existsSync(table) && readFileSync(table, "utf8").includes(`OP(${stem})`);
  const list: [path: string, what: string, excuse: string][] = [
    [`reference/ops/${stem}.ts`, "shape rule, forward, backward", ""],
    [note, "formula, gradient and bound, derived", ""],
    [`spec/ops/${stem}.law.ts`, "oracle, cases and bound, in code", ""],
    [`spec/ops/${stem}.spec.ts`, "properties of its own", "properties"],
    ...(hasKernel
      ? ([
          [`kernels/host/${stem}.cpp`, "host kernel", "kernels"],
          [`kernels/cuda/${stem}.cu`, "CUDA kernel", "kernels"],
        ] as [string, string, string][])
      : []),
  ];
  return list.map(([path, what, excuse]) => {
    const reason = excuse && new RegExp(`^${excuse}: none, (.+)$`, "m").exec(opening)?.[1];
    if (existsSync(join(projectRoot, path))) return { path, what, state: "there" };
    return { path, what, state: reason ? `none, ${reason}` : "missing" };
  });
}
