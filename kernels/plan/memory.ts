// # Placing memory
//
// Values that are never alive at the same time can share memory. Each piece is alive from the first
// call that touches it to the last; pieces are placed largest first, each at the lowest offset at
// which it meets no piece that is alive at the same time. No placement needs less than the most that
// is alive at once, and this one rarely needs more; the plan says both.

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

/** Offsets such that pieces which are alive together do not overlap, and where the last one ends. */
export function placeInMemory(pieces: readonly Lifetime[]): {
  readonly offsets: readonly number[];
  readonly bytes: number;
} {
  const offsets = new Array<number>(pieces.length).fill(0);
  const placed: number[] = [];
  const largestFirst = pieces.map((_, i) => i).sort((a, b) => pieces[b].bytes - pieces[a].bytes);
  let end = 0;
  for (const i of largestFirst) {
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
export function mostAlive(pieces: readonly Lifetime[]): number {
  const changes = pieces.flatMap(({ first, last, bytes }) => [
    { at: first, change: aligned(bytes) },
    { at: last + 1, change: -aligned(bytes) },
  ]);
  // What ends before a call makes room for what begins with it.
  changes.sort((a, b) => a.at - b.at || a.change - b.change);
  let [now, most] = [0, 0];
  for (const { change } of changes) {
    now += change;
    most = Math.max(most, now);
  }
  return most;
}
