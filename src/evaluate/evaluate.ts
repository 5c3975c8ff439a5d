import { flatValues, strings } from "../batches/columns.js";
import type { Engine } from "../engine/engine.js";
import type { Processor } from "../pipeline/data/processor.js";
import { buildPrompts } from "../pipeline/data/prompts.js";
import type { IndexedSamples, StreamedSample } from "../pipeline/data/stream.js";
import { collect, completionLengths } from "../pipeline/rollout/collect.js";
import { openGrader } from "../rewards/grader.js";
import type { RewardInput } from "../rewards/reward.js";
import type { EvaluationResult } from "./result.js";
import { bootstrap, passAtK, wilson } from "./statistics.js";

/** How completions are sampled; temperature 0 is greedy. */
export interface EvaluationSetting {
  readonly name: string;
  readonly temperature: number;
  readonly top_k: number;
  readonly top_p: number;
  readonly completions_per_prompt: number;
  /** Text that every completion is made to begin with; graded with it. */
  readonly assistant_prefix: string;
}

type IsCorrect = (input: RewardInput) => boolean | Promise<boolean>;

export interface EvaluateOptions {
  readonly engine: Engine;
  readonly processor: Processor;
  readonly samples: IndexedSamples;
  readonly settings: readonly EvaluationSetting[];
  /** Items taken from the front; null takes all. */
  readonly max_items: number | null;
  readonly system_prompt: string | null;
  readonly max_prompt_tokens: number;
  readonly max_image_pixels?: number | undefined;
  readonly max_completion_tokens: number;
  readonly max_concurrent_completions: number;
  readonly kv_block_size: number;
  readonly seed: number;
  /** Whether a completion is right; absent: the `accuracy` reward, whatever rewards a run trains with. */
  readonly isCorrect?: IsCorrect | undefined;
  readonly known_images?: Map<string, string> | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A text that the judge cannot read in time is a wrong answer. */
const accuracy = { name: "accuracy", weight: 1, on_error: "zero" } as const;
const judging_limit_ms = 10_000;

interface Tally {
  readonly correct: number[];
  completion_tokens: number;
  num_truncated: number;
}

/**
 * Accuracy of every setting over the same items. Prompt ids are the items' positions and the step is 0, so that two
 * evaluations with one seed draw the same random numbers whatever was trained between them.
 */
export async function* evaluate(
  options: EvaluateOptions,
): AsyncGenerator<{ readonly done: number; readonly total: number }, readonly EvaluationResult[]> {
  const { samples, settings } = options;
  await using grader = await openGrader([accuracy], { timeout_ms: judging_limit_ms });
  const isAccurate: IsCorrect = async (input) => (await grader.grade(input, options.signal)).reward > 0.5;
  const judged = { ...options, isCorrect: options.isCorrect ?? isAccurate };
  const num_items = Math.min(samples.length, options.max_items ?? Infinity);
  const total = num_items * settings.reduce((sum, setting) => sum + setting.completions_per_prompt, 0);
  let before = 0;
  const results: EvaluationResult[] = [];
  for (const setting of settings) {
    const tally: Tally = { correct: [], completion_tokens: 0, num_truncated: 0 };
    const at_once = Math.max(64, Math.ceil((4 * options.max_concurrent_completions) / setting.completions_per_prompt));
    for (let start = 0; start < num_items; start += at_once) {
      const indices = Array.from({ length: Math.min(at_once, num_items - start) }, (_, i) => start + i);
      const chunk = await Promise.all(
        indices.map(async (prompt_id): Promise<StreamedSample> => ({
          prompt_id,
          sample: await samples.get(prompt_id),
        })),
      );
      for await (const { done } of evaluateChunk(judged, setting, chunk, tally)) yield { done: before + done, total };
      before += chunk.length * setting.completions_per_prompt;
    }
    results.push(summary(setting, num_items, tally, options.seed));
  }
  return results;
}

async function* evaluateChunk(
  options: EvaluateOptions & { readonly isCorrect: IsCorrect },
  setting: EvaluationSetting,
  chunk: readonly StreamedSample[],
  tally: Tally,
): AsyncGenerator<{ readonly done: number }> {
  const { engine, processor, signal, isCorrect } = options;
  const { temperature, top_k, top_p, completions_per_prompt, assistant_prefix } = setting;
  const prompts = await buildPrompts(engine, processor, chunk, {
    system_prompt: options.system_prompt ?? undefined,
    assistant_prefix,
    max_prompt_tokens: options.max_prompt_tokens,
    max_image_pixels: options.max_image_pixels,
    known_images: options.known_images,
    signal,
  });
  const sample_of = new Map(chunk.map(({ prompt_id, sample }) => [prompt_id, sample]));
  const { rollouts, rewards } = yield* collect(engine, prompts, {
    completions_per_prompt,
    sampling: {
      ...{ temperature, top_k, top_p, seed: options.seed, step: 0, stream: false },
      max_completion_tokens: options.max_completion_tokens,
      stop_token_ids: processor.stop_token_ids,
      max_concurrent_completions: options.max_concurrent_completions,
      kv_block_size: options.kv_block_size,
    },
    decode: (ids) => assistant_prefix + processor.decode(ids, { skip_special_tokens: true }),
    grade: async (prompt_id, completion, { finish_reason, token_ids }) => {
      const sample = sample_of.get(prompt_id)!;
      const correct = await isCorrect({
        ...{ completion, sample, prompt: sample.question, answer: sample.answer },
        finish_reason: finish_reason ?? "length",
        token_count: token_ids.length,
        max_completion_tokens: options.max_completion_tokens,
      });
      return { reward: correct ? 1 : 0, breakdown: {} };
    },
    signal,
  });
  const row_of = new Map(chunk.map(({ prompt_id }, i) => [prompt_id, tally.correct.length + i]));
  for (const row of row_of.values()) tally.correct[row] = 0;
  flatValues<BigInt64Array>(rollouts, "prompt_id").forEach((id, row) => {
    tally.correct[row_of.get(Number(id))!]! += rewards.reward[row]!;
  });
  tally.completion_tokens += completionLengths(rollouts).reduce((sum, length) => sum + length, 0);
  tally.num_truncated += strings(rollouts, "finish_reason").filter((reason) => reason === "length").length;
  await engine.pruneImages([]);
}

function summary(setting: EvaluationSetting, num_items: number, tally: Tally, seed: number): EvaluationResult {
  const n = setting.completions_per_prompt;
  const shares = tally.correct.map((correct) => correct / n);
  const mean = (values: readonly number[]): number =>
    values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
  const pass_at: Record<number, number> = {};
  for (let k = 1; k <= n; k *= 2) pass_at[k] = mean(tally.correct.map((correct) => passAtK(n, correct, k)));
  pass_at[n] ??= mean(tally.correct.map((correct) => passAtK(n, correct, n)));
  const num_completions = Math.max(1, num_items * n);
  return {
    setting: setting.name,
    num_items,
    completions_per_prompt: n,
    accuracy: mean(shares),
    interval: n === 1 ? wilson(mean(shares) * num_items, num_items) : bootstrap(shares, seed),
    pass_at,
    mean_completion_length: tally.completion_tokens / num_completions,
    truncated: tally.num_truncated / num_completions,
    correct: tally.correct,
  };
}
