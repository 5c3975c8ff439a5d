import { z } from "zod";
import {
  advantageSwitches,
  aggregations,
  clipSwitches,
  type DynamicSamplingConfig,
  dynamicSampling,
  groupSwitches,
  lossSwitches,
} from "./algorithm-switches.js";

/**
 * What `algorithm` may hold: a name, and the switches that this algorithm leaves open, by its own defaults. A switch that
 * an algorithm fixes is not a key of it. Equations: native/algorithms/; one page each: docs/algorithms/.
 */

const count = z.int().positive();

/** REINFORCE++, arXiv:2501.03262, as in MAYE. */
const reinforcePlusPlus = z.strictObject({
  name: z.literal("reinforce_plus_plus"),
  ...lossSwitches({ loss_aggregation: "token_mean" }),
  ...clipSwitches(0.2, 0.2),
  ...advantageSwitches("batch"),
  /** block_token_mean: a token mean over every `loss_block_completions` completions, then the mean of those. */
  loss_aggregation: z.enum([...aggregations, "block_token_mean"]).default("token_mean"),
  loss_block_completions: count.nullable().default(null),
  gamma: z.number().positive().max(1).default(1),
  whiten_weight: z.enum(["sequence", "token"]).default("sequence"),
  whiten_shift_mean: z.boolean().default(false),
  whiten_completions: count.nullable().default(null),
});

/** arXiv:2501.03262: baseline of the group, scale of the batch. */
const reinforcePlusPlusBaseline = z.strictObject({
  name: z.literal("reinforce_plus_plus_baseline"),
  ...lossSwitches({ loss_aggregation: "token_mean", kl_loss_estimator: "k2" }),
  ...clipSwitches(0.2, 0.2),
  ...groupSwitches(),
});

/** GRPO, arXiv:2402.03300. */
const grpo = z.strictObject({
  name: z.literal("grpo"),
  ...lossSwitches({ loss_aggregation: "sequence_mean" }),
  ...clipSwitches(0.2, 0.2),
  ...advantageSwitches("group"),
  ...groupSwitches(),
});

/** Dr. GRPO, arXiv:2503.20783. */
const drGrpo = z.strictObject({
  name: z.literal("dr_grpo"),
  ...lossSwitches({ loss_aggregation: "constant" }),
  ...clipSwitches(0.2, 0.2),
  ...groupSwitches(),
});

/** RLOO, arXiv:2402.14740. */
const rloo = z.strictObject({
  name: z.literal("rloo"),
  ...lossSwitches({ loss_aggregation: "constant" }),
  ...clipSwitches(0.2, 0.2),
  ...groupSwitches(),
});

/** DAPO, arXiv:2503.14476. */
const dapo = z.strictObject({
  name: z.literal("dapo"),
  ...lossSwitches({ loss_aggregation: "token_mean" }),
  ...clipSwitches(0.2, 0.28),
  ...groupSwitches(dynamicSampling.parse({})),
});

/** GSPO, arXiv:2507.18071. */
const gspo = z.strictObject({
  name: z.literal("gspo"),
  ...lossSwitches({ loss_aggregation: "sequence_mean" }),
  ...clipSwitches(3e-4, 4e-4),
  ...advantageSwitches("group"),
  ...groupSwitches(),
});

/** CISPO, arXiv:2506.13585. Its ratio is a weight: bounds are wide, and the lower one is off. */
const cispo = z.strictObject({
  name: z.literal("cispo"),
  ...lossSwitches({ loss_aggregation: "token_mean" }),
  clip_ratio_low: z.number().positive().max(1).nullable().default(null),
  clip_ratio_high: z.number().positive().default(4),
  ...advantageSwitches("group"),
  ...groupSwitches(),
});

// prettier-ignore
const algorithms = z.discriminatedUnion("name", [
  reinforcePlusPlus, reinforcePlusPlusBaseline, grpo, drGrpo, rloo, dapo, gspo, cispo,
]);
export type AlgorithmConfig = z.infer<typeof algorithms>;

export const algorithmSchema = algorithms.superRefine((algorithm, context) => {
  for (const [key, message] of neverRead(algorithm)) context.addIssue({ code: "custom", path: [key], message });
});

/** Keys that were given a value which nothing reads, because of another key's value. */
function* neverRead(algorithm: AlgorithmConfig): Generator<[string, string]> {
  const { kl_loss_coefficient, kl_loss_estimator, kl_loss_unbiased } = algorithm;
  const { kl_reward_coefficient, kl_reward_estimator } = algorithm;
  const usual = algorithm.name === "reinforce_plus_plus_baseline" ? "k2" : "k3";
  const unread = "is never read:";
  if (kl_loss_coefficient === 0 && kl_loss_estimator !== usual)
    yield ["kl_loss_estimator", `${unread} kl_loss_coefficient is 0`];
  if (kl_loss_coefficient === 0 && kl_loss_unbiased) yield ["kl_loss_unbiased", `${unread} kl_loss_coefficient is 0`];
  if (kl_reward_coefficient === 0 && kl_reward_estimator !== "k1")
    yield ["kl_reward_estimator", `${unread} kl_reward_coefficient is 0`];
  if (algorithm.name !== "reinforce_plus_plus") return;
  const { advantage_centre, advantage_scale, loss_aggregation } = algorithm;
  const blocks = loss_aggregation === "block_token_mean";
  if (blocks && algorithm.loss_block_completions === null)
    yield ["loss_block_completions", "block_token_mean needs it: the completions in one block"];
  if (!blocks && algorithm.loss_block_completions !== null)
    yield ["loss_block_completions", `${unread} loss_aggregation is ${loss_aggregation}`];
  if (algorithm.whiten_shift_mean && advantage_centre === "none")
    yield ["whiten_shift_mean", `${unread} advantage_centre is none`];
  if (algorithm.whiten_weight !== "sequence" && advantage_centre === "none" && advantage_scale === "none")
    yield ["whiten_weight", `${unread} advantage_centre and advantage_scale are none`];
  if (algorithm.whiten_completions !== null && advantage_centre !== "batch" && advantage_scale !== "batch")
    yield ["whiten_completions", `${unread} neither advantage_centre nor advantage_scale is batch`];
}

/** True if the algorithm reads the reference's log-probs. */
export const needsReference = (algorithm: AlgorithmConfig): boolean =>
  algorithm.kl_loss_coefficient > 0 || algorithm.kl_reward_coefficient > 0;

/** True if completions of one prompt are compared with each other, so that one alone teaches nothing. */
export const comparesGroup = (algorithm: AlgorithmConfig): boolean =>
  "advantage_centre" in algorithm
    ? algorithm.advantage_centre === "group" || algorithm.advantage_scale === "group"
    : true;

export const dynamicSamplingOf = (algorithm: AlgorithmConfig): DynamicSamplingConfig | null =>
  "dynamic_sampling" in algorithm ? algorithm.dynamic_sampling : null;
