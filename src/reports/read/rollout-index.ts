import { stat } from "node:fs/promises";
import { join } from "node:path";
import { namesIn } from "../files.js";
import { rolloutFolder, rolloutName, rolloutStep } from "../rollout-names.js";
import { openArrowFile } from "./arrow-file.js";
import { type Problem, reasonOf } from "./problem.js";
import { reflectiveRows, stepPlaces, stepSamples, type StepSamples } from "./step-samples.js";

/** All samples of a run, by step; the files themselves are read again for texts and tokens. */
export interface RolloutIndex {
  /** Ascending by step. */
  readonly steps: readonly StepSamples[];
  readonly num_rows: number;
  readonly problems: readonly Problem[];
  fileOf(step: number): string;
  /** Reads files that have come, drops those that are gone. Returns whether anything changed. */
  poll(): Promise<boolean>;
  /** Whether each row's completion has a reflection word (whole words): 1 or 0. Read when first asked for, then kept. */
  reflective(step: number): Promise<Uint8Array>;
}

const files_at_once = 8;

export function rolloutIndex(run_folder: string): RolloutIndex {
  const folder = rolloutFolder(run_folder);
  const known = new Map<string, { readonly stamp: string; readonly samples: StepSamples | Problem }>();
  const reflective = new Map<number, Uint8Array>();
  let steps: readonly StepSamples[] = [];
  let problems: readonly Problem[] = [];
  const fileOf = (step: number): string => join(folder, rolloutName(step));

  const refresh = async (name: string): Promise<boolean> => {
    const path = join(folder, name);
    const status = await stat(path).catch(() => undefined);
    const stamp = status === undefined ? "" : `${status.ino} ${status.size} ${status.mtimeMs}`;
    if (known.get(name)?.stamp === stamp) return false;
    const step = rolloutStep(name)!;
    reflective.delete(step);
    if (status === undefined) return known.delete(name);
    const read = async (): Promise<StepSamples> => {
      await using file = await openArrowFile(path);
      return stepSamples(file, step);
    };
    const samples = await read().catch((error: unknown): Problem => ({
      file: `rollouts/${name}`,
      message: `left out: ${reasonOf(error)}`,
    }));
    known.set(name, { stamp, samples });
    return true;
  };

  return {
    get steps() {
      return steps;
    },
    get num_rows() {
      return steps.reduce((sum, { num_rows }) => sum + num_rows, 0);
    },
    get problems() {
      return problems;
    },
    fileOf,
    poll: async () => {
      const present = (await namesIn(folder).catch(() => [] as readonly string[])).filter(
        (name) => rolloutStep(name) !== undefined,
      );
      const gone = [...known.keys()].filter((name) => !present.includes(name));
      for (const name of gone) {
        known.delete(name);
        reflective.delete(rolloutStep(name)!);
      }
      let is_changed = gone.length > 0;
      const queue = [...present];
      const work = async (): Promise<void> => {
        for (let name = queue.shift(); name !== undefined; name = queue.shift())
          if (await refresh(name)) is_changed = true;
      };
      await Promise.all(Array.from({ length: files_at_once }, work));
      if (!is_changed) return false;
      const all = [...known.values()].map(({ samples }) => samples);
      steps = all.filter((samples) => "step" in samples).sort((a, b) => a.step - b.step);
      problems = all.filter((samples) => "message" in samples);
      return true;
    },
    reflective: async (step) => {
      const read = reflective.get(step);
      if (read !== undefined) return read;
      await using file = await openArrowFile(fileOf(step));
      const found = await stepPlaces(file);
      const rows = found === null ? new Uint8Array(file.num_rows) : reflectiveRows(found);
      reflective.set(step, rows);
      return rows;
    },
  };
}
