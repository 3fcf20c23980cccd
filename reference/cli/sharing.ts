// # Who else computes there
//
// Two runs on one GPU do each other no harm, but each gets slower and has less memory. So a run on a device
// with memory of its own leaves a note while it goes on, and tells of those that others have left.

import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { backendOf } from "../backend.js";
import type { Device } from "../tensor.js";

interface Note {
  readonly process: number;
  readonly device: string;
  readonly run: string;
}

const folder = (): string => join(tmpdir(), `convnotes-${userInfo().uid}`, "devices");

/** Whether a process is there, be it another user's. */
function isAlive(process_: number): boolean {
  try {
    return process.kill(process_, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** A note in a file; null for one that is none, or of a run that is over. */
function read(file: string): Note | null {
  try {
    const note = JSON.parse(readFileSync(file, "utf8")) as Partial<Note>;
    const { process: id, device, run } = note;
    if (typeof id !== "number" || typeof device !== "string" || typeof run !== "string")
      return null;
    return isAlive(id) ? { process: id, device, run } : null;
  } catch {
    return null;
  }
}

/** A device that this process computes on, perhaps beside others. */
export class SharedDevice {
  readonly #device: Device;
  readonly #file: string | null;
  readonly #told = new Set<number>();

  /** Where notes cannot be left, none is. */
  constructor(device: Device, run: string) {
    this.#device = device;
    const file = join(folder(), `${process.pid}.json`);
    let isLeft = backendOf(device).storage !== undefined;
    try {
      if (isLeft) {
        mkdirSync(folder(), { recursive: true, mode: 0o700 });
        writeFileSync(file, JSON.stringify({ process: process.pid, device, run }));
      }
    } catch {
      isLeft = false;
    }
    this.#file = isLeft ? file : null;
  }

  /** One line for each run that has come since the last time. */
  news(): string[] {
    if (this.#file === null) return [];
    return readdirSync(folder()).flatMap((name) => {
      const note = read(join(folder(), name));
      if (note === null) {
        rmSync(join(folder(), name), { force: true });
        return [];
      }
      const isNew = note.process !== process.pid && !this.#told.has(note.process);
      if (!isNew || note.device !== this.#device) return [];
      this.#told.add(note.process);
      return [
        `${this.#device} is shared with ${note.run} (process ${note.process}): both go on, each more ` +
          `slowly and with less memory`,
      ];
    });
  }

  leave(): void {
    if (this.#file !== null) rmSync(this.#file, { force: true });
  }
}
