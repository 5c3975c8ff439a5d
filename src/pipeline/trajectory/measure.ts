import { flatValues, listValues, strings } from "../../batches/columns.js";
import type { TrajectoryBatch } from "../../batches/trajectory.js";
import type { Rewards } from "../../engine/engine.js";

/**
 * What one batch of trajectories looks like, before it is learned from. Formulas: src/reports/metrics.ts.
 * `kl_reward_clamp`: bound of the log-ratios in the KL reward, where there is one.
 */
export function measureTrajectories(
  trajectories: TrajectoryBatch,
  rewards: Rewards,
  kl_reward_clamp?: number,
): Record<string, number> {
  const rows = trajectories.numRows;
  const { offsets, values: mask } = listValues<Uint8Array>(trajectories, "completion_mask");
  const advantages = listValues<Float32Array>(trajectories, "advantages").values;
  const lengths: number[] = [];
  const tokens: number[] = []; // positions of sampled ones
  for (let row = 0; row < rows; row++) {
    let length = 0;
    for (let i = offsets[row]!; i < offsets[row + 1]!; i++)
      if ((mask[i >> 3]! >> (i & 7)) & 1) {
        length += 1;
        tokens.push(i);
      }
    lengths.push(length);
  }
  const num_truncated = strings(trajectories, "finish_reason").filter((reason) => reason === "length").length;
  const metrics: Record<string, number> = {
    reward_mean: mean(rewards.reward),
    reward_std: deviation(rewards.reward),
    ...Object.fromEntries(Object.entries(rewards.breakdown).map(([name, values]) => [`reward.${name}`, mean(values)])),
    equal_reward_groups: equalRewardGroups(flatValues<BigInt64Array>(trajectories, "prompt_id"), rewards.reward),
    advantage_std: deviation(tokens.map((i) => advantages[i]!)),
    prompt_length_mean: (offsets[rows]! - offsets[0]! - sum(lengths)) / rows,
    completion_length_mean: mean(lengths),
    completion_length_max: lengths.reduce((max, length) => Math.max(max, length), 0),
    truncated: num_truncated / rows,
  };
  if (kl_reward_clamp !== undefined) {
    const [policy, reference] = ["policy_logprobs", "reference_logprobs"].map(
      (name) => listValues<Float32Array>(trajectories, name).values,
    ) as [Float32Array, Float32Array];
    metrics["clamped_kl_rewards"] = tokens.filter((i) => Math.abs(policy[i]! - reference[i]!) > kl_reward_clamp).length;
  }
  const correct = rewards.breakdown["accuracy"];
  if (correct !== undefined)
    for (const [name, wanted] of [
      ["completion_length_correct", true] as const,
      ["completion_length_wrong", false] as const,
    ]) {
      const chosen = lengths.filter((_, row) => correct[row]! > 0 === wanted);
      if (chosen.length > 0) metrics[name] = mean(chosen);
    }
  return metrics;
}

/** Share of prompts whose completions all got the same reward: they teach nothing under GRPO. */
function equalRewardGroups(prompt_ids: BigInt64Array, reward: Float32Array): number {
  const ranges = new Map<bigint, [number, number]>();
  prompt_ids.forEach((id, row) => {
    const [low, high] = ranges.get(id) ?? [Infinity, -Infinity];
    ranges.set(id, [Math.min(low, reward[row]!), Math.max(high, reward[row]!)]);
  });
  return [...ranges.values()].filter(([low, high]) => low === high).length / Math.max(1, ranges.size);
}

const sum = (values: ArrayLike<number>): number => {
  let total = 0;
  for (let i = 0; i < values.length; i++) total += values[i]!;
  return total;
};

const mean = (values: ArrayLike<number>): number => sum(values) / Math.max(1, values.length);

/** Population standard deviation. */
function deviation(values: ArrayLike<number>): number {
  const centre = mean(values);
  let squares = 0;
  for (let i = 0; i < values.length; i++) squares += (values[i]! - centre) ** 2;
  return Math.sqrt(squares / Math.max(1, values.length));
}
