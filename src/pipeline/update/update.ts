import type { TrajectoryBatch } from "../../batches/trajectory.js";
import type { Engine, UpdateStats } from "../../engine/engine.js";
import { UserError } from "../../errors.js";

export interface UpdateOptions {
  /** The one that the trajectories' log-probs belong to. */
  readonly temperature: number;
  /** Optimizer steps that this update takes if no gradient is skipped. */
  readonly optimizer_steps: number;
}

/** All optimizer steps of one step. Not cancellable: an interrupt waits for it, so that no step is half learned. */
export async function update(
  engine: Engine,
  trajectories: TrajectoryBatch,
  { temperature, optimizer_steps }: UpdateOptions,
): Promise<UpdateStats> {
  const stats = await engine.update(trajectories, { temperature });
  const all_skipped = optimizer_steps > 0 && stats.skipped_steps >= optimizer_steps;
  // A batch without a completion to learn from (every group's rewards equal) has no loss, which is not a divergence.
  const learned = stats.completion_tokens > 0;
  if (all_skipped || (learned && !Number.isFinite(stats.loss)))
    throw new UserError(
      "TRAINING_DIVERGED",
      all_skipped
        ? `every gradient of this step was infinite or NaN (${stats.skipped_steps} optimizer steps skipped)`
        : `the loss is ${stats.loss}`,
      "Resume from the last checkpoint with a lower optimizer.learning_rate or max_grad_norm.",
    );
  return stats;
}
