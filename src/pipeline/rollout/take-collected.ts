import { type Pick, takeRows } from "../../batches/take-rows.js";
import type { Rewards } from "../../engine/engine.js";
import type { Collected } from "./collect.js";

/** Chosen rows of several rollouts with their rewards, in the order given; the grades and the smallest margin of all their completions. */
export function takeCollected(
  collected: readonly Collected[],
  picks: readonly Pick[],
): Omit<Collected, "grading_wait_seconds"> {
  const take = (of: (rewards: Rewards) => Float32Array): Float32Array =>
    Float32Array.from(picks, ({ batch, row }) => of(collected[batch]!.rewards)[row]!);
  const names = Object.keys(collected[0]!.rewards.breakdown);
  return {
    rollouts: takeRows(
      collected.map(({ rollouts }) => rollouts),
      picks,
    ),
    rewards: {
      reward: take(({ reward }) => reward),
      breakdown: Object.fromEntries(names.map((name) => [name, take(({ breakdown }) => breakdown[name]!)])),
    },
    completions: picks.map(({ batch, row }) => collected[batch]!.completions[row]!),
    grades: collected.flatMap(({ grades }) => grades),
    sampling_margin_min: Math.min(...collected.map((one) => one.sampling_margin_min)),
  };
}
