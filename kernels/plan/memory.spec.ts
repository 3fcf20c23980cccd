// # Placing memory

import assert from "node:assert/strict";
import fc from "fast-check";
import { type Lifetime, mostAlive, placeInMemory } from "./memory.js";

const lifetime = fc
  .record({ bytes: fc.integer({ min: 1, max: 1000 }), first: fc.nat(20), length: fc.nat(10) })
  .map(({ bytes, first, length }): Lifetime => ({ bytes, first, last: first + length }));

const rounded = (bytes: number) => Math.ceil(bytes / 64) * 64;

describe("placeInMemory", () => {
  it("lets no two values overlap that are alive at the same time", () => {
    fc.assert(
      fc.property(fc.array(lifetime, { maxLength: 30 }), (pieces) => {
        const { offsets, bytes } = placeInMemory(pieces);
        pieces.forEach((a, i) => {
          assert.equal(offsets[i] % 64, 0);
          assert(offsets[i] + a.bytes <= bytes);
          pieces.forEach((b, j) => {
            if (i >= j || a.last < b.first || b.last < a.first) return;
            const apart = offsets[i] + a.bytes <= offsets[j] || offsets[j] + b.bytes <= offsets[i];
            assert(apart, `${i} and ${j} overlap`);
          });
        });
      }),
    );
  });

  it("needs at least what is alive at once, and at most everything", () => {
    fc.assert(
      fc.property(fc.array(lifetime, { maxLength: 30 }), (pieces) => {
        const { bytes } = placeInMemory(pieces);
        const all = pieces.reduce((sum, p) => sum + rounded(p.bytes), 0);
        assert(mostAlive(pieces) <= bytes && bytes <= all);
      }),
    );
  });

  it("puts what is never alive together in the same place", () => {
    const pieces = [0, 1, 2].map((i) => ({ bytes: 100, first: 2 * i, last: 2 * i + 1 }));
    assert.deepEqual(placeInMemory(pieces), { offsets: [0, 0, 0], bytes: 128 });
    assert.equal(mostAlive(pieces), 128);
  });

  it("counts what is alive at one call, whether it begins or ends there", () => {
    fc.assert(
      fc.property(fc.array(lifetime, { minLength: 1, maxLength: 10 }), (pieces) => {
        const at = (t: number) =>
          pieces.reduce((sum, p) => sum + (p.first <= t && t <= p.last ? rounded(p.bytes) : 0), 0);
        const most = Math.max(...Array.from({ length: 40 }, (_, t) => at(t)));
        assert.equal(mostAlive(pieces), most);
      }),
    );
  });
});
