import type { RewardsConfig } from "../config/rewards.js";
import type { EvaluateConfig, PromptConfig } from "../config/sections.js";
import type { Engine } from "../engine/engine.js";
import { evaluate } from "../evaluate/evaluate.js";
import { isComputed, type RewardConfig } from "../rewards/registry.js";
import type { Processor } from "./data/processor.js";
import type { Ranks } from "../ranks/ranks.js";
import type { IndexedSamples } from "./data/stream.js";
import type { Loop } from "./loop.js";

export interface EvaluatorOptions {
  readonly engine: Engine;
  readonly ranks: Ranks;
  readonly processor: Processor;
  readonly config: {
    readonly evaluate: EvaluateConfig;
    readonly prompt: PromptConfig;
    readonly seed: number;
    /** Absent for sft. */
    readonly rewards?: RewardsConfig;
  };
  readonly splits: Readonly<Record<string, IndexedSamples>>;
  readonly max_completion_tokens: number;
  readonly max_concurrent_completions: number;
  readonly kv_block_size: number;
  readonly known_images: Map<string, string>;
}

/** Evaluations of a run, in the config's settings. */
export function evaluator({ config, splits, ...rest }: EvaluatorOptions): Loop["evaluate"] {
  const { settings, max_items } = config.evaluate;
  const rewards = (config.rewards ?? []).filter(isRecorded);
  return (split, signal) =>
    evaluate({
      ...rest,
      ...config.prompt,
      ...{ settings, max_items, rewards, signal },
      seed: config.seed,
      samples: splits[split]!,
    });
}

/** Only what computes: servers, modules and functions are asked while training alone. */
const isRecorded = (reward: RewardsConfig[number]): reward is RewardConfig =>
  !("module" in reward) &&
  reward.name !== "custom" &&
  isComputed(reward) &&
  (reward.label ?? reward.name) !== "accuracy";
