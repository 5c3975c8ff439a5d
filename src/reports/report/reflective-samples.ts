import { open } from "node:fs/promises";
import { openArrowFile } from "../read/arrow-file.js";
import type { RolloutIndex } from "../read/rollout-index.js";
import type { Run } from "../read/run-folder-reader.js";
import { findReflection, type ReflectionHit } from "../reflection.js";

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

/** By step and row, a list for each step. Steps whose file is damaged are left out: reports name it where its curves are read. */
export async function* reflectiveSamples(
  { name }: Run,
  index: RolloutIndex,
): AsyncGenerator<readonly ReflectiveSample[]> {
  for (const { step, num_rows, correct, reward, prompt_ids, sample_indices } of index.steps) {
    if (correct === null || correct.every((value) => value === 0)) continue;
    try {
      const reflective = await index.reflective(step);
      const rows = Array.from({ length: num_rows }, (_, row) => row).filter((row) => correct[row]! && reflective[row]!);
      if (rows.length === 0) continue;
      await using file = await openArrowFile(index.fileOf(step));
      const [prompts, completions, answers] = await Promise.all([
        file.texts("prompt", rows),
        file.texts("completion", rows),
        file.texts("answer", rows),
      ]);
      const parts = await Promise.all(
        file.parts(breakdown).map(async (part) => [part, await file.numbers(`${breakdown}.${part}`)] as const),
      );
      yield rows.map((row, i) => ({
        ...{ run: name, step, prompt_id: prompt_ids[row]!, sample_index: sample_indices[row]! },
        ...{ prompt: prompts[i]!, completion: completions[i]!, answer: answers[i]!, reward: reward[row]! },
        reward_breakdown: Object.fromEntries(parts.map(([part, values]) => [part, Number(values[row])])),
        words: findReflection(completions[i]!, "word"),
      }));
    } catch {
      continue;
    }
  }
}

/** JSON Lines; returns how many. */
export async function writeReflectiveSamples(
  runs: readonly Run[],
  rollouts: ReadonlyMap<string, RolloutIndex>,
  path: string,
): Promise<number> {
  let count = 0;
  await using file = await open(path, "w");
  for (const run of runs)
    for await (const samples of reflectiveSamples(run, rollouts.get(run.folder)!)) {
      await file.appendFile(samples.map((sample) => `${JSON.stringify(sample)}\n`).join(""));
      count += samples.length;
    }
  return count;
}
