// # Seeds
//
// Every run of the tests draws other cases. `FC_SEED=… npm test` repeats the run that printed that
// seed, `FC_RUNS=…` sets how many cases each property gets.

import fc from "fast-check";

const read = (name: string): number | undefined => {
  const text = process.env[name];
  if (text === undefined || text === "") return undefined;
  if (!/^-?\d+$/.test(text)) throw new RangeError(`${name} must be a whole number, got "${text}"`);
  return Number(text);
};

const given = read("FC_SEED");
export const seed = given ?? Date.now() % 2 ** 31;

fc.configureGlobal({ seed, numRuns: read("FC_RUNS") ?? 100 });

if (given === undefined) console.log(`FC_SEED=${seed}`);
