import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { namesIn } from "./files.js";

/** Written by the run's first process, and by the one that went on after `step`. */
export const manifestName = (step?: number): string =>
  step === undefined ? "manifest.json" : `manifest-resumed-${step}.json`;

type Facts = Readonly<Record<string, unknown>>;

/**
 * What a person should know who resumes a run after `step`: whether this process rounds like the one before it. undefined
 * if nothing differs. Reads the manifest of the process that wrote the step's checkpoint; never throws.
 */
export async function numericsNote(folder: string, step: number, manifest: object): Promise<string | undefined> {
  const name = await latestBefore(folder, step);
  const before = factsOf(await readManifest(join(folder, name)));
  const now = factsOf(manifest);
  if (now === undefined) return undefined;
  const consequence =
    "The run goes on, but its results from here on may differ in rounding from an uninterrupted run's (docs/determinism.md).";
  if (before === undefined)
    return `${name} does not say on what the run was computed so far, so it may have been another machine. ${consequence}`;
  const changes = [...new Set([...Object.keys(before), ...Object.keys(now)])]
    .filter((key) => before[key] !== now[key])
    .map((key) => `${key} ${show(before[key])} -> ${show(now[key])}`);
  return changes.length === 0 ? undefined : `resumed on other numerics: ${changes.join(", ")}. ${consequence}`;
}

const show = (value: unknown): string => (typeof value === "string" ? value : (JSON.stringify(value) ?? "(unknown)"));

/** The last manifest of a process that began before `step`: the one that wrote the checkpoint. */
async function latestBefore(folder: string, step: number): Promise<string> {
  const begun = (await namesIn(folder))
    .map((name) => Number(/^manifest-resumed-(\d+)\.json$/.exec(name)?.[1] ?? NaN))
    .filter((at) => at < step);
  return manifestName(begun.length === 0 ? undefined : Math.max(...begun));
}

async function readManifest(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, "utf8"));
  } catch {
    return undefined; // gone or damaged: nothing in it is needed to go on
  }
}

/** The facts that rounding depends on: numerics, the number of ranks (once always 1), and the processor, by whose caches libraries cut their work. */
function factsOf(manifest: unknown): Facts | undefined {
  const { numerics, machine } = (manifest ?? {}) as { numerics?: unknown; machine?: { cpu?: unknown } };
  if (typeof numerics !== "object" || numerics === null) return undefined;
  return { ranks: 1, ...numerics, cpu: machine?.cpu };
}
