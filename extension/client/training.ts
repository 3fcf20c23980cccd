// # The training panel
//
// Trains a network of the source with `convnotes train`, as a program of its own, and draws what its log
// says. Stopping keeps a checkpoint; going on leaves the run that an untouched one would have been.

import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, existsSync, fstatSync, openSync, readFileSync, readSync } from "node:fs";
import { homedir } from "node:os";
import { basename, dirname, extname, join } from "node:path";
import * as vscode from "vscode";
import type {
  FromTrainingPanel,
  LogLine,
  RunState,
  ToTrainingPanel,
  TrainingSettings,
  TrainingWords,
} from "../panel/messages.js";
import { createPanel } from "./page.js";

/** How often the log is read. Units: ms. */
const LOOK_MS = 250;

export function registerTraining(context: vscode.ExtensionContext): void {
  const open = new Map<string, vscode.WebviewPanel>();
  context.subscriptions.push(
    vscode.commands.registerCommand("convnotes.train", async (uri?: string, name?: string) => {
      if (typeof uri !== "string" || typeof name !== "string") {
        void vscode.window.showInformationMessage(
          vscode.l10n.t("Choose Train above a network in PyTorch source."),
        );
        return;
      }
      const source = vscode.Uri.parse(uri);
      const document = vscode.workspace.textDocuments.find((d) => d.uri.toString() === uri);
      if (source.scheme !== "file") {
        void vscode.window.showWarningMessage(
          vscode.l10n.t(
            "Save the source to a file of this machine first: training reads it there.",
          ),
        );
        return;
      }
      // To train it, a file of TypeScript is run.
      if (document?.languageId === "typescript" && !vscode.workspace.isTrusted) return;
      if (document?.isDirty) await document.save();
      const key = `${uri}\n${name}`;
      const known = open.get(key);
      if (known) return known.reveal(undefined, true);
      const panel = createPanel(context, "training", vscode.l10n.t("Training {0}", name));
      open.set(key, panel);
      const run = new TrainingRun(context, panel, source.fsPath, name);
      panel.onDidDispose(() => {
        open.delete(key);
        run.stop();
      });
    }),
  );
}

class TrainingRun {
  readonly #context: vscode.ExtensionContext;
  readonly #panel: vscode.WebviewPanel;
  readonly #file: string;
  readonly #network: string;
  #folder: string | null = null;
  #process: ChildProcess | null = null;
  #stopping = false;
  #read = 0;
  #rest = "";

  constructor(
    context: vscode.ExtensionContext,
    panel: vscode.WebviewPanel,
    file: string,
    network: string,
  ) {
    this.#context = context;
    this.#panel = panel;
    this.#file = file;
    this.#network = network;
    panel.webview.onDidReceiveMessage((message: FromTrainingPanel) => {
      switch (message.kind) {
        case "ready":
          return this.#post({
            ...{ kind: "begin", network, words: words() },
            settings: { epochs: 3, batchSize: 64, lr: 0.005, images: "built-in", resize: null },
          });
        case "start":
          return this.#start(message.settings);
        case "stop":
          return this.stop();
        case "resume":
          return this.#resume();
        case "folder":
          if (this.#folder)
            void vscode.env.openExternal(vscode.Uri.file(join(this.#folder, "index.html")));
      }
    });
  }

  #post(message: ToTrainingPanel): void {
    void this.#panel.webview.postMessage(message);
  }

  #state(state: RunState, text = ""): void {
    this.#post({ kind: "state", state, text });
  }

