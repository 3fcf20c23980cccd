// # A small image to try things on
//
// Twelve by twelve pixels: a bright ring on a dark ground, in whole numbers, so that sums can be
// checked in one's head.

export const SIDE = 12;

export const sample: readonly number[] = Array.from({ length: SIDE * SIDE }, (_, i) => {
  const [h, w] = [Math.floor(i / SIDE) - 5.5, (i % SIDE) - 5.5];
  const distance = Math.hypot(h, w);
  return Math.max(0, Math.round(9 - 4 * Math.abs(distance - 3.6)));
});

/** Grey for a value between `low` and `high`. */
export function grey(value: number, low: number, high: number): string {
  const part = high > low ? (value - low) / (high - low) : 0.5;
  return `hsl(210 12% ${Math.round(12 + 80 * part)}%)`;
}

/** Black on bright, white on dark. */
export const ink = (value: number, low: number, high: number): string =>
  high > low && (value - low) / (high - low) < 0.5 ? "#fff" : "#000";
