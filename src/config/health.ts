import { z } from "zod";

/** What is watched while a run trains. What each alarm means and what to do about it: docs/health.md. */

const steps = z.int().positive();

/**
 * Raised when the alarm's metric has been at its limit or beyond in `steps` steps in a row; cleared after as many within.
 * "stop" ends the run after a checkpoint; "ignore" switches the alarm off.
 */
const alarm = (limit: number, in_a_row: number) =>
  z
    .strictObject({
      limit: z.number().nonnegative().default(limit),
      steps: steps.default(in_a_row),
      on_alarm: z.enum(["warn", "stop", "ignore"]).default("warn"),
    })
    .prefault({});

export const healthSchema = z.strictObject({
  /** A minibatch whose loss or a gradient is not finite: end the run, or leave the minibatch out. */
  non_finite: z.enum(["stop", "skip"]).default("stop"),
  /** Minibatches left out in a row before the run ends all the same. */
  max_consecutive_skips: steps.default(3),
  alarms: z
    .strictObject({
      rollout_mismatch: alarm(1, 1),
      skipped_updates: alarm(1, 1),
      equal_rewards: alarm(1, 5),
      equal_reward_groups: alarm(0.9, 10),
      entropy_collapse: alarm(0.01, 5),
      repetition: alarm(0.5, 3),
      truncation: alarm(0.5, 5),
      length_gap: alarm(3, 5),
      length_collapse: alarm(0.25, 3),
      grad_norm_spike: alarm(10, 1),
    })
    .prefault({}),
});
export type HealthConfig = z.infer<typeof healthSchema>;
export type AlarmName = keyof HealthConfig["alarms"];

/** "auto" is the limit of the model's dtype; null switches the check off. */
const limit = z
  .union([z.number().positive(), z.literal("auto")])
  .nullable()
  .default("auto");

/** Log-probs recorded while sampling against those that the trainer computes. The first step is always compared as a whole. */
export const paritySchema = z.strictObject({
  /** Steps between comparisons where the step is not scored anyway (old_logprobs: recompute); 0: the first step only. */
  every_steps: z.int().nonnegative().default(10),
  /** Prompts whose completions are scored for such a comparison. */
  prompts: z.int().positive().default(4),
  /** Largest absolute difference, nats. */
  max: limit,
  /** 99th percentile of the absolute difference, nats. */
  p99: limit,
  /** k3 estimate of KL(rollout || scored), nats per token. */
  kl: limit,
  /** Smallest effective sample size of the tokens' importance weights, share. */
  ess: limit,
});
export type ParityConfig = z.infer<typeof paritySchema>;