  /** Beside the source, in the first free of `runs/NETWORK-1`, `runs/NETWORK-2`, …. */
  #start({ epochs, batchSize, lr, images, resize }: TrainingSettings): void {
    if (this.#process) return;
    const stem = `${basename(this.#file, extname(this.#file))}-${this.#network.replace(/\W+/g, "-")}`;
    for (let i = 1; ; i++) {
      this.#folder = join(dirname(this.#file), "runs", `${stem}-${i}`);
      if (!existsSync(this.#folder)) break;
    }
    this.#read = 0;
    this.#rest = "";
    this.#post({ kind: "log", lines: [], epochs, batches: 1, anew: true });
    this.#run([
      ...["train", `${this.#file}:${this.#network}`, "--run", this.#folder],
      ...["--epochs", String(epochs), "--batch-size", String(batchSize), "--lr", String(lr)],
      ...(images === "built-in" ? ["--built-in"] : []),
      ...(resize === null ? [] : ["--resize", String(resize)]),
    ]);
  }

  #resume(): void {
    if (this.#process || this.#folder === null) return;
    this.#run(["train", `${this.#file}:${this.#network}`, "--resume", this.#folder]);
  }

  stop(): void {
    if (this.#process === null) return;
    this.#stopping = true;
    this.#state("stopping");
    // It saves a checkpoint; a second one would end it at once.
    this.#process.kill("SIGINT");
  }

  #run(args: string[]): void {
    this.#stopping = false;
    const [command, ...first] = this.#command();
    const child = spawn(command, [...first, ...args], {
      cwd: dirname(this.#file),
      env: { ...process.env, ELECTRON_RUN_AS_NODE: "1", NO_COLOR: "1" },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#process = child;
    this.#state("running");
    let said = "";
    const keep = (chunk: Buffer) => (said = (said + chunk.toString()).slice(-4000));
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    const timer = setInterval(() => this.#look(), LOOK_MS);
    const end = (state: RunState, text: string) => {
      clearInterval(timer);
      if (this.#process !== child) return;
      this.#process = null;
      this.#look();
      this.#state(state, text.trim());
    };
    child.on("error", (error) => end("failed", `${command}: ${error.message}`));
    child.on("close", (code) => {
      if (code === 0) end("finished", said);
      else end(this.#stopping ? "stopped" : "failed", said);
    });
  }

  /** The command that the user has set, else the one that comes with the extension. */
  #command(): string[] {
    const set = vscode.workspace.getConfiguration("convnotes").get<string>("command", "").trim();
    if (set !== "") return [set.replace(/^~(?=[/\\])/, homedir())];
    return [process.execPath, this.#context.asAbsolutePath(join("dist", "cli", "main.mjs"))];
  }

  /** Reads what the log has more than before. */
  #look(): void {
    if (this.#folder === null) return;
    const log = join(this.#folder, "log.jsonl");
    if (!existsSync(log)) return;
    const file = openSync(log, "r");
    let text: string;
    try {
      const { size } = fstatSync(file);
      // A resumed run goes on from its checkpoint, which may lie before the end of the log.
      if (size < this.#read) return this.#again();
      const bytes = Buffer.alloc(size - this.#read);
      this.#read += readSync(file, bytes, 0, bytes.length, this.#read);
      text = this.#rest + bytes.toString("utf8");
    } finally {
      closeSync(file);
    }
    const lines = text.split("\n");
    this.#rest = lines.pop()!;
    if (lines.length > 0) this.#send(lines, false);
  }

  #again(): void {
    this.#read = 0;
    this.#rest = "";
    this.#send([], true);
    this.#look();
  }

  #send(lines: readonly string[], anew: boolean): void {
    try {
      const settings = JSON.parse(readFileSync(join(this.#folder!, "run.json"), "utf8")) as {
        recipe: { epochs: number; batchSize: number };
        trainImages: number;
        maxBatches?: number;
      };
      const { recipe, trainImages, maxBatches } = settings;
      const all = Math.ceil(trainImages / recipe.batchSize);
      this.#post({
        kind: "log",
        lines: lines.map((line) => JSON.parse(line) as LogLine),
        epochs: recipe.epochs,
        batches: Math.min(all, maxBatches ?? all),
        anew,
      });
    } catch {
      // A log that somebody else has written is not drawn.
    }
  }
}

const words = (): TrainingWords => ({
  epochs: vscode.l10n.t("epochs"),
  batchSize: vscode.l10n.t("batch size"),
  lr: vscode.l10n.t("learning rate"),
  images: vscode.l10n.t("images"),
  builtIn: vscode.l10n.t("built-in drawings"),
  fashionMnist: vscode.l10n.t("Fashion-MNIST"),
  resize: vscode.l10n.t("image size"),
  asInput: vscode.l10n.t("as the network wants"),
  start: vscode.l10n.t("Start"),
  stop: vscode.l10n.t("Stop"),
  resume: vscode.l10n.t("Resume"),
  folder: vscode.l10n.t("Open the run's page"),
  loss: vscode.l10n.t("loss"),
  accuracy: vscode.l10n.t("accuracy"),
  training: vscode.l10n.t("training"),
  validation: vscode.l10n.t("validation"),
  step: vscode.l10n.t("step"),
  epoch: vscode.l10n.t("epoch"),
});
