// # While it is typed
//
// Half-written code cannot be run. What was known of the text before stays where it has not been touched.

import type { Analysis, Network, SourceRange } from "convnotes/pytorch";

/** The networks of `before`, in the places that their code has in `after`. */
export function moved(
  { networks }: Analysis,
  before: string,
  after: string,
): Pick<Analysis, "networks"> {
  const most = Math.min(before.length, after.length);
  let [head, tail] = [0, 0];
  while (head < most && before[head] === after[head]) head++;
  while (tail < most - head && before.at(-1 - tail) === after.at(-1 - tail)) tail++;
  const changed = before.length - tail;
  const shift = after.length - before.length;
  const at = (range: SourceRange): SourceRange | null => {
    if (range.end <= head) return range;
    if (range.start < changed) return null;
    return { ...range, start: range.start + shift, end: range.end + shift };
  };
  return {
    networks: networks.flatMap((network): Network[] => {
      const range = at(network.range);
      if (range === null) return [];
      const calls = network.calls.flatMap((call) => {
        const [definition, place] = [at(call.definition), at(call.call)];
        const known = definition ?? place;
        return known ? [{ ...call, definition: definition ?? known, call: place ?? known }] : [];
      });
      const values = network.values.flatMap((value) => {
        const place = at(value.range);
        return place ? [{ ...value, range: place }] : [];
      });
      return [{ ...network, range, calls, values }];
    }),
  };
}
