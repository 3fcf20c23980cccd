// # npm run docs
//
// Builds the site and serves it from this machine; its address is printed. The static files are
// then in `docs/.vitepress/dist`.

import { spawnSync } from "node:child_process";
import { setUp } from "./setup.mjs";

setUp({ tools: true });
for (const step of ["build", "preview"]) {
  const { status } = spawnSync("npx", ["--no-install", "vitepress", step, "docs"], {
    stdio: "inherit",
    shell: process.platform === "win32",
  });
  if (status !== 0) process.exit(status ?? 1);
}
