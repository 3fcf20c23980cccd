// # The arrows between the wings
//
// reference ← spec ← kernels, reference ← kernels, reference ← extension; nothing points back.

module.exports = {
  forbidden: [
    {
      name: "no-cycles",
      comment: "types may refer to each other; that makes no cycle when the program runs",
      severity: "error",
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ["type-only"] } },
    },
    {
      name: "reference-stands-alone",
      comment: "reference imports nothing of the other wings",
      severity: "error",
      from: { path: "^reference/" },
      to: { path: "^(spec|kernels|extension|docs)/" },
    },
    {
      name: "core-runs-in-a-browser",
      comment: "what index.ts reaches is in reference: neither Node nor npm packages",
      severity: "error",
      from: { path: "^reference/index\\.ts$" },
      to: { pathNot: "^reference/", reachable: true },
    },
    {
      name: "reference-ships-what-it-imports",
      comment: "its users get its dependencies, not the tools of this house",
      severity: "error",
      from: { path: "^reference/" },
      to: { dependencyTypes: ["npm-dev"], dependencyTypesNot: ["type-only"] },
    },
    {
      name: "public-entries",
      comment: "the other wings know reference by what it promises to its users",
      severity: "error",
      from: { path: "^(spec|docs|extension)/" },
      to: { path: "^reference/", pathNot: "^reference/(index|node|pytorch/index)\\.ts$" },
    },
    {
      name: "spec-points-down-only",
      severity: "error",
      from: { path: "^spec/" },
      to: { path: "^(kernels|extension|docs)/" },
    },
    {
      name: "kernels-point-down-only",
      severity: "error",
      from: { path: "^kernels/" },
      to: { path: "^(extension|docs)/" },
    },
    {
      name: "extension-uses-reference-only",
      severity: "error",
      from: { path: "^extension/" },
      to: { path: "^(kernels|spec|docs)/" },
    },
    {
      name: "not-resolvable",
      severity: "error",
      from: {},
      to: { couldNotResolve: true, pathNot: "^vscode$" },
    },
    {
      name: "declared",
      comment: "an npm package that is used must be in a package.json",
      severity: "error",
      from: {},
      to: { dependencyTypes: ["npm-no-pkg", "npm-unknown"] },
    },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    combinedDependencies: true,
    exclude: { path: "(^|/)(dist|build)/" },
    tsConfig: { fileName: "tsconfig.json" },
    // Imports are read from the sources as they stand, those of types included.
    tsPreCompilationDeps: true,
    enhancedResolveOptions: {
      extensions: [".ts", ".js", ".mjs", ".json"],
      exportsFields: ["exports"],
      conditionNames: ["import", "require", "node", "default", "types"],
    },
  },
};
