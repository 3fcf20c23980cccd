// # The site's own words
//
// Few, since the prose is the chapters'.

import type { Language } from "../../spec/statements.js";

interface Words {
  readonly otherLanguage: string;
  readonly panel: string;
  readonly erratum: string;
  readonly slips: string;
  shownBy(tests: number, slips: number): string;
}

export const words: Readonly<Record<Language, Words>> = {
  en: {
    otherLanguage: "中文",
    panel: "Annotated source",
    erratum: "Erratum: the notes print",
    slips: "Planted slips that these tests notice:",
    shownBy: (tests, slips) =>
      `held to account by ${tests} ${tests === 1 ? "test" : "tests"}, ` +
      `which notice ${slips} planted ${slips === 1 ? "slip" : "slips"}`,
  },
  zh: {
    otherLanguage: "English",
    panel: "带注释的源代码",
    erratum: "勘误：讲义印作",
    slips: "这些测试能发现的植入错误：",
    shownBy: (tests, slips) => `由 ${tests} 个测试检验，能发现 ${slips} 处植入的错误`,
  },
};
