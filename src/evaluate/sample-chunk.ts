import type { Completion } from "../engine/engine.js";
import { buildPrompts } from "../pipeline/data/prompts.js";
import type { StreamedSample } from "../pipeline/data/stream.js";
import { collect } from "../pipeline/rollout/collect.js";
import { finalAnswers } from "../rewards/grading/final-answer.js";
import type { EvaluateOptions, EvaluationSetting } from "./evaluate.js";
import type { RewardInput } from "../rewards/reward.js";
import type { Control, EvaluationSample } from "./result.js";

/** Rewards of one completion by name, before weights; `accuracy` is always there. */
export type Measure = (input: RewardInput) => Promise<Readonly<Record<string, number>>>;
export const isRight = ({ accuracy = 0 }: Readonly<Record<string, number>>): boolean => accuracy > 0.5;

/** Settings with one assistant_prefix have one prompt; groups and settings keep their order. */
export function byPrefix(settings: readonly EvaluationSetting[]): readonly (readonly EvaluationSetting[])[] {
  const groups = new Map<string, EvaluationSetting[]>();
  for (const setting of settings)
    groups.set(setting.assistant_prefix, [...(groups.get(setting.assistant_prefix) ?? []), setting]);
  return [...groups.values()];
}

/** Completions of one chunk of items in all settings of a group, one session and one prefill of each prompt. */
export async function* sampleChunk(
  options: EvaluateOptions & { readonly measure: Measure },
  control: Control,
  group: readonly EvaluationSetting[],
  chunk: readonly StreamedSample[],
): AsyncGenerator<{ readonly done: number }, readonly EvaluationSample[]> {
  const { engine, processor, signal, measure, max_completion_tokens } = options;
  const { assistant_prefix, temperature, top_k, top_p } = group[0]!;
  const prompts = await buildPrompts(engine, processor, chunk, {
    system_prompt: options.system_prompt ?? undefined,
    assistant_prefix,
    max_prompt_tokens: options.max_prompt_tokens,
    max_image_pixels: options.max_image_pixels,
    known_images: options.known_images,
    signal,
  });
  const drawn = group.flatMap((setting) =>
    Array.from({ length: setting.completions_per_prompt }, (_, sample_index) => ({ setting, sample_index })),
  );
  const sample_of = new Map(chunk.map(({ prompt_id, sample }) => [prompt_id, sample]));
  const place_of = new Map(chunk.map(({ prompt_id }, i) => [prompt_id, i]));
  const rows: EvaluationSample[] = [];
  yield* collect(engine, prompts, {
    completions_per_prompt: drawn.length,
    sampling: {
      ...{ temperature, top_k, top_p, seed: options.seed, step: 0, stream: false, max_completion_tokens },
      settings: group,
      stop_token_ids: processor.stop_token_ids,
      max_concurrent_completions: options.max_concurrent_completions,
      kv_block_size: options.kv_block_size,
    },
    decode: (ids) => assistant_prefix + processor.decode(ids, { skip_special_tokens: true }),
    grade: async (prompt_id, completion, finished) => {
      const sample = sample_of.get(prompt_id)!;
      const { finish_reason, token_ids } = finished;
      const reward_breakdown = await measure({
        ...{ completion, sample, prompt: sample.question, answer: sample.answer, max_completion_tokens },
        finish_reason: finish_reason ?? "length",
        token_count: token_ids.length,
      });
      const correct = isRight(reward_breakdown);
      const { setting, sample_index } = drawn[finished.sample_index]!;
      rows[place_of.get(prompt_id)! * drawn.length + finished.sample_index] = {
        ...{ item: prompt_id, item_id: sample.id, setting: setting.name, control, sample_index },
        ...{ completion, answer: sample.answer, correct, reward_breakdown },
        final_answer: finalAnswers(completion)[0]?.text ?? null,
        ...measured(finished),
      };
      return { reward: correct ? 1 : 0, breakdown: {} };
    },
    signal,
  });
  return rows;
}

const measured = ({ token_ids, finish_reason, rollout_logprobs }: Completion) => ({
  completion_length: token_ids.length,
  finish_reason: finish_reason ?? "length",
  logprob_sum: rollout_logprobs.reduce((sum, value) => sum + value, 0),
});
