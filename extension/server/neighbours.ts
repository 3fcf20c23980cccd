// # Files beside the source
//
// `from blocks import residual` means a file in the folder of the document, or below it. Files are known by
// their URIs here: what is beside a document need not lie on a disk.

import type { Neighbour } from "convnotes/pytorch";

/** Source beyond this is not read. Units: bytes of a file, UTF-16 code units of a text. */
export const LARGEST = 2_000_000;

/** Without the last name; empty where there is no folder. */
const folderOf = (uri: string): string => uri.slice(0, Math.max(0, uri.lastIndexOf("/")));

/** What `from` means by `module`, the likeliest first; nothing outside of the folder of `of`. */
function filesOf(module: string, from: string, of: string): string[] {
  const [, dots, path] = /^(\.*)(.*)$/s.exec(module)!;
  const names = path === "" ? [] : path.split(".");
  if (!names.every((name) => /^[\p{L}_][\p{L}\p{M}\p{N}_]*$/u.test(name))) return [];
  const root = folderOf(of.replace(/[?#].*$/s, ""));
  let folder = dots === "" ? root : folderOf(from.replace(/[?#].*$/s, ""));
  for (let i = 1; i < dots.length; i++) folder = folderOf(folder);
  const stem = [folder, ...names.map(encodeURIComponent)].join("/");
  const files = [...(names.length > 0 ? [`${stem}.py`] : []), `${stem}/__init__.py`];
  return files.filter((file) => root !== "" && file.startsWith(`${root}/`));
}

/** The neighbours of the document `of`, whose texts `read` knows; null where there is none. */
export const neighboursOf =
  (of: string, read: (uri: string) => string | null): Neighbour =>
  (module, from) => {
    for (const file of filesOf(module, from, of)) {
      const text = read(file);
      if (text !== null) return { file, language: "python", text };
    }
    return null;
  };
