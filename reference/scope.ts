// # Where in the network we are
//
// While a module runs, it stands on this stack. Whoever needs a name for the place (a trace, an
// error message) asks the outermost module for the path of the innermost.

export interface Scope {
  /** The path of `inner` below this module, such as `classification.0`; `""` for itself. */
  pathOf(inner: Scope): string;
}

const stack: Scope[] = [];

/** Runs `body` inside `scope`. */
export function inside<T>(scope: Scope, body: () => T): T {
  stack.push(scope);
  try {
    return body();
  } finally {
    stack.pop();
  }
}

/** The path of the module that is running, `""` outside of all. */
export const currentPath = (): string =>
  stack.length === 0 ? "" : stack[0].pathOf(stack[stack.length - 1]);
