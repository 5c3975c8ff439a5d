import { z } from "zod";

/** Switches that algorithms share, each with the defaults of the algorithm that takes it. */

const coefficient = z.number().nonnegative();
const scope = z.enum(["group", "batch", "none"]);
export const aggregations = ["token_mean", "sequence_mean", "constant"] as const;
const estimator = z.enum(["k1", "k2", "k3"]);

const importanceCorrection = z.strictObject({
  /** min(weight, cap), or 0 outside [1 / cap, cap]. */
  mode: z.enum(["truncate", "mask"]).default("truncate"),
  /** Weigh every token by its own trainer / sampler probability, or by the whole completion's. */
  level: z.enum(["token", "sequence"]).default("token"),
  cap: z.number().min(1).default(2),
});

export const dynamicSampling = z.strictObject({
  /** Prompts sampled for one step at most, as a multiple of `prompts_per_step`. */
  max_prompts_factor: z.number().min(1).max(100).default(4),
});
export type DynamicSamplingConfig = z.infer<typeof dynamicSampling>;

interface Defaults {
  readonly loss_aggregation: (typeof aggregations)[number];
  readonly kl_loss_coefficient?: number;
  readonly kl_loss_estimator?: z.infer<typeof estimator>;
}

export const lossSwitches = ({ loss_aggregation, kl_loss_coefficient = 0, kl_loss_estimator = "k3" }: Defaults) => ({
  loss_aggregation: z.enum(aggregations).default(loss_aggregation),
  /** Weight of KL(policy || reference) in the loss. */
  kl_loss_coefficient: coefficient.default(kl_loss_coefficient),
  kl_loss_estimator: estimator.default(kl_loss_estimator),
  /** Weigh the estimate by policy / old policy, which makes its gradient that of the KL divergence. */
  kl_loss_unbiased: z.boolean().default(false),
  /** Weight of KL(old policy || reference), token by token, in the reward. */
  kl_reward_coefficient: coefficient.default(0),
  kl_reward_estimator: estimator.default("k1"),
  /** Log-ratios beyond +-this are clamped before exp, and counted. */
  log_ratio_clamp: z.number().positive().max(60).default(20),
  /** Weight of the policy's entropy in what is maximised. */
  entropy_coefficient: coefficient.default(0),
  /** Of what is left between sampler and trainer; null: none. */
  importance_correction: importanceCorrection.nullable().default(null),
});

export const clipSwitches = (low: number, high: number) => ({
  clip_ratio_low: z.number().positive().max(1).default(low),
  clip_ratio_high: z.number().positive().default(high),
  /** Bound of the ratio where the advantage is negative (arXiv:1912.09729 takes 3); null: none. */
  dual_clip: z.number().gt(1).nullable().default(null),
});

export const groupSwitches = (sampling: DynamicSamplingConfig | null = null) => ({
  /** Leave groups without any advantage out of the update: they cost time and have no policy gradient. */
  skip_zero_advantage_groups: z.boolean().default(false),
  /** Replace prompts whose completions all got the same reward by further ones; null: learn from what was drawn. */
  dynamic_sampling: dynamicSampling.nullable().default(sampling),
});

export const advantageSwitches = (centre: z.infer<typeof scope>, scale = centre) => ({
  /** Whose mean is subtracted. */
  advantage_centre: scope.default(centre),
  /** Whose standard deviation divides. */
  advantage_scale: scope.default(scale),
});
