import type { ArrowFile } from "../read/arrow-file.js";
import type { StepPlaces, StepSamples } from "../read/step-samples.js";
import type { ReflectionHit } from "../reflection.js";

/** A correct completion with one of the reflection words, as a whole word. */
export interface ReflectiveSample {
  readonly run: string;
  readonly step: number;
  readonly prompt_id: number;
  readonly sample_index: number;
  /** With the chat template's own tokens. */
  readonly prompt: string;
  readonly completion: string;
  readonly answer: string;
  readonly reward: number;
  /** The parts, before weights. */
  readonly reward_breakdown: Readonly<Record<string, number>>;
  /** `completion.slice(start, end)` is the word as it stands there. */
  readonly words: readonly ReflectionHit[];
}

const breakdown = "reward_breakdown";

/** Those of one step, by row. @throws Error saying what is wrong with the file */
export async function reflectiveSamples(
  run: string,
  file: ArrowFile,
  { step, correct, reward, prompt_ids, sample_indices }: StepSamples,
  { completions, places }: StepPlaces,
): Promise<readonly ReflectiveSample[]> {
  const rows = [...places.keys()].filter((row) => correct?.[row] === 1 && places[row]!.word.length > 0);
  if (rows.length === 0) return [];
  const [prompts, answers] = await Promise.all([file.texts("prompt", rows), file.texts("answer", rows)]);
  const parts = await Promise.all(
    file.parts(breakdown).map(async (part) => [part, await file.numbers(`${breakdown}.${part}`)] as const),
  );
  return rows.map((row, i) => ({
    run,
    step,
    prompt_id: prompt_ids[row]!,
    sample_index: sample_indices[row]!,
    prompt: prompts[i]!,
    completion: completions[row]!,
    answer: answers[i]!,
    reward: reward[row]!,
    reward_breakdown: Object.fromEntries(parts.map(([part, values]) => [part, Number(values[row])])),
    words: places[row]!.word,
  }));
}
