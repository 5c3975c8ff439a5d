import { readFile, stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { parse } from "yaml";
import { namesIn } from "../files.js";
import { isObject } from "./metrics-lines.js";
import { metricsTail, type MetricsTail } from "./metrics-tail.js";
import { type Problem, reasonOf } from "./problem.js";

export type JsonObject = Readonly<Record<string, unknown>>;

/** What a run folder says about its run, as far as its files can be read. */
export interface Run {
  readonly folder: string;
  /** A short name, unique among the runs read together. */
  readonly name: string;
  /** Resolved config; empty if it cannot be read. */
  readonly config: JsonObject;
  readonly config_yaml: string;
  /** Of the first start; empty if it cannot be read. */
  readonly manifest: JsonObject;
  readonly metrics: MetricsTail;
  /** Of the checkpoint with the best evaluation, where the run keeps it (checkpoint.keep_best). */
  readonly selected_step: number | null;
  readonly problems: readonly Problem[];
}

/** Whether a folder is a run's: it has a config or metrics. */
export const isRunFolder = async (folder: string): Promise<boolean> => {
  const names = await namesIn(folder).catch(() => [] as readonly string[]);
  return names.includes("config.yaml") || names.includes("metrics.jsonl");
};

/** Reads a run as it stands now. Never fails for what its files hold. */
export async function readRun(folder: string, name = basename(folder)): Promise<Run> {
  const problems: Problem[] = [];
  const parsed = async (file: string, parseText: (text: string) => unknown): Promise<[JsonObject, string]> => {
    let text = "";
    try {
      text = await readFile(join(folder, file), "utf8");
      const value = parseText(text);
      if (isObject(value)) return [value, text];
      problems.push({ file, message: "is no mapping" });
    } catch (error) {
      const missing = (error as NodeJS.ErrnoException).code === "ENOENT";
      problems.push({ file, message: missing ? "is missing" : `cannot be read: ${reasonOf(error).split("\n")[0]!}` });
    }
    return [{}, text];
  };
  const [config, config_yaml] = await parsed("config.yaml", (text) => parse(text) as unknown);
  const [manifest] = await parsed("manifest.json", (text) => JSON.parse(text) as unknown);
  const metrics = metricsTail(join(folder, "metrics.jsonl"));
  await metrics.poll();
  const best = await readFile(join(folder, "checkpoints", "best"), "utf8").catch(() => "");
  const selected = /^step-(\d+)\s*$/.exec(best)?.[1];
  return {
    ...{ folder, name, config, config_yaml, manifest, metrics },
    selected_step: selected === undefined ? null : Number(selected),
    get problems() {
      return [...problems, ...metrics.problems];
    },
  };
}

const skipped = new Set(["checkpoints", "rollouts", "images", "node_modules", "model", "state", "diverged"]);

/** Run folders at or below a folder, at most `depth` levels down, sorted by path. Links are not followed. */
export async function findRunFolders(root: string, depth = 4): Promise<readonly string[]> {
  if (await isRunFolder(root)) return [root];
  if (depth === 0) return [];
  const found: string[] = [];
  for (const name of await namesIn(root).catch(() => [] as readonly string[])) {
    if (name.startsWith(".") || skipped.has(name)) continue;
    const path = join(root, name);
    const is_folder = await stat(path).then(
      (status) => status.isDirectory(),
      () => false,
    );
    if (is_folder) found.push(...(await findRunFolders(path, depth - 1)));
  }
  return found;
}

/** A name for each folder: its path without what all have in common. */
export function shortNames(folders: readonly string[]): readonly string[] {
  const parts = folders.map((folder) => resolve(folder).split("/"));
  let common = 0;
  const shortest = Math.min(...parts.map(({ length }) => length)) - 1;
  while (common < shortest && parts.every((part) => part[common] === parts[0]![common])) common += 1;
  // `grpo/seed-0` says more than `seed-0`.
  if (common > 1 && parts.every((part) => /^(seed[-_]?)?\d+$/.test(part[common]!))) common -= 1;
  return parts.map((part) => part.slice(common).join("/"));
}
