// # Every law on every operation
//
// `FC_SEED` repeats a run and `FC_RUNS` lengthens it; a failure prints its seed and the shrunk case,
// which becomes an example under `pinned` in the room's law file.

import * as convnotes from "convnotes";
import { laws, rooms } from "./laws.js";
import "./seed.js";

for (const room of rooms())
  describe(room.stem, () => {
    for (const { sentence, applies, holds } of Object.values(laws))
      if (applies(room)) it(sentence, () => holds(room, convnotes));
  });
