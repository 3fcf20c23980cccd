// # npm run bench:editor
//
// How long an editor waits. The server is the built one, spoken to over its input and output: 1,000 lines
// with GoogLeNet, VGG-11, a small ResNet and the code that trains them, read for three seconds and edited at
// places spread over the file; all chapters of the notes, opened one after the other. Prints medians and
// 95th percentiles, the processor's time, what the server's process holds at most, the size of the package,
// and, where VS Code is installed for the tests, how long the extension takes to begin.

import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  createMessageConnection,
  StreamMessageReader,
  StreamMessageWriter,
} from "vscode-languageserver/node.js";
import { openBrowser, runInside } from "../test/host.js";

const LINES = 1000;
const EDITS = 60;

const child = spawn(process.execPath, ["reference/cli/convnotes.js", "lsp"], {
  stdio: ["pipe", "pipe", "inherit"],
});
const connection = createMessageConnection(
  new StreamMessageReader(child.stdout),
  new StreamMessageWriter(child.stdin),
);
connection.listen();

const range = { start: { line: 0, character: 0 }, end: { line: 1e6, character: 0 } };
const hints = (uri: string) =>
  connection.sendRequest<unknown[]>("textDocument/inlayHint", { textDocument: { uri }, range });

async function open(uri: string, languageId: string, text: string): Promise<number> {
  const started = performance.now();
  await connection.sendNotification("textDocument/didOpen", {
    textDocument: { uri, languageId, version: 1, text },
  });
  await hints(uri);
  return performance.now() - started;
}

/** Adds blanks at places spread over the file, and asks for the hints each time. */
async function edit(uri: string, text: string): Promise<number[]> {
  const times: number[] = [];
  const places = [...text.matchAll(/\(/g)].map(({ index }) => index + 1);
  let now = text;
  for (let i = EDITS; i > 0; i--) {
    // From the end to the beginning, so that the places stay where they are.
    const at = places[Math.floor(((i - 1) * places.length) / EDITS)];
    now = `${now.slice(0, at)} ${now.slice(at)}`;
    const started = performance.now();
    await connection.sendNotification("textDocument/didChange", {
      textDocument: { uri, version: EDITS - i + 2 },
      contentChanges: [{ text: now }],
    });
    await hints(uri);
    times.push(performance.now() - started);
  }
  return times;
}

const quantile = (times: readonly number[], q: number) =>
  [...times].sort((a, b) => a - b)[Math.min(times.length - 1, Math.floor(times.length * q))];

const show = (what: string, value: number, unit: string, goal: string) =>
  console.log(
    `${what.padEnd(58)}${value.toFixed(1).padStart(8)} ${unit.padEnd(3)} (goal: ${goal})`,
  );

// ## What the system knows of the server, which is the command's child

function ofServer(what: "status" | "stat"): string {
  const children = `/proc/${child.pid}/task/${child.pid}/children`;
  const server = existsSync(children) ? readFileSync(children, "utf8").trim().split(" ")[0] : "";
  return server === "" ? "" : readFileSync(`/proc/${server}/${what}`, "utf8");
}

/** Of all its threads so far, compiling and collecting garbage included. Linux counts in 10 ms. */
function processorMs(): number {
  const fields = ofServer("stat").split(") ").at(-1)!.split(" ");
  return 10 * (Number(fields[11]) + Number(fields[12]));
}

// ## The files

const read = (name: string) => readFileSync(join("extension", "bench", name), "utf8").split("\n");
const long = read("networks.py");
for (let i = 0; long.length < LINES; i++)
  long.push(...read("training.py").map((line) => line.replaceAll("NUMBER", String(i))));
const text = long.slice(0, LINES).join("\n");

await connection.sendRequest("initialize", {
  ...{ processId: process.pid, rootUri: null, capabilities: {} },
});
await connection.sendNotification("initialized", {});
await open("file:///first.py", "python", "import torch\n");

show("open 1,000 lines", await open("file:///long.py", "python", text), "ms", "–");
// Its reader reads before typing.
await new Promise((wake) => void setTimeout(wake, 3000));
// Where other programs run, waiting for them is a part of the time, but not of the processor's.
const busy = processorMs();
const times = await edit("file:///long.py", text);
show("edit to hints, 1,000 lines: median", quantile(times, 0.5), "ms", "–");
show("edit to hints, 1,000 lines: p95", quantile(times, 0.95), "ms", "< 50 ms");
show("the processor's time for an edit: mean", (processorMs() - busy) / EDITS, "ms", "–");

let notes = 0;
for (const name of readdirSync("spec/chapters").filter((n) => n.endsWith(".md")))
  notes += await open(
    `file:///${name}`,
    "markdown",
    readFileSync(join("spec/chapters", name), "utf8"),
  );
show("open all chapters of the notes, in both languages", notes, "ms", "< 300 ms");

const memory = /VmHWM:\s+(\d+) kB/.exec(ofServer("status"));
if (memory) show("the server's memory, at most", Number(memory[1]) / 1000, "MB", "< 250 MB");
child.kill();

// ## The package and VS Code

const { version } = JSON.parse(readFileSync("extension/package.json", "utf8")) as {
  version: string;
};
const vsix = join("build", `convnotes-${version}.vsix`);
if (existsSync(vsix)) show("the package", statSync(vsix).size / 1e6, "MB", "< 5 MB");
else console.log("the package: run npm run package");

const workspace = mkdtempSync(join(tmpdir(), "convnotes-bench-"));
try {
  const browser = await openBrowser();
  const { activationMs } = await runInside(browser, workspace);
  show("the extension begins, in VS Code", activationMs, "ms", "< 100 ms");
  await browser.close();
} catch (error) {
  console.log(`the extension begins: ${(error as Error).message.split("\n")[0]}`);
} finally {
  rmSync(workspace, { recursive: true, force: true });
}
process.exit();
