import { stat } from "node:fs/promises";
import { join } from "node:path";
import { namesIn } from "../files.js";
import { isReflective } from "../reflection.js";
import { openArrowFile } from "./arrow-file.js";
import { type Problem, reasonOf } from "./problem.js";

/** What is kept in memory of one step's samples: about 20 bytes a row. */
export interface StepSamples {
  readonly step: number;
  readonly num_rows: number;
  readonly prompt_ids: Float64Array;
  readonly sample_indices: Int32Array;
  readonly reward: Float32Array;
  /** 1 correct, 0 not; null where no accuracy was rewarded. */
  readonly correct: Uint8Array | null;
  readonly truncated: Uint8Array;
  /** Sampled tokens. */
  readonly lengths: Int32Array;
}

/** All samples of a run, by step; the files themselves are read again for texts and tokens. */
export interface RolloutIndex {
  /** Ascending by step. */
  readonly steps: readonly StepSamples[];
  readonly num_rows: number;
  readonly problems: readonly Problem[];
  fileOf(step: number): string;
  /** Reads files that have come, drops those that are gone. Returns whether anything changed. */
  poll(): Promise<boolean>;
  /** Whether each row's completion has a reflection word (whole words). Read when first asked for, then kept. */
  reflective(step: number): Promise<Uint8Array>;
}

const pattern = /^step-(\d{6,})\.arrow$/;
const files_at_once = 8;

export function rolloutIndex(run_folder: string): RolloutIndex {
  const folder = join(run_folder, "rollouts");
  const known = new Map<string, { readonly stamp: string; readonly samples: StepSamples | Problem }>();
  const reflective = new Map<number, Uint8Array>();
  let steps: readonly StepSamples[] = [];
  let problems: readonly Problem[] = [];
  const fileOf = (step: number): string => join(folder, `step-${String(step).padStart(6, "0")}.arrow`);

  const refresh = async (name: string): Promise<boolean> => {
    const path = join(folder, name);
    const status = await stat(path).catch(() => undefined);
    const stamp = status === undefined ? "" : `${status.ino} ${status.size} ${status.mtimeMs}`;
    if (known.get(name)?.stamp === stamp) return false;
    const step = Number(pattern.exec(name)![1]);
    reflective.delete(step);
    if (status === undefined) return known.delete(name);
    const samples = await readSamples(path, step).catch((error: unknown): Problem => ({
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
      const present = (await namesIn(folder).catch(() => [] as readonly string[])).filter((name) => pattern.test(name));
      const gone = [...known.keys()].filter((name) => !present.includes(name));
      for (const name of gone) {
        known.delete(name);
        reflective.delete(Number(pattern.exec(name)![1]));
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
      const found = reflective.get(step);
      if (found !== undefined) return found;
      await using file = await openArrowFile(fileOf(step));
      const texts = file.has("completion") ? await file.texts("completion") : [];
      const flags = Uint8Array.from({ length: file.num_rows }, (_, i) => Number(isReflective(texts[i] ?? "", "word")));
      reflective.set(step, flags);
      return flags;
    },
  };
}

/** @throws Error saying what is wrong with the file */
async function readSamples(path: string, step: number): Promise<StepSamples> {
  await using file = await openArrowFile(path);
  const { num_rows } = file;
  const reward = Float32Array.from((await file.numbers("reward")) as Float32Array);
  const accuracy = file.has("reward_breakdown.accuracy") ? await file.numbers("reward_breakdown.accuracy") : null;
  const finish_reason = await file.texts("finish_reason");
  return {
    step,
    num_rows,
    prompt_ids: Float64Array.from((await file.numbers("prompt_id")) as BigInt64Array, Number),
    sample_indices: Int32Array.from((await file.numbers("sample_index")) as Int32Array),
    reward,
    correct: accuracy && Uint8Array.from(accuracy as Float32Array, (value) => Number(value > 0)),
    truncated: Uint8Array.from(finish_reason, (reason) => Number(reason === "length")),
    lengths: await file.countBits("completion_mask"),
  };
}
