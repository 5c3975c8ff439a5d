import { existsSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { dirname } from "node:path";
import { makeFolder, writing } from "../files.js";
import type { Run } from "../read/run-folder-reader.js";
import { rolloutSteps } from "../rollout-names.js";
import { onThreads } from "./on-threads.js";
import { type ReadStep, type ReadSteps, readSteps, type StepsTask } from "./read-steps.js";

const beside = new URL("./read-steps-worker.js", import.meta.url);
/** Run from the sources (by the tests), this starts the built worker: a worker thread reads JavaScript only. */
const entry = existsSync(beside)
  ? beside
  : new URL("../../../dist/reports/report/read-steps-worker.js", import.meta.url);

const steps_at_once = 10;
/** Fewer files are read sooner than threads have started. */
const least_on_threads = 100;

export interface Rollouts {
  /** Of each run folder, ascending by step. */
  readonly steps: ReadonlyMap<string, readonly ReadStep[]>;
  /** Lines written. */
  readonly num_reflective: number;
}

/**
 * Reads every rollout file of some runs once, many of them on threads of their own. `path` is a file to write: the correct completions that reflect, as
 * JSON Lines, by run, step and row. They are written as they are read, for all of them may not fit in memory.
 */
export async function readRollouts(runs: readonly Run[], path?: string): Promise<Rollouts> {
  const tasks: StepsTask[] = [];
  for (const { name: run, folder } of runs) {
    const all = await rolloutSteps(folder);
    for (let i = 0; i < all.length; i += steps_at_once)
      tasks.push({ run, folder, steps: all.slice(i, i + steps_at_once) });
  }
  const steps = new Map<string, ReadStep[]>(runs.map(({ folder }) => [folder, []]));
  let [task, num_reflective] = [0, 0];
  await using file = path === undefined ? undefined : await writing(path, () => created(path));
  for await (const read of answersTo(tasks)) {
    steps.get(tasks[task++]!.folder)!.push(...read.steps);
    num_reflective += read.num_reflective;
    if (path !== undefined) await writing(path, () => file!.appendFile(read.reflective));
  }
  return { steps, num_reflective };
}

async function created(path: string): Promise<FileHandle> {
  await makeFolder(dirname(path));
  return open(path, "w");
}

async function* answersTo(tasks: readonly StepsTask[]): AsyncGenerator<ReadSteps> {
  const num_files = tasks.reduce((sum, { steps }) => sum + steps.length, 0);
  if (num_files >= least_on_threads) yield* onThreads<StepsTask, ReadSteps>(entry, tasks);
  else for (const task of tasks) yield await readSteps(task);
}
