// # The extension in a real VS Code
//
// First the tests that run inside of its extension host, then the packed extension in its workbench, as a
// user meets it, with pictures of what is seen in `build/shots`.
//
// `npm run test:editor`; `bash extension/test/hosts/setup.sh newest` installs VS Code.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join, resolve } from "node:path";
import type { Browser, Locator, Page } from "playwright-core";
import {
  hostName,
  openBrowser,
  runInside,
  type Server,
  type ServerOptions,
  startServer,
  workbench,
} from "./host.js";
import { makeWorkspace } from "./workspace.mjs";

const workspace = makeWorkspace();
const { version } = JSON.parse(readFileSync("extension/package.json", "utf8")) as {
  version: string;
};
const vsix = resolve("build", `convnotes-${version}.vsix`);
const shots = resolve("build", "shots", hostName);

describe(`VS Code (${hostName})`, function () {
  this.timeout(240_000);
  this.slow(60_000);
  let browser: Browser;

  before(async () => {
    const packed = spawnSync(process.execPath, ["extension/package.mjs"], { encoding: "utf8" });
    assert.equal(packed.status, 0, packed.stdout + packed.stderr);
    mkdirSync(shots, { recursive: true });
    browser = await openBrowser();
  });
  after(async () => {
    await (browser as Browser | undefined)?.close();
    rmSync(workspace, { recursive: true, force: true });
  });

  afterEach(async function () {
    const open = (page as Page | undefined)?.isClosed() === false;
    if (this.currentTest?.state === "failed" && open) await shot("failed");
  });

  // ## What a user does

  let page: Page;

  /** A VS Code with the package installed, and a file open in it. */
  async function begin(file: string, options: ServerOptions = {}): Promise<Server> {
    const settings = {
      "editor.hover.delay": 150,
      "editor.fontSize": 13,
      "editor.minimap.enabled": false,
      "workbench.colorTheme": "Default Light Modern",
      "files.exclude": { node_modules: true },
      ...options.settings,
    };
    const server = await startServer({ ...options, settings });
    await server.install(vsix);
    page = await browser.newPage({ viewport: { width: 1280, height: 860 } });
    const open = ["openFile", server.remote(join(workspace, file))] as const;
    await page.goto(workbench(server, workspace, [open]));
    return server;
  }

  const line = (text: string): Locator => page.locator(".view-line", { hasText: text }).first();
  const shot = (name: string) => page.screenshot({ path: join(shots, `${name}.png`) });

  /**
   * Does it until it succeeds. What takes the focus closes palettes and hovers, and editors and panels
   * that open or close take it when they are ready, which on a busy machine is late.
   */
  async function again<T>(times: number, attempt: () => Promise<T>): Promise<T> {
    for (let i = 1; ; i++) {
      try {
        return await attempt();
      } catch (error) {
        if (i === times) throw error;
        // Whatever is half open, in a panel's frame or outside, is put away.
        await page.locator("[id='workbench.parts.activitybar']").click();
        await page.keyboard.press("Escape");
        await page.waitForTimeout(250 * i);
      }
    }
  }

  /**
   * Asks the palette for a command until `done` is seen. What was asked for may come late, and then must not
   * be asked for twice: a theme would be toggled back, and a preview offers no preview.
   */
  const command = (name: string, done: Locator): Promise<void> =>
    again(8, async () => {
      if (await done.isVisible()) return;
      const palette = page.locator(".quick-input-widget");
      await page.keyboard.press("F1");
      await palette.locator("input").first().fill(`>${name}`, { timeout: 3000 });
      const row = palette.locator(".monaco-list-row", { hasText: name }).first();
      await row.click({ timeout: 3000 });
      await done.waitFor({ timeout: 15_000 });
    });

  /** A hover with these words. */
  const hoverOver = (place: Locator, words: string): Promise<Locator> =>
    again(8, async () => {
      const shown = page.locator(".monaco-hover:not(.hidden)", { hasText: words }).first();
      await place.hover({ timeout: 4000 });
      await shown.waitFor({ timeout: 4000 });
      return shown;
    });

  /** A panel's content lies in a frame inside of a frame. */
  function panel(selector: string): Locator {
    return page
      .locator("iframe.webview.ready")
      .last()
      .contentFrame()
      .locator("iframe#active-frame")
      .contentFrame()
      .locator(selector);
  }

  async function openFile(name: string, text: string): Promise<void> {
    await command("View: Close All Editors", page.locator(".editor-group-container.empty"));
    const row = page.locator(".explorer-folders-view .monaco-list-row", { hasText: name });
    await again(3, async () => {
      await row.first().dblclick({ timeout: 5000 });
      await line(text).waitFor({ timeout: 15_000 });
    });
  }

  it("passes the tests inside of its extension host", async () => {
    const { lines } = await runInside(browser, workspace);
    for (const { title, state } of lines) console.log(`        ${state} ${title}`);
    assert.deepEqual(
      lines.filter(({ state }) => state !== "passed"),
      [],
    );
    assert.ok(lines.length >= 8);
  });

  it("has a server that runs in a browser's worker", async () => {
    const dist = join("extension", "dist");
    const files = createServer((request, response) => {
      const path = join(dist, new URL(request.url!, "http://x").pathname);
      if (request.url === "/")
        response.setHeader("content-type", "text/html").end("<!doctype html>");
      else if (existsSync(path))
        response.setHeader("content-type", "text/javascript").end(readFileSync(path));
      else response.writeHead(404).end();
    });
    await new Promise<void>((listening) => void files.listen(0, "127.0.0.1", listening));
    const bytes = (name: string) => [...readFileSync(join(dist, "wasm", `${name}.wasm`))];
    const options = {
      runtime: bytes("web-tree-sitter"),
      python: bytes("tree-sitter-python"),
      statements: readFileSync(join(dist, "statements.json"), "utf8"),
    };
    try {
      const page = await browser.newPage();
      await page.goto(`http://127.0.0.1:${(files.address() as AddressInfo).port}/`);
      const text = readFileSync(join("extension", "test", "workspace", "lenet.py"), "utf8");
      // The page's own words: types of a browser are not known here.
      const script = `async ({ options, text }) => {
        const worker = new Worker("/web/server.js");
        const waiting = new Map();
        const said = [];
        worker.onmessage = ({ data }) => {
          if (data.method === "window/logMessage") said.push(data.params.message);
          waiting.get(data.id)?.(data.result ?? data.error);
        };
        let id = 0;
        const tell = (method, params) => worker.postMessage({ jsonrpc: "2.0", method, params });
        const ask = (method, params) => new Promise((answered) => {
          waiting.set(++id, answered);
          worker.postMessage({ jsonrpc: "2.0", id, method, params });
        });
        await ask("initialize", { processId: null, rootUri: null, capabilities: {}, initializationOptions: options });
        tell("initialized", {});
        const uri = "file:///lenet.py";
        tell("textDocument/didOpen", { textDocument: { uri, languageId: "python", version: 1, text } });
        const range = { start: { line: 0, character: 0 }, end: { line: 99, character: 0 } };
        let hints = [];
        for (let i = 0; i < 100 && hints.length === 0; i++) {
          hints = await ask("textDocument/inlayHint", { textDocument: { uri }, range });
          await new Promise((wake) => setTimeout(wake, 50));
        }
        const outputs = await ask("convnotes/outputs", { file: uri, network: "net" });
        return { hints: hints.map(({ label }) => label), outputs, said };
      }`;
      const { hints, outputs, said } = await page.evaluate<{
        hints: string[];
        said: string[];
        outputs: { outputs: { layers?: unknown[] } };
      }>(`(${script})(${JSON.stringify({ options, text })})`);
      assert.ok(hints.includes("→ N×16×5×5"), `${hints.join("; ")} ${said.join("; ")}`);
      assert.equal(outputs.outputs.layers?.length, 12, JSON.stringify(outputs).slice(0, 300));
      await page.close();
    } finally {
      files.close();
    }
  });

  it("follows neighbouring files in a browser's extension host, and notices their changes", async () => {
    const file = join(workspace, "blocks", "residual.py");
    const before = readFileSync(file, "utf8");
    const settings = { "remote.extensionKind": { "convnotes.convnotes-vscode": ["web"] } };
    const server = await begin("stages.py", { settings });
    try {
      await line("→ N×6272").waitFor({ timeout: 90_000 });
      // Outputs are computed by a worker of the worker.
      const layer = page.locator(".view-line span span", { hasText: "Conv2d" }).first();
      await (await hoverOver(layer, "mean")).locator("img").first().waitFor();
      await page.mouse.move(900, 700);
      writeFileSync(file, before.replace("self.body(x) + x", "self.body(x)[:, :4]"));
      await line("→ N×3136").waitFor({ timeout: 60_000 });
      rmSync(file);
      await line("→ ?").waitFor({ timeout: 60_000 });
    } catch (error) {
      await shot("failed");
      throw error;
    } finally {
      writeFileSync(file, before);
      await page.close();
      await server.stop();
    }
  });

  describe("with the package installed", () => {
    let server: Server;

    before(async () => {
      server = await begin("lenet.py");
      await line("nn.Conv2d").waitFor({ timeout: 60_000 });
    });
    after(async () => {
      await (server as Server | undefined)?.stop();
    });

    it("shows hints behind the layers and lenses above the network", async () => {
      await line("→ N×6×28×28").waitFor({ timeout: 30_000 });
      await page
        .locator(".codelens-decoration a", { hasText: "61,706 parameters" })
        .first()
        .waitFor();
      await shot("hints");
    });

    it("shows the output as a picture in the hover", async () => {
      const layer = line("nn.Conv2d(1, 6").locator("span span", { hasText: "Conv2d" }).first();
      const picture = (await hoverOver(layer, "mean")).locator("img").first();
      await picture.waitFor({ timeout: 15_000 });
      assert.ok((await picture.evaluate((img: { naturalWidth: number }) => img.naturalWidth)) > 20);
      await page.waitForTimeout(400);
      await shot("hover");
      await page.keyboard.press("Escape");
      await page.mouse.move(900, 700);
    });

    it("opens the outputs beside the source, and leads from a layer to its line", async () => {
      await page.locator(".codelens-decoration a", { hasText: "Open outputs" }).first().click();
      await panel("article.layer img").nth(5).waitFor({ timeout: 30_000 });
      assert.equal(await panel("article.layer").count(), 13);
      await page.waitForTimeout(500);
      await shot("outputs");
      const first = await panel("article.layer img").first().getAttribute("src");
      await panel("button.sample").nth(4).click();
      await page.waitForFunction(() => true);
      for (let i = 0; i < 50; i++) {
        if ((await panel("article.layer img").first().getAttribute("src")) !== first) break;
        await page.waitForTimeout(100);
      }
      assert.notEqual(await panel("article.layer img").first().getAttribute("src"), first);
      await panel("button.link").nth(3).click();
      await page.locator(".view-line", { hasText: "nn.Conv2d(6, 16" }).first().waitFor();
    });

    it("trains the network of the source, stops and goes on", async () => {
      await openFile("lenet.py", "nn.Conv2d");
      await page.locator(".codelens-decoration a", { hasText: "Train" }).first().click();
      await panel("button.primary").waitFor({ timeout: 20_000 });
      await panel("input[name=epochs]").fill("2");
      await panel("input[name=batchSize]").fill("128");
      await panel("button.primary").click();
      await panel("polyline.thin").first().waitFor({ timeout: 60_000 });
      await panel("button").filter({ hasText: "Stop" }).click();
      const resume = panel("button").filter({ hasText: "Resume" });
      await resume.and(panel("button:enabled")).waitFor({ timeout: 60_000 });
      assert.ok(existsSync(join(workspace, "runs", "lenet-net-1", "checkpoint.safetensors")));
      await resume.click();
      await panel("circle.validation").first().waitFor({ timeout: 120_000 });
      await shot("training");
      await panel("button").filter({ hasText: "Stop" }).click();
      await resume.and(panel("button:enabled")).waitFor({ timeout: 60_000 });
    });

    it("underlines a wrong number and offers the right one", async () => {
      await openFile("wrong.py", "nn.Linear");
      await page.locator(".squiggly-error").first().waitFor({ timeout: 20_000 });
      await hoverOver(line("1024").locator("span", { hasText: "1024" }).last(), "2048");
      await page.waitForTimeout(300);
      await shot("fix");
      await page.keyboard.press("Escape");
    });

    it("lists the modules in a tree", async () => {
      await openFile("wrong.py", "nn.Linear");
      await page.locator(".pane-header", { hasText: "Networks" }).click();
      await page
        .locator(".monaco-list-row", { hasText: "Conv2d → N×16×32×32" })
        .first()
        .waitFor({ timeout: 20_000 });
      await shot("tree");
      await page.locator(".pane-header", { hasText: "Networks" }).click();
    });

    it("renders layer tables in Markdown's preview", async () => {
      await openFile("notes.md", "Networks of blocks");
      await command(
        "Markdown: Open Preview to the Side",
        panel(".convnotes-network td.shape").first(),
      );
      assert.match((await panel(".convnotes-network").last().textContent()) ?? "", /N×128×7×7/);
      await page.waitForTimeout(500);
      await shot("preview");
    });

    it("shows models of TypeScript", async () => {
      await openFile("model.ts", "nn.Linear");
      await line("→ N×16×14×14").waitFor({ timeout: 30_000 });
      await shot("typescript");
    });

    it("trains a model of TypeScript", async () => {
      await openFile("model.ts", "nn.Linear");
      await page.locator(".codelens-decoration a", { hasText: "Train" }).last().click();
      await panel("button.primary").waitFor({ timeout: 20_000 });
      await panel("input[name=epochs]").fill("2");
      await panel("button.primary").click();
      await panel("polyline.thin").first().waitFor({ timeout: 60_000 });
      const folder = join(workspace, "runs", "model-Small-1");
      const { recipe } = JSON.parse(readFileSync(join(folder, "run.json"), "utf8")) as {
        recipe: { model: string };
      };
      assert.match(recipe.model, /model\.ts:Small$/);
      await panel("button").filter({ hasText: "Stop" }).click();
      const resume = panel("button").filter({ hasText: "Resume" });
      await resume.and(panel("button:enabled")).waitFor({ timeout: 60_000 });
    });

    it("is as legible in the dark", async () => {
      const toggle = "Preferences: Toggle between Light/Dark Themes";
      await command(toggle, page.locator(".monaco-workbench.vs-dark"));
      await openFile("lenet.py", "nn.Conv2d");
      await line("→ N×6×28×28").waitFor({ timeout: 30_000 });
      await page.locator(".codelens-decoration a", { hasText: "Open outputs" }).first().click();
      await panel("article.layer img").nth(5).waitFor({ timeout: 30_000 });
      await page.waitForTimeout(500);
      await shot("dark");
      await command(toggle, page.locator(".monaco-workbench.vs"));
    });

    it("reads a notebook", async () => {
      await openFile("batch_norm.ipynb", "nn.BatchNorm2d");
      await line("→ N×6×24×24").waitFor({ timeout: 30_000 });
      await shot("notebook");
    });
  });

  describe("in Chinese", () => {
    let server: Server;
    before(async () => {
      server = await begin("wrong.py", { locale: "zh-cn" });
    });
    after(async () => {
      await (server as Server | undefined)?.stop();
    });

    it("says above a network, in a hover and of a wrong number what it says", async () => {
      const lens = page.locator(".codelens-decoration a", { hasText: "个参数" }).first();
      await lens.waitFor({ timeout: 90_000 });
      assert.match((await lens.textContent()) ?? "", /次乘加.*输入.N×3×32×32（来自调用）/s);
      await page.locator(".codelens-decoration a", { hasText: "查看输出" }).first().waitFor();
      const why = "in_features=1024，但实际传入的是 2048 个特征（输入为 N×2048）";
      await page.locator(".squiggly-error").first().waitFor();
      await hoverOver(line("1024").locator("span", { hasText: "1024" }).last(), why);
      const problems = page.locator(".markers-panel .monaco-list-row", { hasText: why });
      await command("View: Toggle Problems", problems.first());
      const layer = line("nn.Conv2d(3, 16").locator("span span", { hasText: "Conv2d" }).first();
      const shown = await hoverOver(layer, "乘加次数");
      assert.match(
        (await shown.textContent()) ?? "",
        /感受野.*有几个卷积核，就有几个通道。——第 3 章/s,
      );
      await page.waitForTimeout(300);
      await shot("chinese");
      await page.keyboard.press("Escape");
    });

    it("has commands, a view and a walkthrough", async () => {
      await page.locator(".pane-header", { hasText: "网络" }).waitFor();
      const row = (text: string) =>
        page.locator(".quick-input-widget .monaco-list-row", { hasText: text }).first();
      await again(8, async () => {
        await page.keyboard.press("F1");
        const palette = page.locator(".quick-input-widget input").first();
        await palette.fill(">convnotes", { timeout: 3000 });
        for (const title of ["查看各层输出", "网络概要", "选择输入尺寸"])
          await row(title).waitFor({ timeout: 3000 });
      });
      await page.keyboard.press("Escape");
      await command("Welcome: Open Walkthrough", row("代码之处见网络"));
      await row("代码之处见网络").click();
      // Its pages are shown where there is room for them.
      await page.setViewportSize({ width: 1600, height: 860 });
      await page.locator(".step-title", { hasText: "看到每一个形状" }).waitFor({ timeout: 15_000 });
      await panel("p").filter({ hasText: "LeNet 适用 28 到 31 像素" }).waitFor({ timeout: 15_000 });
      await shot("chinese-walkthrough");
    });
  });
});
