// # A chapter as a page
//
// The chapter's own Markdown on the left, the sources that its statements cite on the right. The
// text of both is read where it stands, in `spec/chapters` and in the sources; here they are only
// put together. Below each statement stand its tests and the slips that they were seen to notice.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { kills } from "../../spec/chapters/mutants.js";
import { ingredients } from "../../spec/matrix.js";
import {
  type Chapter,
  chapterProblems,
  type Language,
  projectRoot,
  readChapters,
  readTests,
  type Statement,
} from "../../spec/statements.js";
import { sourceId, sourceMarkdown } from "./source.js";
import { widgetsAfter } from "./widgets.js";
import { words } from "./words.js";

/** One page for VitePress's dynamic routes. */
export interface Page {
  readonly params: { readonly name: string; readonly title: string };
  readonly content: string;
}

const read = (path: string): string => readFileSync(join(projectRoot, path), "utf8");

/** The pages of all chapters in a language. */
export function chapterPages(language: Language): Page[] {
  const chapters = readChapters();
  const { project } = ingredients();
  const problems = chapterProblems(chapters, project);
  if (problems.length > 0) throw new Error(problems.join("\n"));
  const tests = readTests();
  return chapters
    .filter((c) => c.language === language)
    .map((chapter) => ({
      params: { name: chapter.name, title: chapter.title },
      content: chapterPage(chapter, tests),
    }));
}

function chapterPage(chapter: Chapter, tests: ReturnType<typeof readTests>): string {
  let text = read(chapter.file);
  for (const statement of chapter.statements) {
    const pattern = new RegExp(`^::: statement ${statement.label}\\n[\\s\\S]*?^:::$`, "m");
    text = text.replace(pattern, () => statementMarkdown(statement, tests));
  }
  // A link to another chapter's file is a link to its page.
  text = text.replace(/\]\((\d\d-[a-z0-9-]+)(?:\.zh)?\.md/g, "](./$1");
  const paths = [...new Set(chapter.statements.flatMap((s) => s.sources.map((x) => x.path)))];
  const { panel, otherLanguage } = words[chapter.language];
  const folder = chapter.language === "en" ? "../zh/chapters" : "../../chapters";
  const sources = paths.map(
    (path) =>
      `<article id="${sourceId(path)}" data-path="${path}">\n\n` +
      `<p class="source-path">${path}</p>\n\n${sourceMarkdown(path, read(path))}\n\n</article>`,
  );
  return (
    `<div class="reading">\n<div class="chapter">\n\n` +
    `[${otherLanguage}](${folder}/${chapter.name}){.other-language}\n\n${text}\n\n</div>\n` +
    `<aside class="sources" aria-label="${panel}" tabindex="0">\n\n${sources.join("\n\n")}\n\n` +
    `</aside>\n</div>\n`
  );
}

function statementMarkdown(statement: Statement, tests: ReturnType<typeof readTests>): string {
  const { label, language, body, sources, erratum } = statement;
  const text = words[language];
  const links = sources.map(({ path, anchor }) => {
    const id = sourceId(path, anchor);
    const name = path.replace(/^.*\//, "");
    const place = anchor === null ? "" : ` · ${anchor.replaceAll("-", " ")}`;
    return `<a class="source-link" href="#${id}" data-path="${path}">${name}${place}</a>`;
  });
  const own = tests.filter((test) => test.label === label);
  const slips = kills[label] ?? [];
  const list = (items: readonly string[]) => items.map((item) => `- ${item}`).join("\n");
  return [
    `<section class="statement" id="${label}" data-path="${sources[0].path}" ` +
      `data-target="${sourceId(sources[0].path, sources[0].anchor)}">`,
    `<a class="label" href="#${label}">${label}</a>`,
    body,
    erratum === null ? "" : `<div class="erratum">\n\n${text.erratum} ${erratum}\n\n</div>`,
    ...widgetsAfter(label).map((name) => `<ClientOnly><${name} lang="${language}" /></ClientOnly>`),
    `<p class="source-links">${links.join(" ")}</p>`,
    `<details><summary>${text.shownBy(own.length, slips.length)}</summary>`,
    list(own.map((test) => test.title)),
    slips.length === 0 ? "" : `${text.slips}\n\n${list(slips.map((s) => s))}`,
    "</details>",
    "</section>",
  ].join("\n\n");
}
