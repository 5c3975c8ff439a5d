import type { Pass } from "./activation-memory.js";
import type { MemoryQuestion } from "./memory-plan.js";

/** Prompt tokens computed at once when sampling (native/pipeline/rollout/session.h). */
export const prefill_tokens = 8192;

export interface Microbatches {
  readonly largest: Pass;
  /** Of one update, at least. */
  readonly count: number;
}

/** As native/batches/group_rows.cpp packs an update: whole groups up to the budget, a larger one cut, at least one row. */
export function microbatches(question: MemoryQuestion): Microbatches {
  const { tokens: prompt, patches } = question.prompts;
  const fed = question.max_completion_tokens - 1;
  const budget = question.tokens_per_microbatch;
  const group_rows = Math.min(question.completions_per_prompt, question.completions_per_update);
  const groups = Math.ceil(question.completions_per_update / group_rows);
  const group = prompt + group_rows * fed;
  const cut = group > budget;
  const rows = cut ? Math.max(1, Math.floor((budget - prompt) / Math.max(1, fed))) : group_rows;
  const together = cut ? 1 : Math.min(groups, Math.floor(budget / group));
  return {
    largest: {
      tokens: together * (prompt + rows * fed),
      predicted: together * rows * question.max_completion_tokens,
      patches: trainsVision(question) ? together * patches : 0,
    },
    count: Math.ceil(groups / together) * Math.ceil(group_rows / rows),
  };
}

export const trainsVision = ({ model }: MemoryQuestion): boolean => model.train_vision_tower || model.train_connector;

/** Completions sampled together, and the prompts that they belong to. */
export function concurrent(question: MemoryQuestion): { readonly completions: number; readonly prompts: number } {
  const { completions_per_prompt, max_concurrent_completions, prompts_per_step } = question;
  const completions = Math.min(max_concurrent_completions, prompts_per_step * completions_per_prompt);
  return { completions, prompts: Math.ceil(completions / completions_per_prompt) };
}

/** Prompts started at once; a frozen tower computes one image at a time. */
export function prefillPass(question: MemoryQuestion): Pass {
  const { tokens, patches, images_per_prompt } = question.prompts;
  const { prompts: started } = concurrent(question);
  const prompts = Math.max(1, Math.min(started, Math.floor(prefill_tokens / tokens)));
  return {
    tokens: prompts * tokens,
    predicted: prompts,
    patches: trainsVision(question) ? prompts * patches : patches / Math.max(1, images_per_prompt),
  };
}
