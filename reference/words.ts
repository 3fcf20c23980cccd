// # Words
//
// A refusal or a finding is said once, in English, where it is made. What is said keeps its values apart
// from its words, so that whoever shows it can say it in another language: the words with their holes are
// what a translation is found by.

/** Words and what fills their holes. Plain data, so that it can cross from a worker. */
export interface Said {
  /** English, with `{0}`, `{1}`, … where the values go. */
  readonly words: string;
  readonly values: readonly (string | number | Said)[];
}

const known = new WeakMap<TemplateStringsArray, string>();

/**
 * ``say`${name} is not defined here` ``. What has words of its own fills a hole as a `Said`, not as text.
 * A line break with what indents the next line is one space.
 */
export function say(parts: TemplateStringsArray, ...values: Said["values"]): Said {
  let words = known.get(parts);
  if (words === undefined) {
    words = parts
      .reduce((before, part, i) => `${before}{${i - 1}}${part}`)
      .replace(/\s*\n\s*/g, " ");
    known.set(parts, words);
  }
  return { words, values };
}

/** `2 or 3`. */
export const either = (values: readonly (string | number)[]): Said["values"][number] =>
  values.reduce<Said["values"][number]>(
    (before, next, i) => (i === 0 ? next : say`${before} or ${next}`),
    "",
  );

/** As text: in English, or in the words that `translate` has for the English ones. */
export const spoken = (
  { words, values }: Said,
  translate: (words: string) => string = (english) => english,
): string =>
  translate(words).replace(/\{(\d+)\}/g, (_, i: string) => {
    const value = values[Number(i)];
    return typeof value === "object" ? spoken(value, translate) : String(value);
  });

/** An error that was said. */
export class Refusal extends Error {
  constructor(readonly said: Said) {
    super(spoken(said));
  }
}

/** What an error says; its own text, where it was not made to be translated. */
export function saidBy(error: unknown): Said {
  if (!(error instanceof Error)) return say`it failed`;
  const { message } = error;
  const said = "said" in error && isSaid(error.said) ? error.said : null;
  if (said === null || !message.endsWith(spoken(said))) return say`${message}`;
  // Whoever passed it on may have put names before it.
  const before = message.slice(0, message.length - spoken(said).length);
  return before === "" ? said : say`${before}${said}`;
}

const isSaid = (value: unknown): value is Said =>
  typeof value === "object" && value !== null && "words" in value && "values" in value;
