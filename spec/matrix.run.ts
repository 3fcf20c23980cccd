// # npm run matrix
//
// Writes the traceability matrix to `build/matrix.md`; fails when it has a hole.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ingredients, makeMatrix, showMatrix } from "./matrix.js";
import { projectRoot } from "./statements.js";

const matrix = makeMatrix(ingredients());
mkdirSync(join(projectRoot, "build"), { recursive: true });
writeFileSync(join(projectRoot, "build", "matrix.md"), showMatrix(matrix));
console.log(`build/matrix.md: ${matrix.rows.length} statements, ${matrix.holes.length} holes`);
for (const hole of matrix.holes) console.log(hole);
if (matrix.holes.length > 0 || matrix.rows.length === 0) process.exitCode = 1;
