/** What an item's images are replaced by; "none" leaves them. */
export type Control = "none" | "blank" | "shuffled";

/** Accuracy of one setting over one split. Shares are in [0, 1]. */
export interface EvaluationResult {
  readonly setting: string;
  readonly control: Control;
  /** With a control: those of the items that have images. */
  readonly num_items: number;
  readonly completions_per_prompt: number;
  /** Mean over items of the share of correct completions: pass@1, and avg@k with k = completions_per_prompt. */
  readonly accuracy: number;
  /** 95 % interval of the accuracy over items. */
  readonly interval: readonly [low: number, high: number];
  /** Unbiased pass@k for k = 1, 2, 4, ... completions_per_prompt. */
  readonly pass_at: Readonly<Record<number, number>>;
  /** maj@k, for the same k: share of items whose most frequent answer among the first k completions is right. */
  readonly majority_at: Readonly<Record<number, number>>;
  /** Completions in order of length, cut at the quartiles. */
  readonly by_length: readonly LengthBucket[];
  /** Sampled tokens of a completion, stop token included, prefix excluded. */
  readonly mean_completion_length: number;
  /** Share of completions cut off at max_completion_tokens. */
  readonly truncated: number;
  /** Correct completions of each item, in the split's order: for paired comparisons. */
  readonly correct: readonly number[];
}

/** Completions longer than the bucket before holds, up to `max_length` tokens. */
export interface LengthBucket {
  readonly max_length: number;
  readonly num_completions: number;
  readonly accuracy: number;
}

/** How much accuracy the images are worth: on the same items, without and with a control. */
export interface VisualGain {
  readonly setting: string;
  readonly control: Exclude<Control, "none">;
  readonly num_items: number;
  /** Accuracy with the items' own images - accuracy with the control's. */
  readonly gain: number;
  /** 95 % interval: items are drawn in pairs. */
  readonly interval: readonly [low: number, high: number];
}

/** One completion. */
export interface EvaluationSample {
  /** Place in the split, from 0, and the sample's id. */
  readonly item: number;
  readonly item_id: string;
  readonly setting: string;
  readonly control: Control;
  /** In its setting, from 0. */
  readonly sample_index: number;
  readonly completion: string;
  /** The truth, and the final answer that the judge read; null if there is none. */
  readonly answer: string;
  readonly final_answer: string | null;
  readonly correct: boolean;
  /** Before weights: `accuracy`, and in a run the others of its rewards that only compute. */
  readonly reward_breakdown: Readonly<Record<string, number>>;
  /** Sampled tokens, stop token included. */
  readonly completion_length: number;
  readonly finish_reason: "stop" | "length";
  /** Nats, temperature-scaled, full vocabulary; summed over the completion's tokens. */
  readonly logprob_sum: number;
}

export interface Evaluation {
  readonly results: readonly EvaluationResult[];
  readonly visual_gain: readonly VisualGain[];
  /** By control, setting, item and sample. */
  readonly samples: readonly EvaluationSample[];
}
