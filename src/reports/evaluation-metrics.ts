import type { EvaluatedEvent } from "../pipeline/events.js";
import type { Metric } from "./metrics.js";

type EvaluationResult = EvaluatedEvent["results"][number];
type Described = Pick<Metric, "unit" | "formula" | "source">;

/**
 * Every quantity of an evaluation, in one setting on one split. n completions of an item, c of them correct by the
 * `accuracy` judge.
 */
export const evaluation_metrics = {
  accuracy: {
    unit: "share",
    formula: "mean over items of c / n: pass@1, and avg@k for k = n",
    source: "arXiv:2504.02587, evaluation scheme",
  },
  interval: {
    unit: "share",
    formula:
      "95 % interval of the accuracy: Wilson's for n = 1, else the percentile bootstrap over items (2000 resamples, seeded)",
  },
  pass_at: {
    unit: "share",
    formula: "pass@k, mean over items of 1 - C(n - c, k) / C(n, k), for k = 1, 2, 4, ... and n",
    source: "arXiv:2107.03374, eq. 1",
  },
  majority_at: {
    unit: "share",
    formula: "maj@k, items whose most frequent answer among their first k completions is right / items; the same k",
    source: "arXiv:2203.11171",
  },
  by_length: {
    unit: "share",
    formula: "accuracy of the completions up to each quartile of length (nearest rank), beyond the one before",
  },
  mean_completion_length: { unit: "tokens", formula: "mean over completions, stop token included" },
  truncated: { unit: "share", formula: "completions cut off at max_completion_tokens / completions" },
  num_items: { unit: "items", formula: "items; with a control, those that have images" },
  completions_per_prompt: { unit: "completions", formula: "n" },
  correct: { unit: "completions", formula: "c of each item, in the split's order" },
  visual_gain: {
    unit: "share",
    formula:
      "accuracy with an item's own images - accuracy with the control's, mean over the items that have images; its interval is the bootstrap over pairs",
  },
} as const satisfies Record<Exclude<keyof EvaluationResult, "setting" | "control"> | "visual_gain", Described>;
