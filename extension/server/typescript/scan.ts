// # Where an expression ends
//
// A running program says where a call begins; where it ends, and its arguments, stand in the text. Strings,
// templates and comments are passed over; what is not understood ends where it begins.

export interface Span {
  readonly start: number;
  readonly end: number;
}

export interface CallText extends Span {
  readonly arguments: readonly Span[];
}

/** The call or construction that begins at `start`, up to its closing parenthesis. */
export function callAt(text: string, start: number): CallText {
  const head = /^(?:new\s+)?[\w$.?!]*\s*(?:<[^()]*>)?\s*\(/.exec(text.slice(start, start + 500));
  if (head === null) {
    const word = /^[\w$]*/.exec(text.slice(start, start + 200))![0];
    return { start, end: start + word.length, arguments: [] };
  }
  const list: Span[] = [];
  const open = start + head[0].length;
  let [from, depth] = [open, 0];
  const add = (to: number) => {
    const part = text.slice(from, to);
    const begin = from + (part.length - part.trimStart().length);
    if (part.trim() !== "") list.push({ start: begin, end: begin + part.trim().length });
  };
  for (let at = open; at < text.length; at++) {
    const c = text[at];
    if ("([{".includes(c)) depth++;
    else if (depth > 0 && ")]}".includes(c)) depth--;
    else if (c === ")") {
      add(at);
      return { start, end: at + 1, arguments: list };
    } else if (c === "," && depth === 0) {
      add(at);
      from = at + 1;
    } else at = passed(text, at);
  }
  return { start, end: open, arguments: [] };
}

/** The last character of the string, template or comment that begins here; else the same place. */
function passed(text: string, at: number): number {
  const c = text[at];
  if (text.startsWith("//", at)) return orEnd(text, text.indexOf("\n", at));
  if (text.startsWith("/*", at)) return orEnd(text, text.indexOf("*/", at + 2)) + 1;
  if (!"\"'`".includes(c)) return at;
  for (let i = at + 1; i < text.length; i++) {
    if (text[i] === "\\") i++;
    else if (text[i] === c) return i;
  }
  return text.length;
}

const orEnd = (text: string, at: number): number => (at === -1 ? text.length : at);

/** The names that a file declares at its beginning of lines, and where they stand. */
export function declaredNames(text: string): (Span & { readonly name: string })[] {
  const pattern =
    /^(?:export\s+)?(?:default\s+)?(?:abstract\s+)?(?:class|const|let|var)\s+([A-Za-z_$][\w$]*)/gm;
  const seen = new Set<string>();
  return [...text.matchAll(pattern)].flatMap(({ 0: whole, 1: name, index }) => {
    if (seen.has(name)) return [];
    seen.add(name);
    const end = index + whole.length;
    return [{ name, start: end - name.length, end }];
  });
}
