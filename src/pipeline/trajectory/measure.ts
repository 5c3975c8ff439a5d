import { flatValues, listValues, strings } from "../../batches/columns.js";
import type { TrajectoryBatch } from "../../batches/trajectory.js";
import type { Rewards } from "../../engine/engine.js";
import { repetition } from "./repetition.js";

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
  const token_ids = listValues<Int32Array>(trajectories, "token_ids").values;
  const prompt_ids = flatValues<BigInt64Array>(trajectories, "prompt_id");
  const repetitions: number[] = [];
  const lengths: number[] = [];
  const tokens: number[] = []; // positions of sampled ones
  for (let row = 0; row < rows; row++) {
    const sampled: number[] = [];
    for (let i = offsets[row]!; i < offsets[row + 1]!; i++)
      if ((mask[i >> 3]! >> (i & 7)) & 1) {
        sampled.push(token_ids[i]!);
        tokens.push(i);
      }
    lengths.push(sampled.length);
    repetitions.push(repetition(sampled));
  }
  const num_truncated = strings(trajectories, "finish_reason").filter((reason) => reason === "length").length;
  const metrics: Record<string, number> = {
    reward_mean: mean(rewards.reward),
    reward_std: deviation(rewards.reward),
    ...Object.fromEntries(Object.entries(rewards.breakdown).map(([name, values]) => [`reward.${name}`, mean(values)])),
    ...spread(prompt_ids, rewards),
    advantage_std: deviation(tokens.map((i) => advantages[i]!)),
    prompt_length_mean: (offsets[rows]! - offsets[0]! - sum(lengths)) / rows,
    completion_length_mean: mean(lengths),
    completion_length_max: lengths.reduce((max, length) => Math.max(max, length), 0),
    truncated: num_truncated / rows,
    repetition: mean(repetitions),
  };
  if (kl_reward_clamp !== undefined) {
    const [policy, reference] = ["policy_logprobs", "reference_logprobs"].map(
      (name) => listValues<Float32Array>(trajectories, name).values,
    ) as [Float32Array, Float32Array];
    metrics["clamped_kl_rewards"] = tokens.filter((i) => Math.abs(policy[i]! - reference[i]!) > kl_reward_clamp).length;
  }
  const correct = rewards.breakdown["accuracy"];
  if (correct !== undefined) {
    for (const [name, wanted] of [
      ["completion_length_correct", true] as const,
      ["completion_length_wrong", false] as const,
    ]) {
      const chosen = lengths.filter((_, row) => correct[row]! > 0 === wanted);
      if (chosen.length > 0) metrics[name] = mean(chosen);
    }
    const { completion_length_wrong: wrong, completion_length_correct: right } = metrics;
    if (wrong !== undefined && right !== undefined && right > 0) metrics["completion_length_ratio"] = wrong / right;
  }
  return metrics;
}

/** How far the rewards tell completions apart. */
function spread(prompt_ids: BigInt64Array, { reward, breakdown }: Rewards): Record<string, number> {
  const { accuracy } = breakdown;
  const range = (values: Float32Array): readonly [number, number] => [
    values.reduce(lower, Infinity),
    values.reduce(higher, -Infinity),
  ];
  const [reward_min, reward_max] = range(reward);
  const metrics: Record<string, number> = { reward_min, reward_max, ...mostFrequent(accuracy ?? reward) };
  const groups = new Map<bigint, number[]>();
  prompt_ids.forEach((id, row) => {
    const rows = groups.get(id);
    if (rows === undefined) groups.set(id, [row]);
    else rows.push(row);
  });
  const all = [...groups.values()];
  const share = (of: readonly number[][], holds: (rows: number[]) => boolean): number =>
    of.filter(holds).length / of.length;
  const compared = all.filter((rows) => rows.length > 1);
  if (compared.length > 0)
    metrics["equal_reward_groups"] = share(compared, (rows) => rows.every((row) => reward[row] === reward[rows[0]!]));
  if (accuracy !== undefined) {
    metrics["solve_none"] = share(all, (rows) => rows.every((row) => !(accuracy[row]! > 0)));
    metrics["solve_all"] = share(all, (rows) => rows.every((row) => accuracy[row]! > 0));
  }
  return metrics;
}

const lower = (a: number, b: number): number => Math.min(a, b);
const higher = (a: number, b: number): number => Math.max(a, b);

function mostFrequent(values: Float32Array): { readonly reward_mode: number; readonly reward_mode_share: number } {
  const counts = new Map<number, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  const [reward_mode, count] = [...counts].reduce((best, entry) => (entry[1] > best[1] ? entry : best), [0, 0]);
  return { reward_mode, reward_mode_share: count / Math.max(1, values.length) };
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
