import type { TrajectoryBatch } from "../../batches/trajectory.js";
import type { Engine, UpdateStats } from "../../engine/engine.js";
import { type Divergence, DivergenceError } from "../../errors.js";

export interface UpdateOptions {
  /** The one that the trajectories' log-probs belong to. */
  readonly temperature: number;
  /** Keeps a batch that must not be learned from; returns where, or null if nothing is kept. */
  readonly keepDiverged: (divergence: Divergence) => Promise<string | null>;
}

/**
 * All optimizer steps of one step. Not cancellable: an interrupt waits for it, so that no step is half learned.
 * @throws DivergenceError after the batch has been kept
 */
export async function update(
  engine: Engine,
  trajectories: TrajectoryBatch,
  { temperature, keepDiverged }: UpdateOptions,
): Promise<UpdateStats> {
  try {
    return await engine.update(trajectories, { temperature });
  } catch (cause) {
    if (!(cause instanceof DivergenceError)) throw cause;
    const kept = await keepDiverged(cause.divergence).then(
      (path) => (path === null ? undefined : `the batch is in ${path}`),
      (error: Error) => `the batch could not be kept: ${error.message}`,
    );
    throw new DivergenceError(cause.divergence, kept, { cause });
  }
}
