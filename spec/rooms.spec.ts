// # Every room has all its doors

import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { doors, stems } from "./rooms.js";

describe("rooms", () => {
  it("are the files of reference/ops, one for each", () => {
    const files = readdirSync("reference/ops").map((name) => name.replace(/\.ts$/, ""));
    assert.deepEqual([...stems].sort(), files.filter((name) => name !== "index").sort());
  });

  for (const stem of stems)
    it(`${stem} has all its doors`, () => {
      const missing = doors(stem).filter((door) => door.state === "missing");
      assert.deepEqual(
        missing.map((door) => door.path),
        [],
      );
    });
});
