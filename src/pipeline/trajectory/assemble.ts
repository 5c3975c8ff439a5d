import { listValues } from "../../batches/columns.js";
import type { RolloutBatch, Scores } from "../../batches/rollout.js";
import type { TrajectoryBatch } from "../../batches/trajectory.js";
import type { Engine, Rewards } from "../../engine/engine.js";
import { UserError } from "../../errors.js";

/** Largest |rollout log-prob - scored log-prob| that float32 may show, nats. */
export const mismatch_limit = 1e-4;

export interface AssembleOptions {
  /** The one that `rollout_logprobs` were recorded at. */
  readonly temperature: number;
  readonly old_logprobs: "rollout" | "recompute";
  readonly with_reference: boolean;
  /** Score the policy even if the recorded log-probs are used, and fail if the two disagree. */
  readonly verify_rollout: boolean;
  readonly signal?: AbortSignal | undefined;
}

export interface Assembled {
  readonly trajectories: TrajectoryBatch;
  /** Only when the policy was scored. */
  readonly mismatch: Mismatch | undefined;
}

/** How far the sampler's log-probs are from the trainer's, over completion tokens, nats. */
export type Mismatch = {
  readonly rollout_mismatch_max: number;
  readonly rollout_mismatch_mean: number;
  /** k3 estimate of KL(rollout || scored). */
  readonly rollout_mismatch_kl: number;
};

/** Policy (if needed) and reference (if needed) log-probs, then advantages: a batch ready to learn from. */
export async function assemble(
  engine: Engine,
  rollouts: RolloutBatch,
  rewards: Rewards,
  options: AssembleOptions,
): Promise<Assembled> {
  const { temperature, signal } = options;
  const recompute = options.old_logprobs === "recompute";
  const policy =
    recompute || options.verify_rollout ? await engine.score(rollouts, "policy", { temperature, signal }) : undefined;
  const mismatch = policy && rolloutMismatch(rollouts, policy);
  if (mismatch !== undefined && options.verify_rollout) checkMismatch(mismatch);
  const reference = options.with_reference
    ? await engine.score(rollouts, "reference", { temperature, signal })
    : undefined;
  const trajectories = await engine.advantages(rollouts, rewards, {
    policy: recompute ? policy : undefined,
    reference,
  });
  return { trajectories, mismatch };
}

export function rolloutMismatch(rollouts: RolloutBatch, scores: Scores): Mismatch {
  const recorded = listValues<Float32Array>(rollouts, "rollout_logprobs").values;
  const scored = listValues<Float32Array>(scores, "logprobs").values;
  const { offsets, values: mask } = listValues<Uint8Array>(rollouts, "completion_mask");
  let [max, sum, kl, num_tokens] = [0, 0, 0, 0];
  for (let i = offsets[0]!; i < offsets[rollouts.numRows]!; i++) {
    if (((mask[i >> 3]! >> (i & 7)) & 1) === 0) continue;
    const difference = scored[i]! - recorded[i]!;
    // NaN must not look like agreement: Math.max keeps it.
    max = Math.max(max, Math.abs(difference));
    sum += Math.abs(difference);
    kl += Math.exp(difference) - difference - 1;
    num_tokens += 1;
  }
  const count = Math.max(1, num_tokens);
  return { rollout_mismatch_max: max, rollout_mismatch_mean: sum / count, rollout_mismatch_kl: kl / count };
}

function checkMismatch({ rollout_mismatch_max: max, rollout_mismatch_mean: mean }: Mismatch): void {
  if (max <= mismatch_limit) return;
  throw new UserError(
    "ROLLOUT_MISMATCH",
    `log-probs recorded while sampling differ from the trainer's by up to ${max.toExponential(2)} nats ` +
      `(mean ${mean.toExponential(2)}); the limit is ${mismatch_limit}`,
    "This is a fault of the engine or its build, not of the data: run `sightloop doctor`, and report it with the " +
      "model's config.json. `old_logprobs: recompute` makes the update exact but does not repair the sampler.",
  );
}
