// # The site in a browser
//
// Built as for readers, opened in Chromium: every page loads without an error, is accessible, and
// has no dead link; the panel follows the reader; letters and names light up together; widgets
// compute what the reference computes, and explain what cannot be.
//
// `npm run test:site`; Chromium is found by `CHROMIUM`, or where Debian and Google put it.

import { AxeBuilder } from "@axe-core/playwright";
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, relative } from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";

const dist = "docs/.vitepress/dist";
const types: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".woff2": "font/woff2",
  ".json": "application/json",
  ".svg": "image/svg+xml",
};

const browsers = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const executablePath = process.env.CHROMIUM ?? browsers.find((path) => existsSync(path));

function pagesBelow(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return entry.name === "assets" ? [] : pagesBelow(path);
    return path.endsWith(".html") && entry.name !== "404.html" ? [relative(dist, path)] : [];
  });
}

describe("site", function () {
  this.timeout(600_000);
  this.slow(60_000);
  let server: Server;
  let browser: Browser;
  let address = "";

  before(async () => {
    assert.ok(executablePath, "no Chromium: install one, or name it by CHROMIUM");
    const built = spawnSync("npx", ["--no-install", "vitepress", "build", "docs"], {
      encoding: "utf8",
    });
    assert.equal(built.status, 0, built.stdout + built.stderr);
    server = createServer((request, response) => {
      const path = join(dist, decodeURIComponent(new URL(request.url!, "http://x").pathname));
      const file =
        existsSync(path) && statSync(path).isDirectory() ? join(path, "index.html") : path;
      if (!existsSync(file)) return void response.writeHead(404).end();
      response.writeHead(200, {
        "content-type": types[extname(file)] ?? "application/octet-stream",
      });
      response.end(readFileSync(file));
    });
    await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
    address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    browser = await chromium.launch({
      executablePath,
      args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
    });
  });

  after(async () => {
    await (browser as Browser | undefined)?.close();
    (server as Server | undefined)?.close();
  });

  /** A page as its reader has it: loaded, and run by its scripts, which give buttons their names. */
  async function settle(page: Page, path: string): Promise<void> {
    await page.goto(`${address}/${path}`, { waitUntil: "networkidle" });
    await page.waitForFunction(() => "__vue_app__" in document.getElementById("app")!);
  }

  async function open(path: string, problems: string[] = []): Promise<Page> {
    const page = await browser.newPage({ viewport: { width: 1400, height: 900 } });
    page.on("pageerror", (error) => problems.push(`${path}: ${error.message}`));
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning")
        problems.push(`${path}: ${message.text()}`);
    });
    page.on("requestfailed", (request) => problems.push(`${path}: ${request.url()} failed`));
    await settle(page, path);
    return page;
  }

  it("loads every page without an error, and every link on it leads somewhere", async () => {
    const problems: string[] = [];
    const pages = pagesBelow(dist);
    assert.ok(pages.length > 20, `only ${pages.length} pages`);
    for (const path of pages) {
      const page = await open(path, problems);
      const targets = await page.$$eval("a[href]", (links) =>
        links.map((link) => (link as HTMLAnchorElement).href),
      );
      const ids = new Set(await page.$$eval("[id]", (all) => all.map((e) => e.id)));
      for (const target of new Set(targets)) {
        const url = new URL(target);
        if (url.origin !== address) continue;
        const file = url.pathname.endsWith("/") ? `${url.pathname}index.html` : url.pathname;
        if (!existsSync(join(dist, file))) problems.push(`${path}: links to ${url.pathname}`);
        const anchor = decodeURIComponent(url.hash.slice(1));
        if (file === `/${path}` && anchor !== "" && !ids.has(anchor))
          problems.push(`${path}: links to #${anchor}, which is not there`);
      }
      await page.close();
    }
    assert.deepEqual(problems, []);
  });

  it("has no serious accessibility finding, in light and in dark", async () => {
    const findings: string[] = [];
    const pages = [
      "index.html",
      "chapters/02-from-mlp-to-convolution.html",
      "operations/softmax.html",
    ];
    for (const path of [...pages, "zh/chapters/02-from-mlp-to-convolution.html"])
      for (const colorScheme of ["light", "dark"] as const) {
        const context = await browser.newContext({ colorScheme });
        const page = await context.newPage();
        await settle(page, path);
        const { violations } = await new AxeBuilder({ page }).analyze();
        for (const v of violations)
          if (v.impact === "serious" || v.impact === "critical")
            findings.push(`${path} (${colorScheme}): ${v.id}: ${v.nodes[0].html.slice(0, 160)}`);
        await context.close();
      }
    assert.deepEqual(findings, []);
  });

  it("keeps the cited source in view while the reader scrolls", async () => {
    const page = await open("chapters/02-from-mlp-to-convolution.html");
    const labels = await page.$$eval(".statement", (all) => all.map((e) => e.id));
    for (const label of labels) {
      await page.locator(`[id="${label}"]`).evaluate((e) => {
        window.scrollTo(0, e.getBoundingClientRect().top + window.scrollY - 120);
      });
      await page.waitForFunction((id) => document.getElementById(id)?.matches(".current"), label);
      const place = await page.evaluate((id) => {
        const target = document.getElementById(document.getElementById(id)!.dataset.target!)!;
        const panel = document.querySelector(".sources")!.getBoundingClientRect();
        const { top, height } = target.getBoundingClientRect();
        return { inside: height > 0 && top >= panel.top && top < panel.bottom };
      }, label);
      assert.ok(place.inside, `${label}: the cited heading is out of view`);
    }
    await page.close();
  });

  it("lights up a letter in formula and code together", async () => {
    const page = await open("chapters/02-from-mlp-to-convolution.html");
    await page.locator(".statement .katex-html [data-letters='x']").first().hover();
    const lit = await page.$$eval(".lit", (all) => all.map((e) => e.textContent.trim()));
    assert.ok(lit.includes("x"), "no letter of a formula is lit");
    assert.ok(lit.includes("input"), "no name in the code is lit");
    await page.close();
  });

  it("computes in the widget what the reference computes, and explains what cannot be", async () => {
    const page = await open("chapters/02-from-mlp-to-convolution.html");
    const widget = page.locator(".widget").first();
    await widget.scrollIntoViewIfNeeded();
    await widget.locator("select").selectOption("blur");
    const sum = await widget.locator("output").first().innerText();
    const [, terms, result] = /= (.*) = (-?\d+)$/.exec(sum)!;
    const products = terms.split(" + ").map((t) => t.split("·").map(Number));
    assert.equal(
      products.reduce((total, [w, x]) => total + w * x, 0),
      Number(result),
    );
    assert.match(
      await widget.locator("output").nth(1).innerText(),
      /\(12 \+ 2·0 − 3\)\/1 \+ 1 = 10$/,
    );
    await widget.locator("input[type=number]").nth(2).fill("8");
    await widget.locator("input[type=number]").nth(2).press("Tab");
    assert.match(
      await widget.locator(".refusal").innerText(),
      /spans 17 pixels, but the height is 12/,
    );
    await page.close();
  });

  it("reads on a phone without scrolling sideways", async () => {
    const page = await browser.newPage({ viewport: { width: 390, height: 844 } });
    await settle(page, "zh/chapters/02-from-mlp-to-convolution.html");
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= 390, `the page is ${width} pixels wide`);
    await page.close();
  });
});
