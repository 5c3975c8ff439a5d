/** Every number that a step reports: the one table behind metrics.jsonl, the terminal and the documentation. */
export interface Metric {
  readonly unit: string;
  readonly formula: string;
  /** Where the definition comes from; absent: it is ours, or plain. */
  readonly source?: string | undefined;
  /** Same config, seed, machine, libtorch and threads give the same bits. False for times and memory. */
  readonly reproducible: boolean;
}

const exact = (unit: string, formula: string, source?: string): Metric => ({
  ...{ unit, formula, reproducible: true },
  ...(source !== undefined && { source }),
});
const measured = (unit: string, formula: string): Metric => ({ unit, formula, reproducible: false });

const maye = "arXiv:2504.02587";

/** Completions with one of the 15 words of src/reports/reflection.ts; N+ of the N are correct, R have a word, R+ are both. */
const reflection = <P extends string>(
  prefix: P,
  counting: string,
): Record<`${P}_${keyof typeof reflection_parts}`, Metric> =>
  Object.fromEntries(
    Object.entries(reflection_parts).map(([name, [unit, formula]]) => [
      `${prefix}_${name}`,
      exact(unit, `${formula}; ${counting}`, `${maye}, section 4`),
    ]),
  ) as never;

const reflection_parts = {
  completions: ["completions", "R: completions with a reflection word"],
  correct: ["completions", "R+: correct completions with a reflection word"],
  ratio: ["share", "R / N"],
  ratio_correct: ["share", "R+ / N+; absent where N+ is 0"],
  ratio_wrong: ["share", "(R - R+) / (N - N+); absent where all are correct"],
  accuracy: ["share", "R+ / R; absent where R is 0"],
  accuracy_others: ["share", "(N+ - R+) / (N - R); absent where all have a word"],
  length: ["tokens", "mean length of the R completions; absent where R is 0"],
  length_others: ["tokens", "mean length of the other completions; absent where all have a word"],
} as const;

