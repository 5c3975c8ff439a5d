import { listValues } from "../../batches/columns.js";
import type { RolloutBatch, Scores } from "../../batches/rollout.js";
import type { Dtype } from "../../engine/engine.js";
import { UserError } from "../../errors.js";

/** How far the sampler's log-probs are from the trainer's, over completion tokens. Formulas: src/reports/metrics.ts. */
export type Mismatch = {
  readonly rollout_mismatch_max: number;
  readonly rollout_mismatch_mean: number;
  readonly rollout_mismatch_p99: number;
  readonly rollout_mismatch_kl: number;
  readonly rollout_mismatch_ess: number;
  readonly rollout_mismatch_sequence_ess: number;
};

/** Upper limits of max, p99 and kl, a lower one of ess; null: not checked. */
export interface ParityLimits {
  readonly max: number | null;
  readonly p99: number | null;
  readonly kl: number | null;
  readonly ess: number | null;
}

/** What "auto" stands for: the largest difference in float32, share and KL in bfloat16, and little weight lost in both. */
export const auto_limits: Readonly<Record<Dtype, ParityLimits>> = {
  float32: { max: 1e-4, p99: null, kl: null, ess: 0.999 },
  bfloat16: { max: null, p99: 0.05, kl: 1e-3, ess: 0.99 },
};

type Setting = number | "auto" | null;

export function resolveLimits(settings: Readonly<Record<keyof ParityLimits, Setting>>, dtype: Dtype): ParityLimits {
  const resolve = (name: keyof ParityLimits): number | null => {
    const setting = settings[name];
    return setting === "auto" ? auto_limits[dtype][name] : setting;
  };
  return { max: resolve("max"), p99: resolve("p99"), kl: resolve("kl"), ess: resolve("ess") };
}

/** `scores` are of the same rows, which may be a slice of a batch. */
export function rolloutMismatch(rollouts: RolloutBatch, scores: Scores): Mismatch {
  const recorded = listValues<Float32Array>(rollouts, "rollout_logprobs").values;
  const { values: scored, offsets: from } = listValues<Float32Array>(scores, "logprobs");
  const { offsets, values: mask } = listValues<Uint8Array>(rollouts, "completion_mask");
  const shift = from[0]! - offsets[0]!;
  const differences: number[] = [];
  const sequences: number[] = [];
  for (let row = 0; row < rollouts.numRows; row++) {
    let sequence = 0;
    for (let i = offsets[row]!; i < offsets[row + 1]!; i++) {
      if (((mask[i >> 3]! >> (i & 7)) & 1) === 0) continue;
      const difference = scored[i + shift]! - recorded[i]!;
      sequence += difference;
      differences.push(difference);
    }
    sequences.push(sequence);
  }
  const absolute = Float64Array.from(differences, Math.abs).sort(); // NaN comes last: it must not look like agreement
  const mean = (values: Float64Array): number =>
    values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
  return {
    rollout_mismatch_max: absolute.at(-1) ?? 0,
    rollout_mismatch_mean: mean(absolute),
    rollout_mismatch_p99: absolute[Math.max(0, Math.ceil(0.99 * absolute.length) - 1)] ?? 0,
    rollout_mismatch_kl: mean(Float64Array.from(differences, (d) => Math.exp(d) - d - 1)),
    rollout_mismatch_ess: effectiveSampleSize(differences),
    rollout_mismatch_sequence_ess: effectiveSampleSize(sequences),
  };
}

/** (sum w)^2 / (n sum w^2) of the weights w = exp(log_weights): 1 where all are equal, 1 / n where one has all the weight. */
export function effectiveSampleSize(log_weights: readonly number[]): number {
  const highest = log_weights.reduce((max, value) => Math.max(max, value), -Infinity);
  let [sum, squares] = [0, 0];
  for (const value of log_weights) {
    const weight = Math.exp(value - highest); // the largest is 1: nothing overflows
    sum += weight;
    squares += weight * weight;
  }
  return log_weights.length === 0 ? 1 : (sum * sum) / (log_weights.length * squares);
}

/** One limit and what was found. `excess` is 1 at the limit, above 1 beyond it. */
interface Check {
  readonly metric: keyof Mismatch;
  readonly limit: number;
  readonly excess: number;
}

function checks(mismatch: Mismatch, limits: ParityLimits): readonly Check[] {
  const above = (["max", "p99", "kl"] as const).flatMap((name) => {
    const metric = `rollout_mismatch_${name}` as const;
    const limit = limits[name];
    return limit === null ? [] : [{ metric, limit, excess: mismatch[metric] / limit }];
  });
  const { ess } = limits;
  if (ess === null) return above;
  const excess = (1 - mismatch.rollout_mismatch_ess) / Math.max(Number.EPSILON, 1 - ess);
  return [...above, { metric: "rollout_mismatch_ess", limit: ess, excess }];
}

/** The largest excess over a limit, NaN included; undefined where nothing is checked. */
export function mismatchToLimit(mismatch: Mismatch, limits: ParityLimits): number | undefined {
  const found = checks(mismatch, limits).map(({ excess }) => excess);
  return found.length === 0 ? undefined : found.reduce((max, excess) => Math.max(max, excess), 0);
}

/** @throws UserError ROLLOUT_MISMATCH naming every limit that is passed */
export function checkMismatch(mismatch: Mismatch, limits: ParityLimits): void {
  const over = checks(mismatch, limits).filter(({ excess }) => !(excess <= 1));
  if (over.length === 0) return;
  const found = over.map(({ metric, limit }) => {
    const value = mismatch[metric];
    const shown = metric === "rollout_mismatch_ess" ? value.toPrecision(4) : `${value.toExponential(2)} nats`;
    return `${metric} ${shown}, the limit is ${limit}`;
  });
  throw new UserError(
    "ROLLOUT_MISMATCH",
    `the log-probs recorded while sampling are not those that the trainer computes for the same tokens: ${found.join("; ")}. ` +
      "Learning from them would follow a biased gradient",
    "This is a fault of the engine or its build, not of the data: run `sightloop doctor`, and report it with the model's " +
      "config.json. `old_logprobs: recompute` makes the update exact but does not repair the sampler; `parity` in the " +
      "config has the limits, and null there switches one off.",
  );
}
