import { createHash } from "node:crypto";
import { isHeld } from "../reports/lock.js";
import { flatten } from "../reports/config-file.js";
import { groupRuns } from "../reports/read/groups.js";
import { condensed, problemText } from "../reports/read/problem.js";
import { rolloutIndex, type RolloutIndex } from "../reports/read/rollout-index.js";
import { findRunFolders, readRun, type Run, shortNames } from "../reports/read/run-folder-reader.js";
import type { RunState, RunSummary } from "./api.js";

/** A run that is followed. */
export interface FollowedRun {
  readonly id: string;
  readonly run: Run;
  readonly samples: RolloutIndex;
  /** Counts the changes of `samples`. */
  readonly samples_revision: number;
  readonly state: RunState;
}

export interface RunRegistry {
  get(id: string): FollowedRun | undefined;
  summaries(): readonly RunSummary[];
  /** Looks for new runs and new lines. Calls while one is under way join it. Returns whether anything changed. */
  poll(): Promise<boolean>;
  /** Reads a run's samples as far as they have come. */
  pollSamples(id: string): Promise<void>;
}

interface Entry {
  readonly id: string;
  run: Run;
  name: string;
  readonly samples: RolloutIndex;
  samples_revision: number;
  state: RunState;
  looked_at: number;
  looking: Promise<void>;
}

/** The folder of samples is listed at most this often. */
const look_ms = 500;
/** Runs in or below these folders, as they come and grow. New ones are searched for every `search_ms` at most. */
export function runRegistry(roots: readonly string[], search_ms: number): RunRegistry {
  const entries = new Map<string, Entry>();
  let searched_at = -Infinity;
  let polling: Promise<boolean> | undefined;

  const search = async (): Promise<boolean> => {
    const folders = [...new Set((await Promise.all(roots.map((root) => findRunFolders(root)))).flat())];
    searched_at = performance.now();
    const unreadable = [...entries.values()].filter(({ run }) => isEmpty(run.config) || isEmpty(run.manifest));
    const is_same = entries.size === folders.length && folders.every((folder) => entries.has(folder));
    if (is_same && unreadable.length === 0) return false;
    for (const folder of entries.keys()) if (!folders.includes(folder)) entries.delete(folder);
    const names = shortNames(folders);
    for (const [i, folder] of folders.entries()) {
      const entry = entries.get(folder) ?? newEntry(folder);
      const known = "run" in entry && !unreadable.includes(entry) ? entry.run : undefined; // its files may have come
      const run = known ?? (await readRun(folder, names[i]));
      entries.set(folder, Object.assign(entry, { run, name: names[i]!, state: await stateOf(run) }));
    }
    if (is_same) return unreadable.some(({ run }) => !isEmpty(run.config) && !isEmpty(run.manifest));
    return true;
  };

  const pollAll = async (): Promise<boolean> => {
    let is_changed = performance.now() - searched_at > search_ms && (await search());
    for (const entry of entries.values()) {
      const has_new_lines = await entry.run.metrics.poll();
      const state = await stateOf(entry.run);
      is_changed ||= has_new_lines || state !== entry.state;
      entry.state = state;
    }
    return is_changed;
  };

  const byId = (id: string): Entry | undefined => [...entries.values()].find((entry) => entry.id === id);
  return {
    get: byId,
    summaries: () => {
      const all = [...entries.values()];
      const named = all.map(({ name, run: { config } }) => ({ name, config }));
      const groups = groupRuns(named);
      return all.map((entry, i) => {
        const group = groups.findIndex(({ runs }) => runs.includes(named[i]!));
        return summaryOf(entry, group, groups[group]!.name);
      });
    },
    poll: () => (polling ??= pollAll().finally(() => (polling = undefined))),
    pollSamples: async (id) => {
      const entry = byId(id);
      if (entry === undefined) return;
      // A page of a list is asked for many times a second; requests that come together share one look.
      if (performance.now() - entry.looked_at < look_ms) return entry.looking;
      entry.looked_at = performance.now();
      entry.looking = entry.samples.poll().then((is_changed) => void (entry.samples_revision += Number(is_changed)));
      return entry.looking;
    },
  };
}

/** The same for a folder whenever the dashboard is started, so that links last. */
const idOf = (folder: string): string => createHash("sha256").update(folder).digest("hex").slice(0, 12);

const newEntry = (folder: string) => ({
  ...{ id: idOf(folder), samples: rolloutIndex(folder), samples_revision: 0 },
  ...{ looked_at: -Infinity, looking: Promise.resolve() },
});

const isEmpty = (value: object): boolean => Object.keys(value).length === 0;

async function stateOf({ folder, config, metrics }: Run): Promise<RunState> {
  if (await isHeld(folder)) return "running";
  return (metrics.steps.at(-1)?.step ?? 0) >= (totalSteps(config) ?? Infinity) ? "finished" : "stopped";
}

const totalSteps = (config: Run["config"]): number | null =>
  typeof config["steps"] === "number" ? config["steps"] : null;

function summaryOf({ id, name, run, samples, state }: Entry, group: number, group_name: string): RunSummary {
  const { config, manifest, metrics } = run;
  const values = new Map(flatten(config));
  const seed = values.get("seed");
  const algorithm = values.get("algorithm.name");
  const { started_at } = manifest;
  return {
    ...{ id, name, state, group, group_name },
    step: metrics.steps.at(-1)?.step ?? 0,
    total_steps: totalSteps(config),
    seed: typeof seed === "number" ? seed : null,
    algorithm: typeof algorithm === "string" ? algorithm : "sft",
    started_at: typeof started_at === "string" ? started_at : null,
    generation: metrics.generation,
    num_steps: metrics.steps.length,
    num_evaluations: metrics.evaluations.length,
    num_samples: samples.num_rows,
    problems: condensed([...run.problems, ...samples.problems], 20).map(problemText),
  };
}
