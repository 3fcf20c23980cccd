import { katex } from "@mdit/plugin-katex";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { type DefaultTheme, defineConfig } from "vitepress";
import { convnotesPlugin } from "../../extension/preview/plugin.js";
import { createFrontEnd } from "../../reference/pytorch/index.js";
import { type Language, readChapters } from "../../spec/statements.js";
import { operationPages } from "../site/operation.js";

const root = resolve(import.meta.dirname, "../..");

const wasm = (name: string) => readFileSync(resolve(root, "node_modules", name, `${name}.wasm`));

/** Reads the networks in the pages' Python, for the tables beneath it. */
const frontEnd = await createFrontEnd({
  runtime: wasm("web-tree-sitter"),
  python: wasm("tree-sitter-python"),
});

const operations: DefaultTheme.SidebarItem = {
  text: "Operations",
  items: operationPages().map(({ params }) => ({
    text: params.title,
    link: `/operations/${params.name}`,
  })),
};

const project: DefaultTheme.SidebarItem = {
  text: "The project",
  items: [
    { text: "Traceability", link: "/reports/traceability" },
    { text: "In the editor", link: "/editor" },
    { text: "Training speed", link: "/bench" },
    { text: "On a GPU", link: "/gpu" },
    { text: "Files", link: "/files" },
    { text: "Fidelity to PyTorch", link: "/fidelity" },
    { text: "Experiment: batch normalisation", link: "/experiments/batch-norm" },
    { text: "Experiment: pooling", link: "/experiments/pooling" },
    { text: "Experiment: depth and activation", link: "/experiments/depth-activation" },
    { text: "Experiment: VGG and AlexNet", link: "/experiments/vgg-alexnet" },
    { text: "Why rooms", link: "/decisions/0001-rooms" },
    { text: "Why rounded once", link: "/decisions/0002-rounded-once" },
    { text: "Why gradients are primitives", link: "/decisions/0003-gradients-are-primitives" },
    { text: "Why no clock in the log", link: "/decisions/0004-no-clock-in-the-log" },
    { text: "Why programs", link: "/decisions/0005-programs" },
    { text: "Why looks, and how often", link: "/decisions/0006-verified-training" },
    { text: "Why one source for GPUs", link: "/decisions/0007-gpus" },
    { text: "Why fewer multiplications", link: "/decisions/0008-winograd" },
  ],
};

function chapters(language: Language): DefaultTheme.SidebarItem {
  const base = language === "en" ? "" : "/zh";
  return {
    text: language === "en" ? "Chapters" : "各章",
    items: readChapters()
      .filter((c) => c.language === language)
      .map((c) => ({
        text: `${Number(c.name.slice(0, 2))}. ${c.title}`,
        link: `${base}/chapters/${c.name}`,
      })),
  };
}

/** A kernel of three by three, drawn here so that there is no file to fetch. */
const icon =
  "data:image/svg+xml," +
  encodeURIComponent(
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 3 3" fill="#2468b2">' +
      '<path d="M0 0h1v1h1v1h1v1h-1v-1h-1v-1h-1zM2 0h1v1h-1zM0 2h1v1h-1z"/></svg>',
  );

export default defineConfig({
  title: "convnotes",
  description: "Convolutional networks, from the formula on the page to verified training",
  head: [["link", { rel: "icon", href: icon }]],
  // Files of the project that are no pages are linked from some pages.
  ignoreDeadLinks: [/\/(docs|reference|spec)\//, /^\.\.?\/\.\.\//],
  themeConfig: {
    search: { provider: "local" },
    sidebar: { "/operations/": [operations], "/": [chapters("en"), project] },
    nav: [
      { text: "Chapters", link: "/chapters/02-from-mlp-to-convolution" },
      { text: "Operations", link: "/operations/conv2d" },
    ],
    // Only chapters are in both languages; each links to its other one.
    i18nRouting: false,
    outline: false,
  },
  locales: {
    root: { label: "English", lang: "en" },
    zh: {
      label: "简体中文",
      lang: "zh-CN",
      description: "卷积网络：从纸上的公式到经过验证的训练",
      themeConfig: {
        sidebar: { "/zh/": [chapters("zh")] },
        nav: [
          { text: "各章", link: "/zh/chapters/02-from-mlp-to-convolution" },
          { text: "运算", link: "/operations/conv2d" },
        ],
        sidebarMenuLabel: "目录",
        returnToTopLabel: "回到顶部",
        darkModeSwitchLabel: "深色模式",
        docFooter: { prev: "上一页", next: "下一页" },
      },
    },
  },
  markdown: {
    theme: { light: "github-light-high-contrast", dark: "github-dark-high-contrast" },
    config(md) {
      // The plugin and VitePress bring type declarations of markdown-it of their own.
      md.use((own) => katex(own as never, { throwOnError: true }));
      md.use((own) =>
        convnotesPlugin(own as never, {
          analyse: (text) => frontEnd.analyse({ file: "page", language: "markdown", text }),
        }),
      );
      // Vue must not look for its own braces inside a formula.
      for (const rule of ["inline_katex", "block_katex", "math_inline", "math_block"]) {
        const render = md.renderer.rules[rule];
        if (render !== undefined)
          md.renderer.rules[rule] = (...args) =>
            rule.includes("inline")
              ? `<span v-pre>${render(...args)}</span>`
              : `<div v-pre class="formula" tabindex="0">${render(...args)}</div>`;
      }
    },
  },
  vite: {
    resolve: { alias: { convnotes: resolve(root, "reference/index.ts") } },
    server: { fs: { allow: [root] } },
    build: { chunkSizeWarningLimit: 2000 },
  },
});
