// Finds libtorch, in this order:
//   1. the folder named by LIBTORCH (a libtorch archive, or the `torch` folder of a Python installation);
//   2. the `torch` that the active Python would import;
//   3. a copy in our cache folder, obtained once by pip (libtorch-download.mjs).
// A version outside the supported range is refused with a line that says so, and the next source is tried.
import { existsSync, readFileSync, realpathSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { downloadedLibtorch } from "./libtorch-download.mjs";
import { run } from "./process.mjs";
import { findPython } from "./python.mjs";
import { runScript, tell } from "./tell.mjs";

/** Versions whose headers and libraries the native code is written for: first included, last excluded. */
const supported = { from: [2, 11], below: [2, 15], text: "2.11 to 2.14" };

/**
 * @typedef {{ folder: string, version: string, source: string, cuda: boolean }} Libtorch
 *   folder holds lib/ and include/; cuda: it carries CUDA libraries (a CPU build uses it all the same)
 */

/** @param {string} folder @returns {string | undefined} such as 2.13.0+cpu */
function versionOf(folder) {
  const python = join(folder, "version.py");
  if (existsSync(python)) return /__version__\s*=\s*['"]([^'"]+)/.exec(readFileSync(python, "utf8"))?.[1];
  const archive = join(folder, "build-version");
  return existsSync(archive) ? readFileSync(archive, "utf8").trim() : undefined;
}

/**
 * Looks into a folder: a usable libtorch, or the reason why it is none.
 * @param {string} folder  @param {string} source where the folder comes from, for messages
 * @returns {Libtorch | string}
 */
export function inspect(folder, source) {
  const library = process.platform === "darwin" ? "libtorch_cpu.dylib" : "libtorch_cpu.so";
  for (const part of [join("lib", library), join("include", "ATen", "ATen.h")])
    if (!existsSync(join(folder, part))) return `${folder} is not a libtorch: it has no ${part}`;
  const version = versionOf(folder);
  if (!version) return `${folder} does not say its version (no version.py, no build-version)`;
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const rank = (/** @type {number[]} */ [a = 0, b = 0]) => a * 1000 + b;
  if (rank([major, minor]) < rank(supported.from) || rank([major, minor]) >= rank(supported.below))
    return `version ${version} of ${folder} is not supported (${supported.text} are)`;
  return { folder, version, source, cuda: existsSync(join(folder, "lib", "libtorch_cuda.so")) };
}

/** The folder of the active Python's torch, found without importing it. @returns {Promise<string | undefined>} */
async function pythonTorch() {
  const python = await findPython();
  if (!python) return undefined;
  const program =
    "import importlib.util as u; s = u.find_spec('torch'); print(s.submodule_search_locations[0] if s and s.origin else '')";
  const { status, output } = await run(python, ["-c", program]);
  return (status === 0 && output.trim().split("\n").at(-1)) || undefined;
}

/**
 * @param {{ cuda?: boolean }} [wanted] cuda: only one that was built with CUDA
 * @returns {Promise<Libtorch>} the first usable one; a SetupError when there is none and none can be had
 */
export async function findLibtorch({ cuda = false } = {}) {
  const named = process.env.LIBTORCH;
  const candidates = [
    { source: "LIBTORCH", folder: named ? resolve(named) : undefined },
    { source: "the active Python's torch", folder: () => pythonTorch() },
  ];
  for (const { source, folder } of candidates) {
    const place = typeof folder === "function" ? await folder() : folder;
    if (!place) continue;
    const found = inspect(place, source);
    if (typeof found !== "string" && cuda && !found.cuda) {
      tell(`${source}: version ${found.version} was built without CUDA; trying the next source`);
      continue;
    }
    if (typeof found !== "string") return { ...found, folder: realpathSync(found.folder) };
    tell(`${source}: ${found}; trying the next source`);
  }
  return downloadedLibtorch(inspect, { cuda });
}

// `node cmake/libtorch.mjs` prints what would be used.
if (process.argv[1] && import.meta.url === pathToFileURL(realpathSync(process.argv[1])).href)
  await runScript(async () => {
    const { folder, version, source, cuda } = await findLibtorch();
    process.stdout.write(`${folder}\n`);
    tell(`libtorch ${version}${cuda ? " (with CUDA)" : ""} from ${source}`);
  });
