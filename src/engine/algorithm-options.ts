/** The algorithms' options as the engine takes them, resolved: every key is given. Equations: native/algorithms/. */

/** How a summed loss becomes a mean; always over the whole minibatch (and all ranks). */
export type LossAggregation =
  /** sum over completion tokens / number of completion tokens */
  | "token_mean"
  /** mean over completions of each one's token mean */
  | "sequence_mean"
  /** sum over completion tokens / (completions x max_completion_tokens), arXiv:2503.20783 */
  | "constant";

/** What a mean or a deviation is taken over: the completions of one prompt, the whole batch, or not at all. */
export type AdvantageScope = "group" | "batch" | "none";

/** Estimates of KL(policy || reference) from one token, http://joschu.net/blog/kl-approx.html. */
export type KlEstimator = "k1" | "k2" | "k3";

/** Weight trainer / sampler probability of what was sampled, where the two differ. */
export interface ImportanceCorrection {
  /** min(weight, cap), or 0 outside [1 / cap, cap]. */
  readonly mode: "truncate" | "mask";
  /** Of every token, or of the completion as a whole. */
  readonly level: "token" | "sequence";
  readonly cap: number;
}

/** Switches of every reinforcement learning algorithm. */
export interface PolicyGradientOptions {
  /** Bounds of the ratio policy / old policy: [1 - low, 1 + high]; null: no bound. */
  readonly clip_ratio_low: number | null;
  readonly clip_ratio_high: number | null;
  readonly loss_aggregation: LossAggregation;
  /** Completions longer than this cannot occur; the divisor of `constant` aggregation. */
  readonly max_completion_tokens: number;
  /** Weight of KL(policy || reference) in the loss. Both 0: no reference is needed. */
  readonly kl_loss_coefficient: number;
  readonly kl_loss_estimator: KlEstimator;
  /** Weigh the estimate by policy / old policy, which makes its gradient that of the KL divergence. */
  readonly kl_loss_unbiased: boolean;
  /** Weight of KL(old policy || reference), token by token, in the reward. */
  readonly kl_reward_coefficient: number;
  readonly kl_reward_estimator: KlEstimator;
  /** Log-ratios beyond +-this are clamped before exp, and counted. */
  readonly log_ratio_clamp: number;
  /** Weight of the policy's entropy in what is maximised. */
  readonly entropy_coefficient: number;
  readonly importance_correction: ImportanceCorrection | null;
}

interface Clipped extends PolicyGradientOptions {
  /** Bound of the ratio's effect where the advantage is negative, arXiv:1912.09729; null: none. */
  readonly dual_clip: number | null;
}

interface Grouped extends PolicyGradientOptions {
  /** Groups whose advantages are all zero carry no policy gradient; true leaves them out of the update. */
  readonly skip_zero_advantage_groups: boolean;
}

interface Scoped extends PolicyGradientOptions {
  readonly advantage_centre: AdvantageScope;
  readonly advantage_scale: AdvantageScope;
}

/** REINFORCE++, arXiv:2501.03262, as in MAYE: discounted return of (KL reward + final reward), whitened over the batch. */
export interface ReinforcePlusPlusOptions extends Omit<Clipped, "loss_aggregation">, Omit<Scoped, "loss_aggregation"> {
  readonly name: "reinforce_plus_plus";
  /** "block_token_mean": the mean of token means over blocks of `loss_block_completions`. */
  readonly loss_aggregation: LossAggregation | "block_token_mean";
  readonly loss_block_completions: number | null;
  readonly gamma: number;
  /** "sequence": every completion weighs the same in mean and deviation; "token": every token does. */
  readonly whiten_weight: "sequence" | "token";
  /** MAYE's literal whitening adds the mean back, so that advantages are not centred. */
  readonly whiten_shift_mean: boolean;
  /** Whiten consecutive blocks of so many completions apart, as processes that do not talk do; null: the whole batch. */
  readonly whiten_completions: number | null;
}

/** arXiv:2501.03262: the group's mean as baseline, the batch's deviation as scale. */
export interface ReinforcePlusPlusBaselineOptions extends Clipped, Grouped {
  readonly name: "reinforce_plus_plus_baseline";
}

/** GRPO, arXiv:2402.03300: reward relative to the other completions of the same prompt. */
export interface GrpoOptions extends Clipped, Grouped, Scoped {
  readonly name: "grpo";
}

/** Dr. GRPO, arXiv:2503.20783; RLOO, arXiv:2402.14740; DAPO, arXiv:2503.14476: their scopes are fixed. */
export interface FixedScopeOptions extends Clipped, Grouped {
  readonly name: "dr_grpo" | "rloo" | "dapo";
}

/** GSPO, arXiv:2507.18071: the ratio of the whole completion. */
export interface GspoOptions extends Clipped, Grouped, Scoped {
  readonly name: "gspo";
}

/** CISPO, arXiv:2506.13585: the clipped ratio is a weight. */
export interface CispoOptions extends Grouped, Scoped {
  readonly name: "cispo";
}

/** Maximum likelihood on the true tokens of `completion_mask`. */
export interface SupervisedOptions {
  readonly name: "supervised";
  readonly loss_aggregation: LossAggregation;
  readonly max_completion_tokens: number;
}

export type AlgorithmOptions =
  | ReinforcePlusPlusOptions
  | ReinforcePlusPlusBaselineOptions
  | GrpoOptions
  | FixedScopeOptions
  | GspoOptions
  | CispoOptions
  | SupervisedOptions;
