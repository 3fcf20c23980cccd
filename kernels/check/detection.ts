// # How often a dropped product is noticed
//
// A kernel that leaves out one product of a long sum is off by little. Here sums are computed by the
// kernels, one product is taken away again, and three judges look: the bound that counts all additions
// (γₙ), the bound of the order in which the kernels add up (`inChunks`), and equality on whole numbers,
// where nothing rounds.

import * as convnotes from "convnotes";
import { float32, inChunks, sumBound, within } from "../../spec/rounding.js";

const OUTPUTS = 64;

/** Shares of the faults that were noticed, from 0 to 1, and right results that were refused. */
export interface Detection {
  readonly byAdditions: number;
  readonly inChunks: number;
  readonly onWholeNumbers: number;
  readonly falseAlarms: number;
}

/** Tries `samples` sums of `terms` products, as `linear` computes them on `cpu`. */
export function detection(terms: number, samples: number): Detection {
  const seen = { byAdditions: 0, inChunks: 0, onWholeNumbers: 0, falseAlarms: 0 };
  let tried = 0;
  const whole = (t: convnotes.Tensor) => {
    for (let i = 0; i < t.size; i++) t.data[i] = Math.round(Number(t.data[i]));
  };
  while (tried < samples) {
    for (const exactly of [false, true]) {
      const [x, w] = [convnotes.randn([1, terms]), convnotes.randn([OUTPUTS, terms])];
      if (exactly) [x, w].forEach(whole);
      const y = convnotes.linear(x, w, null);
      for (let o = 0; o < OUTPUTS; o++) {
        const product = (k: number) => Number(x.data[k]) * Number(w.data[o * terms + k]);
        let [expected, size] = [0, 0];
        for (let k = 0; k < terms; k++) {
          expected += product(k);
          size += Math.abs(product(k));
        }
        // A dropped product of nothing is no fault.
        let dropped = (o * 7919 + tried) % terms;
        while (product(dropped) === 0) dropped = (dropped + 1) % terms;
        const right = Number(y.data[o]);
        const wrong = Math.fround(right - product(dropped));
        if (exactly) {
          if (wrong !== expected) seen.onWholeNumbers++;
          if (right !== expected) seen.falseAlarms++;
          continue;
        }
        const [wide, narrow] = [float32, inChunks].map((a) => sumBound(terms, size, a));
        if (!within(wrong, expected, wide)) seen.byAdditions++;
        if (!within(wrong, expected, narrow)) seen.inChunks++;
        if (!within(right, expected, narrow)) seen.falseAlarms++;
      }
    }
    tried += OUTPUTS;
  }
  return {
    byAdditions: seen.byAdditions / tried,
    inChunks: seen.inChunks / tried,
    onWholeNumbers: seen.onWholeNumbers / tried,
    falseAlarms: seen.falseAlarms,
  };
}
