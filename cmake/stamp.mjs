// Stamps: "this was built from exactly these files". A check is a walk over names, sizes and times: milliseconds.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { buildFolder, root } from "./paths.mjs";

/** @param {string} path @param {import("node:crypto").Hash} hash */
function addPath(path, hash) {
  const status = statSync(join(root, path), { throwIfNoEntry: false });
  if (!status) return;
  if (!status.isDirectory()) {
    hash.update(`${path}\0${status.size}\0${status.mtimeMs}\n`);
    return;
  }
  hash.update(`${path}/\n`);
  for (const name of readdirSync(join(root, path)).sort()) addPath(join(path, name), hash);
}

/**
 * What a set of files and folders (relative to the root) looks like now.
 * @param {readonly string[]} paths @param {readonly string[]} [words] anything else that the result depends on
 */
export function fingerprint(paths, words = []) {
  const hash = createHash("sha256");
  for (const path of paths) addPath(path, hash);
  return hash.update(words.join("\0")).digest("hex");
}

/** @param {string} name */
const stampFile = (name) => join(buildFolder, "stamps", `${name}.json`);

/** @param {string} name @returns {Record<string, string> | undefined} */
export function readStamp(name) {
  return existsSync(stampFile(name)) ? JSON.parse(readFileSync(stampFile(name), "utf8")) : undefined;
}

/** @param {string} name @param {Record<string, string>} content */
export function writeStamp(name, content) {
  mkdirSync(dirname(stampFile(name)), { recursive: true });
  writeFileSync(stampFile(name), JSON.stringify(content, null, 2));
}

/** @param {string} name */
export function removeStamp(name) {
  rmSync(stampFile(name), { force: true });
}
