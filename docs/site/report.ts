// # The traceability matrix as a page

import { ingredients, makeMatrix, showMatrix } from "../../spec/matrix.js";
import type { Page } from "./chapter.js";

export function reportPages(): Page[] {
  const content = showMatrix(makeMatrix(ingredients()));
  return [{ params: { name: "traceability", title: "Traceability" }, content }];
}
