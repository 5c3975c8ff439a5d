import { z } from "zod";

/** Mirrors `AlgorithmOptions` of the engine; the pipeline adds `max_completion_tokens` from `sampling`. */

const clipped = {
  clip_ratio_low: z.number().positive().max(1).default(0.2),
  clip_ratio_high: z.number().positive().default(0.2),
  kl_loss_coefficient: z.number().nonnegative().default(0),
  loss_aggregation: z.enum(["token_mean", "sequence_mean", "constant"]).default("token_mean"),
};

/** REINFORCE++, arXiv:2501.03262, as in MAYE. */
const reinforcePlusPlus = z.strictObject({
  name: z.literal("reinforce_plus_plus"),
  ...clipped,
  gamma: z.number().positive().max(1).default(1),
  kl_reward_coefficient: z.number().nonnegative().default(0),
  whiten_weight: z.enum(["sequence", "token"]).default("sequence"),
  whiten_shift_mean: z.boolean().default(false),
});

/** GRPO, arXiv:2402.03300. */
const grpo = z.strictObject({
  name: z.literal("grpo"),
  ...clipped,
  scale_by_std: z.boolean().default(true),
  skip_zero_advantage_groups: z.boolean().default(false),
});

export const algorithmSchema = z.discriminatedUnion("name", [reinforcePlusPlus, grpo]);
export type AlgorithmConfig = z.infer<typeof algorithmSchema>;

/** True if the algorithm reads the reference's log-probs. */
export const needsReference = (algorithm: AlgorithmConfig): boolean =>
  algorithm.kl_loss_coefficient > 0 ||
  (algorithm.name === "reinforce_plus_plus" && algorithm.kl_reward_coefficient > 0);
