import { listValues } from "../../batches/columns.js";
import type { RolloutBatch, Scores } from "../../batches/rollout.js";
import type { TrajectoryBatch } from "../../batches/trajectory.js";
import type { Dtype, Engine, Rewards } from "../../engine/engine.js";
import { UserError } from "../../errors.js";

/** How far the sampler's log-probs may be from the trainer's: largest difference in float32, share and KL in bfloat16. */
export const mismatch_limits = {
  float32: { rollout_mismatch_max: 1e-4 },
  bfloat16: { rollout_mismatch_p99: 0.05, rollout_mismatch_kl: 1e-3 },
} as const satisfies Record<Dtype, Partial<Mismatch>>;

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
  /** 99th percentile of the absolute difference. */
  readonly rollout_mismatch_p99: number;
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
  if (mismatch !== undefined && options.verify_rollout) checkMismatch(mismatch, engine.model.dtype);
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
  const differences: number[] = [];
  let [max, sum, kl] = [0, 0, 0];
  for (let i = offsets[0]!; i < offsets[rollouts.numRows]!; i++) {
    if (((mask[i >> 3]! >> (i & 7)) & 1) === 0) continue;
    const difference = scored[i]! - recorded[i]!;
    // NaN must not look like agreement: Math.max keeps it, and typed arrays sort it last.
    max = Math.max(max, Math.abs(difference));
    sum += Math.abs(difference);
    kl += Math.exp(difference) - difference - 1;
    differences.push(Math.abs(difference));
  }
  const count = Math.max(1, differences.length);
  const sorted = Float64Array.from(differences).sort();
  return {
    rollout_mismatch_max: max,
    rollout_mismatch_mean: sum / count,
    rollout_mismatch_p99: sorted[Math.max(0, Math.ceil(0.99 * sorted.length) - 1)] ?? 0,
    rollout_mismatch_kl: kl / count,
  };
}

function checkMismatch(mismatch: Mismatch, dtype: Dtype): void {
  const limits = Object.entries(mismatch_limits[dtype]) as [keyof Mismatch, number][];
  const over = limits.filter(([name, limit]) => !(mismatch[name] <= limit));
  if (over.length === 0) return;
  const found = over.map(([name, limit]) => `${name} ${mismatch[name].toExponential(2)}, the limit is ${limit}`);
  throw new UserError(
    "ROLLOUT_MISMATCH",
    `log-probs recorded while sampling differ from the trainer's (nats): ${found.join("; ")}`,
    "This is a fault of the engine or its build, not of the data: run `sightloop doctor`, and report it with the " +
      "model's config.json. `old_logprobs: recompute` makes the update exact but does not repair the sampler.",
  );
}
