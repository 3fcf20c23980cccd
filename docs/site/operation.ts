// # An operation as a page
//
// Its note on the left (formula, gradient, bound), its annotated source on the right, the law that
// judges it below the source.

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { anchorsOf, projectRoot, slug } from "../../spec/statements.js";
import { stems } from "../../spec/matrix.js";
import type { Page } from "./chapter.js";
import { sourceId, sourceMarkdown } from "./source.js";

const read = (path: string): string => readFileSync(join(projectRoot, path), "utf8");

/** The pages of all operations that have a note. */
export function operationPages(): Page[] {
  return stems
    .filter((stem) => existsSync(join(projectRoot, "spec", "ops", `${stem}.md`)))
    .map((stem) => ({ params: { name: stem, title: stem }, content: operationPage(stem) }));
}

function operationPage(stem: string): string {
  const source = `reference/ops/${stem}.ts`;
  const law = `spec/ops/${stem}.law.ts`;
  const article = (path: string) =>
    `<article id="${sourceId(path)}" data-path="${path}">\n\n` +
    `<p class="source-path">${path}</p>\n\n${sourceMarkdown(path, read(path))}\n\n</article>`;
  // `Shape`, `Forward` and `Backward` are the same headings in note and source.
  const text = read(source);
  const anchors = anchorsOf(text, source);
  const note = read(`spec/ops/${stem}.md`).replace(/^## (.+)$/gm, (line, heading: string) => {
    const anchor = anchors.find((a) => a === slug(heading));
    if (anchor === undefined) return line;
    const href = `#${sourceId(source, anchor)}`;
    return (
      `${line}\n\n<p class="source-links"><a class="source-link" data-path="${source}" ` +
      `href="${href}">${stem}.ts · ${anchor}</a></p>`
    );
  });
  const articles = [source, law].filter((path) => existsSync(join(projectRoot, path))).map(article);
  return (
    `<div class="reading all">\n<div class="chapter">\n\n${note}\n\n</div>\n` +
    `<aside class="sources" aria-label="Annotated source" tabindex="0">\n\n` +
    `${articles.join("\n\n")}\n\n</aside>\n</div>\n`
  );
}
