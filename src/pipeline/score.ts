import { bestSetting } from "../config/best-checkpoint.js";
import type { CheckpointConfig, EvaluateConfig } from "../config/sections.js";
import type { Loop } from "./loop.js";

/** The number that checkpoint.best_by names, out of an evaluation. */
export function scoreBy(config: {
  readonly checkpoint: CheckpointConfig;
  readonly evaluate: EvaluateConfig;
}): Loop["score"] {
  const { best_by, keep_best } = config.checkpoint;
  const setting = bestSetting(config)?.name;
  return (split, results) => {
    if (keep_best === 0 || split !== best_by.split) return null;
    const result = results.find((candidate) => candidate.setting === setting);
    if (result === undefined) return null;
    const { metric } = best_by;
    return (metric === "accuracy" ? result.accuracy : result.pass_at[Number(metric.slice("pass@".length))]) ?? null;
  };
}
