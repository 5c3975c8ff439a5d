// Builds the native addon (build/Release/sightloop.node), or another CMake target, with cmake-js. Skipped when nothing changed.
//   node cmake/build.mjs [--target native_tests] [--force] [--cuda | --no-cuda]
import { existsSync, mkdirSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism, totalmem } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { cudaSettings, noteCudaFlags, wantsCuda } from "./cuda.mjs";
import { findLibtorch, inspect } from "./libtorch.mjs";
import { locked } from "./lock.mjs";
import { addonFile, buildFolder, nativeTestsFile, root } from "./paths.mjs";
import { run } from "./process.mjs";
import { fingerprint, readStamp, removeStamp, writeStamp } from "./stamp.mjs";
import { SetupError, runScript, seconds, tell } from "./tell.mjs";
import { findTools } from "./tools.mjs";

const targets = {
  sightloop: { file: addonFile, sources: ["CMakeLists.txt", "cmake", "native"] },
  native_tests: { file: nativeTestsFile, sources: ["CMakeLists.txt", "cmake", "native", "test/native"] },
};
/** @typedef {keyof typeof targets} Target */

const logFile = join(buildFolder, "build.log");

/** Environment that decides what is found; a change of it makes a build stale. */
const surroundings = () =>
  ["LIBTORCH", "CXX", "SIGHTLOOP_CACHE", "SIGHTLOOP_CUDA", "CUDACXX", "SIGHTLOOP_CUDA_ARCHITECTURES"].map(
    (name) => `${name}=${process.env[name] ?? ""}`,
  );

/** @param {Target} target @param {string} sources a fingerprint */
function upToDate(target, sources) {
  const stamp = readStamp(target);
  if (stamp?.sources !== sources || !stamp.libtorch || !existsSync(targets[target].file)) return false;
  const libtorch = inspect(stamp.libtorch, ""); // gone, or upgraded in place?
  return typeof libtorch !== "string" && libtorch.version === stamp.version;
}

/** Compilers at once: one a core, and 2 GB of memory each. */
export function jobs() {
  return Math.max(1, Math.min(availableParallelism(), Math.floor(totalmem() / 2 ** 31)));
}

function cmakeJsProgram() {
  try {
    return join(createRequire(import.meta.url).resolve("cmake-js/package.json"), "..", "bin", "cmake-js");
  } catch {
    throw new SetupError(`cmake-js is not installed (looked from ${root})`, "Run `npm ci` in that folder first.");
  }
}

/** Runs cmake-js on this package. @param {string[]} args @param {(line: string) => void} [onLine] */
async function cmakeJs(args, onLine) {
  const full = [cmakeJsProgram(), ...args, "--directory", root, "--out", buildFolder];
  const result = await run(process.execPath, full, { cwd: root, onLine });
  writeFileSync(logFile, result.output, { flag: "a" });
  return result;
}

/** The lines of a failed build that say why: compiler errors where there are any, else the end. @param {string} output */
function reasons(output) {
  const noise = (/** @type {string} */ line) => line.startsWith("ERROR OMG") || line.length > 500; // cmake-js; command lines
  const lines = output.split("\n").filter((line) => !noise(line));
  const first = lines.findIndex((line) => /(: error:|fatal error|undefined reference|^CMake Error)/.test(line));
  return (first < 0 ? lines.slice(-30) : lines.slice(Math.max(0, first - 2), first + 60)).join("\n");
}

/** A line every few seconds from ninja's or make's own counters. */
function progress() {
  let next = Date.now() + 5000;
  return (/** @type {string} */ line) => {
    const count = /^\[\s*(\d+)\/(\d+)\]/.exec(line);
    const percent = /^\[\s*(\d+)%\]/.exec(line);
    if (Date.now() < next || (!count && !percent)) return;
    next = Date.now() + 10_000;
    tell(count ? `  ${count[1]} of ${count[2]} build steps` : `  ${percent?.[1]} %`);
  };
}

/** @param {Target} target */
async function compile(target) {
  const start = Date.now();
  const { compiler, generator } = await findTools();
  const cuda = await wantsCuda();
  const libtorch = await findLibtorch({ cuda });
  tell(
    `building ${target}${cuda ? " for NVIDIA devices" : ""} against libtorch ${libtorch.version} (${libtorch.source}) ...`,
  );
  writeFileSync(logFile, "");

  const settings = {
    ...{ CMAKE_CXX_COMPILER: compiler, SIGHTLOOP_LIBTORCH: libtorch.folder },
    ...(cuda ? await cudaSettings(libtorch, compiler) : { SIGHTLOOP_CUDA: "OFF" }),
  };
  const configuration = [root, generator, libtorch.version, JSON.stringify(settings)].join("|");
  if (readStamp("configuration")?.is !== configuration || !existsSync(join(buildFolder, "CMakeCache.txt"))) {
    removeStamp("configuration");
    // CMake refuses to change its generator, or to be moved, over an old cache.
    for (const name of ["CMakeCache.txt", "CMakeFiles"])
      rmSync(join(buildFolder, name), { recursive: true, force: true });
    const flags = Object.entries(settings).map(([name, value]) => `--CD${name}=${value}`);
    const { status, output } = await cmakeJs(["configure", "-G", generator, ...flags]);
    if (status !== 0)
      throw new SetupError(
        `cmake could not configure the native build:\n${reasons(output)}`,
        `The whole log is ${logFile}.`,
      );
    writeStamp("configuration", { is: configuration });
  }

  const { status, output } = await cmakeJs(["build", "--target", target, "--parallel", String(jobs())], progress());
  if (status !== 0)
    throw new SetupError(
      `the native build failed:\n${reasons(output)}`,
      `Correct what the lines above name; the whole log is ${logFile}.`,
    );
  tell(`built ${target} in ${seconds(start)}`);
  return libtorch;
}

/**
 * Brings a target up to date. @param {Target} target @param {{ force?: boolean }} [options]
 * @returns {Promise<boolean>} whether anything was built
 */
export async function buildNative(target, { force = false } = {}) {
  const sources = () => fingerprint(targets[target].sources, surroundings());
  if (!force && upToDate(target, sources())) return false;
  return locked(async () => {
    const before = sources(); // as they are when the build starts: an edit meanwhile leaves the stamp stale
    if (!force && upToDate(target, before)) return false;
    mkdirSync(buildFolder, { recursive: true });
    removeStamp(target);
    const libtorch = await compile(target);
    writeStamp(target, { sources: before, libtorch: libtorch.folder, version: libtorch.version });
    return true;
  });
}

if (process.argv[1] && import.meta.url === pathToFileURL(realpathSync(process.argv[1])).href)
  await runScript(async () => {
    const { values } = parseArgs({
      options: {
        ...{ target: { type: "string", default: "sightloop" }, force: { type: "boolean", default: false } },
        ...{ cuda: { type: "boolean" }, "no-cuda": { type: "boolean" } },
      },
    });
    noteCudaFlags(process.argv);
    const target = Object.keys(targets).find((name) => name === values.target);
    if (!target)
      throw new SetupError(`no build target '${values.target}'`, `Targets: ${Object.keys(targets).join(", ")}.`);
    if (!(await buildNative(/** @type {Target} */ (target), values))) tell(`${target} is up to date`);
  });
