// A CMake build tree beside build/, for builds that are never loaded by Node: sanitizers, fuzzers.
import { join } from "node:path";
import { run } from "./process.mjs";
import { root } from "./paths.mjs";
import { SetupError, seconds, tell } from "./tell.mjs";

/**
 * Configures a tree and builds targets in it; CMake itself knows what is up to date. Returns the tree's folder.
 * @param {{ source: string, tree: string, generator: string, settings: Record<string, string>, targets: string[], jobs: number }} options
 *   source and tree: relative to the package's root
 */
export async function buildTree({ source, tree, generator, settings, targets, jobs }) {
  const start = Date.now();
  const folder = join(root, tree);
  tell(`building ${targets.join(", ")} in ${tree}/ (the first time takes minutes) ...`);
  const flags = Object.entries(settings).map(([name, value]) => `-D${name}=${value}`);
  const configured = await run("cmake", ["-S", join(root, source), "-B", folder, "-G", generator, ...flags]);
  if (configured.status !== 0)
    throw new SetupError(
      `cmake could not configure ${tree}:\n${configured.output.trim()}`,
      `If ${tree} was moved or made by another compiler, delete it.`,
    );
  const built = await run("cmake", ["--build", folder, "--parallel", String(jobs), "--target", ...targets]);
  if (built.status !== 0)
    throw new SetupError(
      `${targets.join(", ")} could not be built:\n${built.output.trim().split("\n").slice(-60).join("\n")}`,
      "Correct what the lines above name.",
    );
  tell(`built in ${seconds(start)}`);
  return folder;
}
