import { type ReflectionCounting, type ReflectionPlaces, reflectionPlaces } from "../reflection.js";
import { type ReflectionStatistics, reflectionStatistics } from "../reflection-statistics.js";
import type { Numbers } from "./arrow-cells.js";
import type { ArrowFile } from "./arrow-file.js";

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

/** @throws Error saying what is wrong with the file */
export async function stepSamples(file: ArrowFile, step: number): Promise<StepSamples> {
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

/** Where each completion of a step has words of reflection. */
export interface StepPlaces {
  readonly completions: readonly string[];
  readonly places: readonly ReflectionPlaces[];
}

/** Null where no completions are kept. @throws Error saying what is wrong with the file */
export async function stepPlaces(file: ArrowFile): Promise<StepPlaces | null> {
  if (!file.has("completion")) return null;
  const completions = await file.texts("completion");
  return { completions, places: completions.map(reflectionPlaces) };
}

/** Reflection in one step's completions, by both countings. */
export type StepReflection = Readonly<Record<ReflectionCounting, ReflectionStatistics>>;

export function stepReflection({ places }: StepPlaces, { correct, lengths }: StepSamples): StepReflection {
  const seen = { places, correct, lengths };
  return { word: reflectionStatistics(seen, "word"), substring: reflectionStatistics(seen, "substring") };
}

/** Whether each row's completion has one of the words (whole words): 1 or 0. */
export const reflectiveRows = ({ places }: StepPlaces): Uint8Array =>
  flags(places.length, (row) => places[row]!.word.length > 0);

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
