import { flatValues } from "../batches/columns.js";
import type { Sample } from "../batches/sample.js";
import type { Engine } from "../engine/engine.js";
import { UserError } from "../errors.js";
import { openJudge } from "../rewards/grader.js";
import type { Processor } from "./data/processor.js";
import { buildPrompts } from "./data/prompts.js";
import type { IndexedSamples, StreamedSample } from "./data/stream.js";
import { collect } from "./rollout/collect.js";

export interface RightCompletionsOptions {
  readonly engine: Engine;
  readonly processor: Processor;
  readonly samples: IndexedSamples;
  readonly max_items: number;
  readonly completions_per_prompt: number;
  /** Different right completions kept of one prompt, at most. */
  readonly keep: number;
  readonly temperature: number;
  readonly top_p: number;
  readonly top_k: number;
  readonly system_prompt: string | undefined;
  readonly max_prompt_tokens: number;
  readonly max_completion_tokens: number;
  readonly max_concurrent_completions: number;
  readonly seed: number;
  readonly signal: AbortSignal;
}

export interface RightCompletions {
  readonly kept: readonly { readonly sample: Sample; readonly completion: string }[];
  readonly num_prompts: number;
  /** Prompts with at least one right completion. */
  readonly num_solved: number;
  readonly num_sampled: number;
  readonly num_right: number;
}

/**
 * Samples completions and keeps right ones, in the order of the samples: the data of rejection-sampling fine-tuning.
 * Completions that were cut off are never kept. Source: arXiv:2308.01825, section 3.3.
 */
export async function* rightCompletions(
  options: RightCompletionsOptions,
): AsyncGenerator<{ readonly done: number; readonly total: number }, RightCompletions> {
  const { engine, processor, samples, completions_per_prompt, signal } = options;
  await using grader = await openJudge();
  const num_prompts = Math.min(samples.length, options.max_items);
  const total = num_prompts * completions_per_prompt;
  const at_once = Math.max(1, Math.ceil((4 * options.max_concurrent_completions) / completions_per_prompt));
  const kept: { readonly sample: Sample; readonly completion: string }[] = [];
  let [num_right, num_solved] = [0, 0];
  for (let start = 0; start < num_prompts; start += at_once) {
    const chunk = await Promise.all(
      Array.from({ length: Math.min(at_once, num_prompts - start) }, async (_, i): Promise<StreamedSample> => {
        const sample = await samples.get(start + i);
        if (sample.history === undefined && sample.system_prompt === undefined) return { prompt_id: start + i, sample };
        throw new UserError(
          "DATASET_INVALID",
          `sample "${sample.id}" has earlier turns or a system prompt of its own, which rows of solutions cannot hold`,
          "Leave such samples out.",
        );
      }),
    );
    const sampleOf = (prompt_id: number): Sample => chunk[prompt_id - start]!.sample;
    const { max_prompt_tokens, system_prompt } = options;
    const prompts = await buildPrompts(engine, processor, chunk, { system_prompt, max_prompt_tokens, signal });
    const { max_completion_tokens, max_concurrent_completions, temperature, top_k, top_p, seed } = options;
    const collecting = collect(engine, prompts, {
      completions_per_prompt,
      sampling: {
        ...{ temperature, top_k, top_p, seed, step: 0, stream: false, kv_block_size: 16 },
        ...{ max_completion_tokens, max_concurrent_completions, stop_token_ids: processor.stop_token_ids },
      },
      decode: (ids) => processor.decode(ids, { skip_special_tokens: true }),
      grade: async (prompt_id, completion, { finish_reason, token_ids }) => {
        if (finish_reason === "length") return { reward: 0, breakdown: {} };
        const sample = sampleOf(prompt_id);
        const { question: prompt, answer } = sample;
        const token_count = token_ids.length;
        return grader.grade(
          { completion, sample, prompt, answer, finish_reason: "stop", token_count, max_completion_tokens },
          signal,
        );
      },
      signal,
    });
    let next = await collecting.next();
    for (; next.done !== true; next = await collecting.next())
      yield { done: start * completions_per_prompt + next.value.done, total };
    const { rollouts, rewards, completions } = next.value;
    const right = new Map<number, Set<string>>();
    flatValues<BigInt64Array>(rollouts, "prompt_id").forEach((id, row) => {
      if (rewards.reward[row]! <= 0.5) return;
      num_right += 1;
      // Sampled tokens need not be those that the text is encoded as: those may be more, and are what is learned from.
      if (processor.encode(completions[row]!).length >= max_completion_tokens) return;
      const texts = right.get(Number(id)) ?? new Set();
      if (texts.size < options.keep) texts.add(completions[row]!);
      right.set(Number(id), texts);
    });
    num_solved += right.size;
    for (const [id, texts] of right) for (const completion of texts) kept.push({ sample: sampleOf(id), completion });
    await engine.pruneImages([]);
  }
  return { kept, num_prompts, num_solved, num_sampled: total, num_right };
}
