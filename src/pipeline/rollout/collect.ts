import { flatValues, listValues } from "../../batches/columns.js";
import type { PromptBatch } from "../../batches/prompt.js";
import type { RolloutBatch } from "../../batches/rollout.js";
import { takeRows } from "../../batches/take-rows.js";
import type { Completion, Engine, Rewards, SamplingOptions } from "../../engine/engine.js";
import type { Grade } from "./grade.js";

export interface CollectOptions {
  readonly completions_per_prompt: number;
  readonly sampling: SamplingOptions;
  /** Text of the sampled tokens, as the grader and people see it. */
  readonly decode: (token_ids: Int32Array) => string;
  readonly grade: (prompt_id: number, completion: string, finished: Completion) => Promise<Grade>;
  readonly signal?: AbortSignal | undefined;
}

/** Rows of `rewards` and `completions` are those of `rollouts`: (prompt, sample) order, masked completions left out. */
export interface Collected {
  readonly rollouts: RolloutBatch;
  readonly rewards: Rewards;
  readonly completions: readonly string[];
  /** Of every completion, masked ones too. */
  readonly grades: readonly Grade[];
  /** Seconds from the last sampled completion to the last grade: 0 if grading kept up. */
  readonly grading_wait_seconds: number;
  /** Smallest over the sampled tokens, those of masked completions too. */
  readonly sampling_margin_min: number;
}

/**
 * Samples every completion of a prompt batch and grades each one while the others are still being sampled.
 * Yields how many completions are sampled. Results go into the batch's own order, so neither the order in
 * which completions finish nor how long a grade takes can change a run.
 */
export async function* collect(
  engine: Engine,
  prompts: PromptBatch,
  options: CollectOptions,
): AsyncGenerator<{ readonly done: number; readonly total: number }, Collected> {
  const { signal, completions_per_prompt } = options;
  const failure = new AbortController();
  const graded = new Map<string, { readonly text: string; readonly grade: Promise<Grade> }>();

  const start = (completion: Completion): void => {
    const text = options.decode(completion.token_ids);
    const grade = options.grade(completion.prompt_id, text, completion);
    grade.catch((error: unknown) => failure.abort(error)); // a failing reward stops the sampling
    graded.set(key(completion.prompt_id, completion.sample_index), { text, grade });
  };

  await using session = engine.rollout(options.sampling, {
    signal: signal === undefined ? failure.signal : AbortSignal.any([signal, failure.signal]),
  });
  await session.add(prompts, completions_per_prompt);
  for await (const completion of session) {
    if (completion.finish_reason === null) continue;
    start(completion);
    yield { done: graded.size, total: prompts.numRows * completions_per_prompt };
  }
  const rollouts = await session.finish();
  const sampled = performance.now();

  const ids = flatValues<BigInt64Array>(rollouts, "prompt_id");
  const indices = flatValues<Int32Array>(rollouts, "sample_index");
  const completions: string[] = [];
  const grades: Grade[] = [];
  for (let row = 0; row < rollouts.numRows; row++) {
    const found = graded.get(key(Number(ids[row]), indices[row]!));
    if (found === undefined) throw new Error(`completion ${indices[row]} of prompt ${ids[row]} was never handed out`);
    completions.push(found.text);
    grades.push(await found.grade);
  }
  signal?.throwIfAborted();
  const kept = grades.flatMap(({ masked = false }, row) => (masked ? [] : [row]));
  const is_whole = kept.length === grades.length;
  return {
    rollouts: is_whole
      ? rollouts
      : takeRows(
          [rollouts],
          kept.map((row) => ({ batch: 0, row })),
        ),
    rewards: toRewards(
      kept.map((row) => grades[row]!),
      Object.keys(grades[0]?.breakdown ?? {}),
    ),
    completions: kept.map((row) => completions[row]!),
    grades,
    grading_wait_seconds: (performance.now() - sampled) / 1000,
    sampling_margin_min: session.sampling_margin_min!,
  };
}

const key = (prompt_id: number, sample_index: number): string => `${prompt_id}/${sample_index}`;

function toRewards(grades: readonly Grade[], names: readonly string[]): Rewards {
  return {
    reward: Float32Array.from(grades, (grade) => grade.reward),
    breakdown: Object.fromEntries(
      names.map((name) => [name, Float32Array.from(grades, (grade) => grade.breakdown[name] ?? 0)]),
    ),
  };
}

/** Tokens sampled in each row. */
export function completionLengths(rollouts: RolloutBatch): readonly number[] {
  const { offsets, values } = listValues<Uint8Array>(rollouts, "completion_mask");
  return Array.from({ length: rollouts.numRows }, (_, row) => {
    let length = 0;
    for (let i = offsets[row]!; i < offsets[row + 1]!; i++) length += (values[i >> 3]! >> (i & 7)) & 1;
    return length;
  });
}
