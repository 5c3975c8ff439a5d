import type { AlarmName } from "../config/health.js";

/** One kind of trouble: the metric that shows it, what it usually means, and what to do. The table of docs/health.md. */
export interface AlarmKind {
  /** A name of src/reports/metrics.ts. An alarm rests in steps that lack it. */
  readonly metric: string;
  /** On which side of its limit the metric is when something is wrong; the limit itself is on it. */
  readonly wrong: "at or above" | "at or below";
  /** An alarm that says the same more plainly: where that one's metric is at its limit, this one rests. */
  readonly covered_by?: AlarmName;
  readonly meaning: string;
  readonly remedy: string;
}

export const alarms: Readonly<Record<AlarmName, AlarmKind>> = {
  rollout_mismatch: {
    metric: "rollout_mismatch_to_limit",
    wrong: "at or above",
    meaning:
      "the policy that is sampled from is no longer the one that learns, so ratios and gradients are biased: a fault of the " +
      "engine or its build, or weights so large that rounding shows.",
    remedy:
      "Compare rollout_mismatch_max, _p99, _kl and _ess in metrics.jsonl with `parity`; run `sightloop doctor`. " +
      "`old_logprobs: recompute` makes the ratios exact; a lower optimizer.learning_rate keeps weights small.",
  },
  skipped_updates: {
    metric: "skipped_updates",
    wrong: "at or above",
    meaning: "a minibatch had a loss or a gradient that is NaN or infinite, and nothing was learned from it.",
    remedy:
      "Look at the batch in diverged/ for extreme rewards or log-probs; lower optimizer.learning_rate or max_grad_norm " +
      "if it comes again.",
  },
  equal_rewards: {
    metric: "reward_mode_share",
    wrong: "at or above",
    meaning:
      "nothing can be learned from rewards that are all the same. All 0: the task is too hard for this model, the answers of the " +
      "dataset are wrong, or the reward does not find the answer in the text. All 1: the task is solved, or the reward " +
      "can be had without solving it.",
    remedy:
      "Read some completions in rollouts/ beside their answers. Then correct the reward or the prompt, start from a warm " +
      "start (`sightloop sft`), or choose easier (or harder) data.",
  },
  equal_reward_groups: {
    metric: "equal_reward_groups",
    wrong: "at or above",
    covered_by: "equal_rewards",
    meaning:
      "most prompts are either always or never solved; their completions have no advantage over each other, so that most of " +
      "the step's work teaches nothing.",
    remedy:
      "Compare solve_none with solve_all: drop prompts that are too hard or too easy, or raise completions_per_prompt or " +
      "sampling.temperature.",
  },
  entropy_collapse: {
    metric: "entropy",
    wrong: "at or below",
    meaning:
      "the policy has become almost deterministic: the completions of a prompt hardly differ, exploration has ended, and " +
      "rewards will not rise further.",
    remedy:
      "Go back to a checkpoint before the fall. Raise algorithm.clip_ratio_high (clip-higher) or kl_loss_coefficient, lower " +
      "optimizer.learning_rate, or use harder data. If the task is solved, stop here.",
  },
  repetition: {
    metric: "repetition",
    wrong: "at or above",
    meaning:
      "completions go round in circles: the policy is degenerating, or has found a reward that looping text gets.",
    remedy:
      "Read some completions in rollouts/. Go back to an earlier checkpoint; lower optimizer.learning_rate, raise " +
      "kl_loss_coefficient, or reward completions that end.",
  },
  truncation: {
    metric: "truncated",
    wrong: "at or above",
    meaning:
      "most completions are cut off before their answer and are graded on what they never said: length is learned, not the task.",
    remedy:
      "Raise sampling.max_completion_tokens if the completions are sound; else see whether the model knows its stop token (a " +
      "base model may not), and reward completions that end.",
  },
  length_gap: {
    metric: "completion_length_ratio",
    wrong: "at or above",
    meaning:
      "wrong completions are much longer than right ones: often the mean over each completion's own tokens, which makes a long " +
      "wrong answer cheap; sometimes just loops in the wrong ones.",
    remedy:
      "Use algorithm.loss_aggregation: token_mean or constant (not sequence_mean); look at repetition and truncated.",
  },
  length_collapse: {
    metric: "completion_length_change",
    wrong: "at or below",
    meaning:
      "completions have become very short: the reward may be had without working anything out, or something penalizes length.",
    remedy:
      "Read some completions in rollouts/. If accuracy fell with the length, weaken what penalizes length, or go back to an " +
      "earlier checkpoint with a lower optimizer.learning_rate.",
  },
  grad_norm_spike: {
    metric: "grad_norm_ratio",
    wrong: "at or above",
    meaning:
      "this step's gradient is far larger than usual: an outlier among the rewards or log-probs, or the start of a divergence.",
    remedy:
      "One spike is clipped by optimizer.max_grad_norm (is it set?). If more follow, lower optimizer.learning_rate, and look " +
      "at kl_old_policy, ratio_max and the step's rollouts.",
  },
};
