import type { CheckpointConfig, EvaluateConfig, EvaluationSetting } from "./sections.js";

interface Config {
  readonly checkpoint: CheckpointConfig;
  readonly evaluate: EvaluateConfig;
  readonly datasets: Readonly<Record<"validation" | "test", object | null>>;
}

/** The setting that checkpoints are compared by; undefined if evaluate.settings has none of that name. */
export const bestSetting = ({ checkpoint, evaluate }: Omit<Config, "datasets">): EvaluationSetting | undefined => {
  const { setting } = checkpoint.best_by;
  return setting === null ? evaluate.settings[0] : evaluate.settings.find(({ name }) => name === setting);
};

/** keep_best compares evaluations made at the step of a checkpoint: each must have one. */
export function checkBest(config: Config, issue: (path: (string | number)[], message: string) => void): void {
  const { keep_best, every_steps, best_by } = config.checkpoint;
  if (keep_best === 0) return;
  const { split, metric } = best_by;
  if (!config.evaluate.splits.includes(split) || config.datasets[split] === null)
    issue(["checkpoint", "best_by", "split"], `is not evaluated: set datasets.${split} and name it in evaluate.splits`);
  const setting = bestSetting(config);
  if (setting === undefined)
    issue(
      ["checkpoint", "best_by", "setting"],
      `is none of evaluate.settings: ${config.evaluate.settings.map(({ name }) => name).join(", ")}`,
    );
  else if (metric.startsWith("pass@") && !passCounts(setting.completions_per_prompt).includes(Number(metric.slice(5))))
    issue(
      ["checkpoint", "best_by", "metric"],
      `is not computed with ${setting.completions_per_prompt} completions per prompt: ${metric}`,
    );
  if (config.evaluate.every_epochs !== undefined) return; // every evaluation has a checkpoint then
  const every = config.evaluate.every_steps;
  if (every === 0 || every_steps === 0 || every_steps % every !== 0)
    issue(
      ["checkpoint", "keep_best"],
      `needs an evaluation at every checkpoint: checkpoint.every_steps (${every_steps}) must be a multiple of evaluate.every_steps (${every})`,
    );
}

/** The k of pass@k that an evaluation computes: powers of two, and all. */
function passCounts(completions_per_prompt: number): readonly number[] {
  const counts = [completions_per_prompt];
  for (let k = 1; k <= completions_per_prompt; k *= 2) counts.push(k);
  return counts;
}