/** N completions of one step; T their sampled tokens; pi the policy now, old the policy that sampled, ref the reference. */
const table = {
  epoch: exact("epochs", "prompts drawn so far / samples of the training set"),
  prompts_seen: exact("prompts", "prompts drawn so far"),

  epoch_accuracy: exact(
    "share",
    "sum of N+ / sum of N over the steps after the last one that completed an epoch; at the step that completes the next",
    `${maye}, evaluation scheme: training set`,
  ),
  reward_mean: exact("reward", "mean over N of the weighted reward"),
  reward_std: exact("reward", "population standard deviation over N of the weighted reward"),
  masked_completions: exact(
    "completions",
    "completions left out because a reward failed whose on_error is mask; N, T are without them",
  ),
  reward_min: exact("reward", "smallest weighted reward"),
  reward_max: exact("reward", "largest weighted reward"),
  reward_mode: exact("reward", "the most frequent accuracy reward; without one, the most frequent weighted reward"),
  reward_mode_share: exact("share", "completions with the reward reward_mode / N; 1: all the same"),
  equal_reward_groups: exact(
    "share",
    "prompts whose completions all got the same reward / prompts, of those with 2 completions or more",
  ),
  solve_none: exact("share", "prompts none of whose completions has an accuracy reward above 0 / prompts"),
  solve_all: exact("share", "prompts all of whose completions have an accuracy reward above 0 / prompts"),
  reward_mean_sampled: exact("reward", "mean reward of all completions sampled, those of replaced prompts too"),
  prompts_sampled: exact("prompts", "prompts sampled for the step; only with dynamic_sampling, like the next two"),
  prompts_replaced: exact("prompts", "of these, those left out because their completions all got the same reward"),
  sampling_rounds: exact("rounds", "rollouts that the step took"),
  advantage_std: exact("advantage", "population standard deviation of the advantages over T"),
  prompt_length_mean: exact("tokens", "mean over N of prompt tokens, image tokens included"),
  completion_length_mean: exact("tokens", "T / N; the stop token counts", `${maye}, evaluation scheme: training set`),
  completion_length_max: exact("tokens", "longest of the N completions"),
  completion_length_correct: exact("tokens", "mean length of the completions whose accuracy reward is above 0"),
  completion_length_wrong: exact("tokens", "mean length of the other completions"),
  completion_length_ratio: exact("ratio", "completion_length_wrong / completion_length_correct, where there are both"),
  completion_length_change: exact("ratio", "completion_length_mean / its median in steps 1 to 10; from step 11 on"),
  repetition: exact(
    "share",
    "mean over N of 1 - distinct 4-grams / 4-grams of the completion's tokens (seq-rep-4); 0 below 4 tokens",
    "arXiv:1908.04319",
  ),
  sampling_margin_min: exact(
    "probability",
    "smallest distance, over all tokens sampled, from a draw's random number to the nearer end of its token's interval",
  ),
  truncated: exact("share", "completions cut off at max_completion_tokens / N"),
  completions: exact("completions", "N"),
  correct_completions: exact("completions", "N+: completions whose accuracy reward is above 0"),
  ...reflection("reflection", "whole words"),
  ...reflection("reflection_substring", "anywhere in a text, as the paper counts"),

  loss: exact(
    "loss",
    "policy_loss + kl_loss_coefficient * mean KL - entropy_coefficient * mean entropy; for sft the negative log-likelihood",
  ),
  policy_loss: exact("loss", "-mean of the algorithm's gain, see docs/algorithms; the mean is loss_aggregation"),
  kl_reference: exact(
    "nats/token",
    "mean over T of exp(ref - pi) - (ref - pi) - 1 on log-probs (k3)",
    `${maye}, objective`,
  ),
  kl_old_policy: exact("nats/token", "mean over T of exp(pi - old) - (pi - old) - 1 on log-probs (k3)"),
  clip_fraction: exact("share", "clip_fraction_low + clip_fraction_high"),
  clip_fraction_low: exact(
    "share",
    "tokens with A < 0 and a ratio below 1 - clip_ratio_low / T; for cispo whatever A is",
    "arXiv:1707.06347, eq. 7",
  ),
  clip_fraction_high: exact(
    "share",
    "tokens with A > 0 and a ratio above 1 + clip_ratio_high / T; for cispo whatever A is",
    "arXiv:1707.06347, eq. 7",
  ),
  dual_clip_fraction: exact("share", "tokens with A < 0 and a ratio above dual_clip / T", "arXiv:1912.09729"),
  entropy: exact("nats/token", "mean over T of the entropy of the full next-token distribution"),
  ratio_max: exact("ratio", "largest pi / old over T"),
  grad_norm: exact("norm", "L2 norm over all gradients before clipping, mean over the optimizer steps"),
  grad_norm_ratio: exact("ratio", "grad_norm / its median in the 20 steps before; from the sixth step on"),
  learning_rate: exact("1", "learning rate of the last optimizer step"),
  optimizer_step: exact("optimizer steps", "optimizer steps taken since the first"),
  clamped_log_ratios: exact("tokens", "log-ratios of the loss clamped to +-log_ratio_clamp before exp"),
  skipped_updates: exact("updates", "minibatches left out because their loss or a gradient is not finite"),
  clamped_kl_rewards: exact("tokens", "|old - ref| log-ratios of the KL reward clamped to log_ratio_clamp"),
  importance_weight_mean: exact(
    "ratio",
    "mean of trainer / sampler probability, of tokens or completions, before the cap",
  ),
  importance_weight_max: exact("ratio", "largest of these weights"),
  importance_capped: exact("share", "of these weights, those at the cap (truncate) or outside it (mask)"),
  effective_sample_size: exact("share", "(sum of these weights)^2 / (their number * sum of their squares)"),
  skipped_completions: exact("completions", "rows left out because their group's advantages are all 0"),
  completion_tokens: exact("tokens", "completion tokens learned from"),
  computed_tokens: exact("tokens", "tokens computed in the update, prompts once per group and microbatch"),

  rollout_mismatch_max: exact("nats", "max over T of |rollout log-prob - scored log-prob|; only when scored"),
  rollout_mismatch_mean: exact("nats", "mean over T of |rollout log-prob - scored log-prob|; only when scored"),
  rollout_mismatch_p99: exact(
    "nats",
    "99th percentile over T of |rollout log-prob - scored log-prob|; only when scored",
  ),
  rollout_mismatch_kl: exact("nats/token", "k3 estimate of KL(rollout || scored); only when scored"),
  rollout_mismatch_ess: exact(
    "share",
    "effective sample size (sum w)^2 / (T sum w^2) of the tokens' weights w = scored / rollout probability; only when scored",
  ),
  rollout_mismatch_sequence_ess: exact(
    "share",
    "the same over the N completions, w = product over a completion's tokens; only when scored",
  ),
  rollout_mismatch_to_limit: exact(
    "ratio",
    "largest of max, p99 and kl over its limit in `parity`, and of (1 - ess) / (1 - its limit); above 1: the gate fails",
  ),

  data_seconds: measured("s", "drawing samples, decoding and resizing images, building prompts"),
  rollout_seconds: measured("s", "sampling, with the grading that overlaps it and grading_wait_seconds"),
  grading_wait_seconds: measured("s", "from the last sampled completion to the last grade"),
  trajectory_seconds: measured("s", "scoring and advantages"),
  update_seconds: measured("s", "forward, backward and optimizer steps"),
  forward_seconds: measured("s", "of the update: forward passes and losses of its microbatches"),
  backward_seconds: measured("s", "of the update: backward passes of its microbatches"),
  optimizer_seconds: measured("s", "of the update: clipping and optimizer steps"),
  reduce_seconds: measured(
    "s",
    "rank 0's wait for the gradients of the other ranks, transfer included; only with several",
  ),
  ranks_idle_share: measured(
    "share",
    "mean over ranks of the time spent waiting for other ranks, transfers included / step_seconds; only with several",
  ),
  step_seconds: measured("s", "the four above and what lies between them; writing the step to disk comes after"),
  rollout_tokens_per_second: measured("tokens/s", "T / rollout_seconds"),
  rss_bytes: measured("bytes", "resident memory of the process after the step"),
  peak_rss_bytes: measured("bytes", "highest resident memory so far"),
  peak_device_bytes: measured("bytes", "most that tensors held on an NVIDIA device so far; absent on the CPU"),
} satisfies Record<string, Metric>;

export const metrics: ReadonlyMap<string, Metric> = new Map(Object.entries(table));

/**
 * The parts of the reward are metrics by their own name, `reward.<name>`, and so is how asking for them went. Timeouts
 * depend on the machine: a run repeats bit for bit as long as there are none.
 */
export const reward_parts: Readonly<Record<string, Metric>> = {
  reward: exact("reward", "mean over N of this reward before its weight; a failed one counts 0"),
  reward_ok: exact("share", "completions that this reward gave a number for / all completions, masked ones too"),
  reward_timeout: exact("share", "completions that this reward took too long for / all completions, masked ones too"),
  reward_error: exact("share", "completions that this reward failed for otherwise / all completions, masked ones too"),
};

/** @throws Error for a name that is not in the table: a bug. */
export function metric(name: string): Metric {
  const found = metrics.get(name) ?? (name.includes(".") ? reward_parts[name.slice(0, name.indexOf("."))] : undefined);
  if (found === undefined) throw new Error(`metric "${name}" is missing from src/reports/metrics.ts`);
  return found;
}
