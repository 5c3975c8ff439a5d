import { open } from "node:fs/promises";
import { openArrowFile } from "../read/arrow-file.js";
import { rolloutIndex } from "../read/rollout-index.js";
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
  /** `completion.slice(start, end)` is the word as it stands there. */
  readonly words: readonly ReflectionHit[];
}

/** By step and row. Steps whose file is damaged are left out: reports name it where its curves are read. */
export async function* reflectiveSamples({ folder, name }: Run): AsyncGenerator<ReflectiveSample> {
  const index = rolloutIndex(folder);
  await index.poll();
  for (const { step, num_rows, correct, reward, prompt_ids, sample_indices } of index.steps) {
    if (correct === null || correct.every((value) => value === 0)) continue;
    try {
      const reflective = await index.reflective(step);
      const rows = Array.from({ length: num_rows }, (_, row) => row).filter((row) => correct[row]! && reflective[row]!);
      if (rows.length === 0) continue;
      await using file = await openArrowFile(index.fileOf(step));
      const [prompt, completion, answer] = [
        await file.texts("prompt"),
        await file.texts("completion"),
        await file.texts("answer"),
      ];
      for (const row of rows)
        yield {
          ...{ run: name, step, prompt_id: prompt_ids[row]!, sample_index: sample_indices[row]! },
          ...{ prompt: prompt[row]!, completion: completion[row]!, answer: answer[row]!, reward: reward[row]! },
          words: findReflection(completion[row]!, "word"),
        };
    } catch {
      continue;
    }
  }
}

/** JSON Lines; returns how many. */
export async function writeReflectiveSamples(runs: readonly Run[], path: string): Promise<number> {
  let count = 0;
  await using file = await open(path, "w");
  for (const run of runs)
    for await (const sample of reflectiveSamples(run)) {
      await file.appendFile(`${JSON.stringify(sample)}\n`);
      count += 1;
    }
  return count;
}
