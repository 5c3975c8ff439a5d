import { UserError } from "../errors.js";
import type { OptimizerConfig } from "./sections.js";

/** What follows from the four batch keys. */
export interface BatchArithmetic {
  readonly steps: number;
  readonly prompts_per_step: number;
  readonly completions_per_prompt: number;
  readonly completions_per_step: number;
  readonly completions_per_update: number;
  readonly tokens_per_microbatch: number;
  /** Optimizer steps in one step, all `update_epochs` included. */
  readonly optimizer_steps_per_step: number;
  readonly optimizer_steps: number;
  /** Passes over the training set; undefined where its size is unknown. */
  readonly epochs: number | undefined;
}

interface BatchKeys {
  readonly steps?: number | undefined;
  readonly epochs?: number | undefined;
  readonly prompts_per_step: number;
  readonly completions_per_prompt?: number;
  readonly completions_per_update: number | null;
  readonly tokens_per_microbatch: number;
  readonly update_epochs?: number;
}

/** `num_items`: samples of the training set, undefined if it has no known end. */
export function batchArithmetic(config: BatchKeys, num_items: number | undefined): BatchArithmetic {
  const { prompts_per_step, completions_per_prompt = 1, tokens_per_microbatch, update_epochs = 1 } = config;
  if (config.steps === undefined && num_items === undefined)
    throw new UserError(
      "CONFIG_INVALID",
      "epochs: the training set has no known size, so its passes cannot be counted",
      "Give steps instead of epochs.",
    );
  const steps = config.steps ?? Math.max(1, Math.ceil((config.epochs! * num_items!) / prompts_per_step));
  const completions_per_step = prompts_per_step * completions_per_prompt;
  const completions_per_update = config.completions_per_update ?? completions_per_step;
  const optimizer_steps_per_step = (completions_per_step / completions_per_update) * update_epochs;
  return {
    steps,
    prompts_per_step,
    completions_per_prompt,
    completions_per_step,
    completions_per_update,
    tokens_per_microbatch,
    optimizer_steps_per_step,
    optimizer_steps: steps * optimizer_steps_per_step,
    epochs: num_items === undefined ? undefined : (steps * prompts_per_step) / num_items,
  };
}

/** The engine's optimizer options: a ratio becomes optimizer steps. */
export function resolveOptimizer(optimizer: OptimizerConfig, optimizer_steps: number) {
  const { warmup_steps, warmup_ratio, ...rest } = optimizer;
  return {
    ...rest,
    warmup_steps: warmup_steps ?? Math.round((warmup_ratio ?? 0) * optimizer_steps),
    total_steps: optimizer_steps,
  };
}
