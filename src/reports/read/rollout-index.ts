import { stat } from "node:fs/promises";
import { join } from "node:path";
import { namesIn } from "../files.js";
import { type ReflectionCounting, reflectionPlaces } from "../reflection.js";
import { reflectionStatistics, type ReflectionStatistics } from "../reflection-statistics.js";
import type { Numbers } from "./arrow-cells.js";
import { type ArrowFile, openArrowFile } from "./arrow-file.js";
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

/** Reflection in one step's completions. */
export interface StepReflection extends Readonly<Record<ReflectionCounting, ReflectionStatistics>> {
  /** Whether each row's completion has one of the words (whole words): 1 or 0. */
  readonly rows: Uint8Array;
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
  /** Null where no completions are kept. Read when first asked for, then kept. */
  reflection(step: number): Promise<StepReflection | null>;
  /** Whether each row's completion has a reflection word (whole words). */
  reflective(step: number): Promise<Uint8Array>;
}

export interface RolloutIndexOptions {
  /** `poll` reads the completions too, for `reflection`, while it has a file open. */
  readonly with_reflection?: boolean;
}

const pattern = /^step-(\d{6,})\.arrow$/;
const files_at_once = 8;

export function rolloutIndex(run_folder: string, { with_reflection = false }: RolloutIndexOptions = {}): RolloutIndex {
  const folder = join(run_folder, "rollouts");
  const known = new Map<string, { readonly stamp: string; readonly samples: StepSamples | Problem }>();
  const reflections = new Map<number, Promise<StepReflection | null>>();
  let steps: readonly StepSamples[] = [];
  let problems: readonly Problem[] = [];
  const fileOf = (step: number): string => join(folder, `step-${String(step).padStart(6, "0")}.arrow`);

  const reflection = async (step: number): Promise<StepReflection | null> => {
    const read = reflections.get(step);
    if (read !== undefined) return read;
    await using file = await openArrowFile(fileOf(step));
    const samples = steps.find((one) => one.step === step) ?? (await samplesOf(file, step));
    const found = await reflectionOf(file, samples);
    reflections.set(step, Promise.resolve(found));
    return found;
  };

  const refresh = async (name: string): Promise<boolean> => {
    const path = join(folder, name);
    const status = await stat(path).catch(() => undefined);
    const stamp = status === undefined ? "" : `${status.ino} ${status.size} ${status.mtimeMs}`;
    if (known.get(name)?.stamp === stamp) return false;
    const step = Number(pattern.exec(name)![1]);
    reflections.delete(step);
    if (status === undefined) return known.delete(name);
    const read = async (): Promise<StepSamples> => {
      await using file = await openArrowFile(path);
      const found = await samplesOf(file, step);
      if (with_reflection) {
        const of_step = reflectionOf(file, found);
        reflections.set(step, of_step);
        await of_step.catch(() => undefined); // told to whoever asks for it
      }
      return found;
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
      const present = (await namesIn(folder).catch(() => [] as readonly string[])).filter((name) => pattern.test(name));
      const gone = [...known.keys()].filter((name) => !present.includes(name));
      for (const name of gone) {
        known.delete(name);
        reflections.delete(Number(pattern.exec(name)![1]));
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
    reflection,
    reflective: async (step) => {
      const found = await reflection(step);
      return found?.rows ?? new Uint8Array(steps.find((one) => one.step === step)?.num_rows ?? 0);
    },
  };
}

/** @throws Error saying what is wrong with the file */
async function samplesOf(file: ArrowFile, step: number): Promise<StepSamples> {
  const { num_rows } = file;
  const accuracy = file.has("reward_breakdown.accuracy") ? await file.numbers("reward_breakdown.accuracy") : null;
  const finish_reason = await file.texts("finish_reason");
  return {
    step,
    num_rows,
    prompt_ids: toFloat64(await file.numbers("prompt_id")),
    sample_indices: new Int32Array((await file.numbers("sample_index")) as Int32Array),
    reward: new Float32Array((await file.numbers("reward")) as Float32Array),
    correct: accuracy && flags(num_rows, (row) => accuracy[row]! > 0),
    truncated: flags(num_rows, (row) => finish_reason[row] === "length"),
    lengths: await file.countBits("completion_mask"),
  };
}

async function reflectionOf(file: ArrowFile, { correct, lengths }: StepSamples): Promise<StepReflection | null> {
  if (!file.has("completion")) return null;
  const places = (await file.texts("completion")).map(reflectionPlaces);
  const seen = { places, correct, lengths };
  return {
    rows: flags(places.length, (row) => places[row]!.word.length > 0),
    word: reflectionStatistics(seen, "word"),
    substring: reflectionStatistics(seen, "substring"),
  };
}

/** Loops: `from` of a typed array takes several times as long. */
function flags(length: number, is_set: (row: number) => boolean): Uint8Array {
  const values = new Uint8Array(length);
  for (let row = 0; row < length; row++) if (is_set(row)) values[row] = 1;
  return values;
}

function toFloat64(numbers: Numbers): Float64Array {
  const values = new Float64Array(numbers.length);
  for (let i = 0; i < values.length; i++) values[i] = Number(numbers[i]);
  return values;
}
