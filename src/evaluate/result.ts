/** Accuracy of one setting over one split. Shares are in [0, 1]. */
export interface EvaluationResult {
  readonly setting: string;
  readonly num_items: number;
  readonly completions_per_prompt: number;
  /** Mean over items of the share of correct completions: pass@1. */
  readonly accuracy: number;
  /** 95 % interval of the accuracy over items. */
  readonly interval: readonly [low: number, high: number];
  /** Unbiased pass@k for k = 1, 2, 4, ... completions_per_prompt. */
  readonly pass_at: Readonly<Record<number, number>>;
  /** Sampled tokens of a completion, stop token included, prefix excluded. */
  readonly mean_completion_length: number;
  /** Share of completions cut off at max_completion_tokens. */
  readonly truncated: number;
  /** Correct completions of each item, in the split's order: for paired comparisons. */
  readonly correct: readonly number[];
}
