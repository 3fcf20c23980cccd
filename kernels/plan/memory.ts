// # Placing memory
//
// Values that are never alive at the same time can share memory. Each piece is alive from the first
// call that touches it to the last; pieces are placed in turn, each at the lowest offset at which it meets
// no piece that is alive at the same time. No placement needs less than the most that is alive at once.
// Two orders are tried: largest first; and first what is alive when most is, so that nothing else can
// make a gap there, the longest lives lowest. On the notes' networks the second needs at most 0.04 % more
// than the least.

/** Memory that is needed from call `first` to call `last`, both included. */
export interface Lifetime {
  readonly bytes: number;
  readonly first: number;
  readonly last: number;
}

/** Offsets are multiples of this: a cache line, and a vector of AVX-512. */
const ALIGNMENT = 64;

const aligned = (bytes: number) => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;

const meet = (a: Lifetime, b: Lifetime) => a.first <= b.last && b.first <= a.last;

interface Placement {
  readonly offsets: readonly number[];
  readonly bytes: number;
}

/** Offsets such that pieces which are alive together do not overlap, and where the last one ends. */
export function placeInMemory(pieces: readonly Lifetime[]): Placement {
  const { at } = fullest(pieces);
  const length = (i: number) => pieces[i].last - pieces[i].first;
  const bySize = pieces.map((_, i) => i).sort((a, b) => pieces[b].bytes - pieces[a].bytes);
  const isThere = (i: number) => pieces[i].first <= at && at <= pieces[i].last;
  const there = bySize.filter(isThere).sort((a, b) => length(b) - length(a));
  const rest = bySize.filter((i) => !isThere(i));
  const [one, other] = [bySize, [...there, ...rest]].map((order) => placeInTurn(pieces, order));
  return other.bytes <= one.bytes ? other : one;
}

function placeInTurn(pieces: readonly Lifetime[], order: readonly number[]): Placement {
  const offsets = new Array<number>(pieces.length).fill(0);
  const placed: number[] = [];
  let end = 0;
  for (const i of order) {
    const inTheWay = placed
      .filter((j) => meet(pieces[i], pieces[j]))
      .sort((a, b) => offsets[a] - offsets[b]);
    let at = 0;
    for (const j of inTheWay) {
      if (at + pieces[i].bytes <= offsets[j]) break;
      at = Math.max(at, offsets[j] + aligned(pieces[j].bytes));
    }
    offsets[i] = at;
    placed.push(i);
    end = Math.max(end, at + aligned(pieces[i].bytes));
  }
  return { offsets, bytes: end };
}

/** The most bytes that are alive at the same time. */
export const mostAlive = (pieces: readonly Lifetime[]): number => fullest(pieces).bytes;

/** The first call at which most bytes are alive, and how many. */
function fullest(pieces: readonly Lifetime[]): { readonly at: number; readonly bytes: number } {
  const changes = pieces.flatMap(({ first, last, bytes }) => [
    { at: first, change: aligned(bytes) },
    { at: last + 1, change: -aligned(bytes) },
  ]);
  // What ends before a call makes room for what begins with it.
  changes.sort((a, b) => a.at - b.at || a.change - b.change);
  let [now, most, when] = [0, 0, 0];
  for (const { at, change } of changes) {
    now += change;
    if (now > most) [most, when] = [now, at];
  }
  return { at: when, bytes: most };
}
