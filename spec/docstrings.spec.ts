// # Every public name says what it is
//
// Every function, class, method and constant that the two entries export has a docstring. Options
// are documented member by member instead.

import assert from "node:assert/strict";
import ts from "typescript";

function undocumented(entries: readonly string[]): string[] {
  const { config } = ts.readConfigFile("tsconfig.json", (path) => ts.sys.readFile(path)) as {
    config: object;
  };
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, ".");
  const program = ts.createProgram([...entries], options);
  const checker = program.getTypeChecker();
  const missing = new Set<string>();

  const isDocumented = (symbol: ts.Symbol) => symbol.getDocumentationComment(checker).length > 0;
  const place = (symbol: ts.Symbol) => {
    const declaration = symbol.declarations![0];
    const file = declaration.getSourceFile().fileName.replace(/^.*\/reference\//, "reference/");
    return `${file}: ${symbol.name}`;
  };
  const visit = (symbol: ts.Symbol) => {
    const real = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
    if (real.flags & ts.SymbolFlags.ValueModule) {
      for (const inner of checker.getExportsOfModule(real)) visit(inner);
      return;
    }
    if (real.flags & ts.SymbolFlags.Value && !isDocumented(real)) missing.add(place(real));
    for (const declaration of real.declarations ?? []) {
      if (!ts.isClassDeclaration(declaration)) continue;
      for (const member of declaration.members) {
        const name = member.name?.getText() ?? "";
        const flags = ts.getCombinedModifierFlags(member);
        const hidden =
          ts.ModifierFlags.Private | ts.ModifierFlags.Protected | ts.ModifierFlags.Override;
        if (!ts.isMethodDeclaration(member) || flags & hidden || /^[#[]/.test(name)) continue;
        const method = checker.getSymbolAtLocation(member.name);
        if (method && !isDocumented(method)) missing.add(`${place(real)}.${name}`);
      }
    }
  };
  for (const entry of entries) {
    const module = checker.getSymbolAtLocation(program.getSourceFile(entry)!)!;
    for (const symbol of checker.getExportsOfModule(module)) visit(symbol);
  }
  return [...missing].sort();
}

describe("docstrings", function () {
  this.timeout(60_000);
  this.slow(20_000);

  it("are there for everything that is exported", () => {
    assert.deepEqual(undocumented(["reference/index.ts", "reference/node.ts"]), []);
  });
});
