// All set-up, from a fresh clone on: packages, addon, dist/. Each part is skipped when it is up to date.
//   node cmake/setup.mjs           what `npm run demo` needs
//   node cmake/setup.mjs --tests   also the C++ tests
//   --cuda | --no-cuda            for NVIDIA devices or not; else as SIGHTLOOP_CUDA says, or where a driver and nvcc are
// This file runs before node_modules exists: it may import nothing but Node's own modules and its siblings.
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { buildNative } from "./build.mjs";
import { noteCudaFlags } from "./cuda.mjs";
import { root } from "./paths.mjs";
import { run } from "./process.mjs";
import { fingerprint, readStamp, removeStamp, writeStamp } from "./stamp.mjs";
import { SetupError, runScript, seconds, tell } from "./tell.mjs";

function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  if (major < 20 || (major === 20 && minor < 19))
    throw new SetupError(
      `Node ${process.versions.node} is too old`,
      "Use Node 20.19 or newer (20, 22 and 24 are supported).",
    );
}

/** Whether node_modules holds exactly the lockfile's versions (packages for other platforms may be absent). */
function packagesMatch() {
  const installed = join(root, "node_modules", ".package-lock.json");
  if (!existsSync(installed)) return false;
  /** @param {string} file @returns {Record<string, { version?: string, optional?: boolean }>} */
  const packages = (file) => JSON.parse(readFileSync(file, "utf8")).packages;
  const present = packages(installed);
  return Object.entries(packages(join(root, "package-lock.json"))).every(
    ([path, { version, optional }]) =>
      path === "" || (present[path] ? present[path].version === version && existsSync(join(root, path)) : optional),
  );
}

async function installPackages() {
  if (packagesMatch()) return;
  const start = Date.now();
  tell("installing the npm packages of package-lock.json ...");
  const npm = process.env.npm_execpath ? [process.execPath, process.env.npm_execpath] : ["npm"];
  const [program = "npm", ...args] = [...npm, "ci", "--no-audit", "--no-fund", "--loglevel=error"];
  const env = { ...process.env, SIGHTLOOP_SKIP_BUILD: "1" }; // the addon is built below, where its progress is seen
  const { status, output } = await run(program, args, { cwd: root, env });
  if (status !== 0)
    throw new SetupError(
      `npm ci failed in ${root}:\n${output.trim().split("\n").slice(-15).join("\n")}`,
      "If the lines above name a network error, check the connection and npm's registry and proxy (npm config list), then run this again.",
    );
  tell(`packages installed in ${seconds(start)}`);
}

async function compileTypeScript() {
  const sources = fingerprint(["src", "tsconfig.json", "package-lock.json"]);
  if (readStamp("dist")?.sources === sources && existsSync(join(root, "dist"))) return;
  const start = Date.now();
  tell("compiling TypeScript to dist/ ...");
  removeStamp("dist");
  rmSync(join(root, "dist"), { recursive: true, force: true }); // nothing of a file that is gone
  for (const project of [".", "src/dashboard/page"]) {
    const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
    const { status, output } = await run(process.execPath, [tsc, "-p", project], { cwd: root });
    if (status !== 0)
      throw new SetupError(
        `tsc reports errors in src/:\n${output.trim()}`,
        "Correct them; `npm run check` shows them too.",
      );
  }
  writeStamp("dist", { sources });
  tell(`compiled in ${seconds(start)}`);
}

await runScript(async () => {
  noteCudaFlags(process.argv);
  checkNode();
  await installPackages();
  await buildNative("sightloop");
  await compileTypeScript();
  if (process.argv.includes("--tests")) await buildNative("native_tests");
});
