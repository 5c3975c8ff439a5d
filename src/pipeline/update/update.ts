import type { TrajectoryBatch } from "../../batches/trajectory.js";
import type { Engine, UpdateStats } from "../../engine/engine.js";
import { type Divergence, DivergenceError } from "../../errors.js";

export interface UpdateOptions {
  /** The one that the trajectories' log-probs belong to. */
  readonly temperature: number;
  /** As the engine's. */
  readonly own_rows?: Uint8Array | null;
  /** Minibatches that must not be learned from and are left out in a row before an error. */
  readonly max_consecutive_skips: number;
  /** Keeps a batch that must not be learned from; returns where, or null if nothing is kept. */
  readonly keepDiverged: (divergences: readonly Divergence[]) => Promise<string | null>;
}

/** What an update reports as metrics: without the means over tokens where there was no token to learn from. */
export type UpdateMetrics = Partial<Omit<UpdateStats, "divergences">> & Pick<UpdateStats, "skipped_updates">;

/**
 * All optimizer steps of one step. Not cancellable: an interrupt waits for it, so that no step is half learned.
 * @throws DivergenceError after the batch has been kept
 */
export async function update(
  engine: Engine,
  trajectories: TrajectoryBatch,
  { temperature, own_rows, max_consecutive_skips, keepDiverged }: UpdateOptions,
): Promise<UpdateMetrics> {
  try {
    const stats = await engine.update(trajectories, { temperature, own_rows, max_consecutive_skips });
    if (stats.divergences.length > 0) await keepDiverged(stats.divergences);
    return measured(stats);
  } catch (cause) {
    if (!(cause instanceof DivergenceError)) throw cause;
    const kept = await keepDiverged([cause.divergence]).then(
      (path) => (path === null ? undefined : `the batch is in ${path}`),
      (error: Error) => `the batch could not be kept: ${error.message}`,
    );
    throw new DivergenceError(cause.divergence, kept, { cause });
  }
}

/** Means over completion tokens, or over optimizer steps. */
const means: ReadonlySet<string> = new Set<keyof UpdateStats>([
  ...(["kl_reference", "kl_old_policy", "clip_fraction", "entropy", "ratio_max", "grad_norm"] as const),
]);
const losses: ReadonlySet<string> = new Set<keyof UpdateStats>(["loss", "policy_loss"]);

/** A mean over nothing is no number: 0 would look like a collapse. */
function measured({ divergences, ...stats }: UpdateStats): UpdateMetrics {
  if (stats.completion_tokens > 0) return stats;
  const known = ([name]: [string, unknown]): boolean =>
    !means.has(name) && !(losses.has(name) && divergences.length > 0);
  return Object.fromEntries(Object.entries(stats).filter(known)) as UpdateMetrics;
}
