import { resolve } from "node:path";
import { z } from "zod";
import { moduleName, moduleRewardSchema, onErrorSchema, rewardSchema } from "../rewards/registry.js";

/** A reward that a program hands over (src/index.ts); a file cannot name it. */
const customReward = z.strictObject({
  name: z.literal("custom"),
  /** The function's name: key of the reward's breakdown. */
  function: z.string().min(1),
  weight: z.number().default(1),
  on_error: onErrorSchema.default("fail"),
});

export const rewardsSchema = z
  .array(z.union([z.discriminatedUnion("name", [rewardSchema, customReward]), moduleRewardSchema]))
  .min(1, "at least one reward is needed");
export type RewardsConfig = z.infer<typeof rewardsSchema>;

type Issue = (path: (string | number)[], message: string) => void;

export function checkRewards(rewards: RewardsConfig, max_completion_tokens: number, issue: Issue): void {
  const names = rewards.map((reward) => {
    if ("module" in reward) return moduleName(reward);
    return reward.name === "custom" ? reward.function : (reward.label ?? reward.name);
  });
  names.forEach((name, i) => {
    if (names.indexOf(name) < i)
      issue(["rewards", i, "name"], `reward "${name}" is listed twice; raise its weight, or give it a label`);
  });
  rewards.forEach((reward, i) => {
    if ("module" in reward) return;
    if (reward.name === "length" && reward.min_tokens > reward.max_tokens)
      issue(["rewards", i, "min_tokens"], `is above max_tokens, ${reward.max_tokens}`);
    const limit = reward.name === "overlong" ? (reward.max_tokens ?? max_completion_tokens) : 0;
    if (reward.name === "overlong" && reward.cache_tokens >= limit)
      issue(["rewards", i, "cache_tokens"], `must be below the limit it counts back from, ${limit} tokens`);
  });
}

/**
 * Paths of rewards made absolute, so that a run's own config.yaml can be resumed from.
 * @param folderOf where relative paths start that stand under this key, such as `rewards.1.module`
 */
export const resolveRewardPaths = (rewards: RewardsConfig, folderOf: (key: string) => string): RewardsConfig =>
  rewards.map((reward, i) => {
    if ("module" in reward) return { ...reward, module: resolve(folderOf(`rewards.${i}.module`), reward.module) };
    if (reward.name === "judge_model" && reward.cache_folder !== null)
      return { ...reward, cache_folder: resolve(folderOf(`rewards.${i}.cache_folder`), reward.cache_folder) };
    return reward;
  });

/** What the modules were compiled to, in their order, so that a resume with others is refused. */
export function withHashes(rewards: RewardsConfig, hashes: readonly string[]): RewardsConfig {
  const unused = [...hashes];
  return rewards.map((reward) => ("module" in reward ? { ...reward, sha256: unused.shift() } : reward));
}
