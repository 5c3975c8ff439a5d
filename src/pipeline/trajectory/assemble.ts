import type { RolloutBatch, Scores } from "../../batches/rollout.js";
import { flatValues } from "../../batches/columns.js";
import type { TrajectoryBatch } from "../../batches/trajectory.js";
import type { Engine, Rewards } from "../../engine/engine.js";
import { checkMismatch, type Mismatch, mismatchToLimit, type ParityLimits, rolloutMismatch } from "./parity.js";

/** A comparison of the recorded log-probs with the trainer's. */
export interface ParityOptions {
  readonly limits: ParityLimits;
  /** Fail beyond a limit. */
  readonly gate: boolean;
  /** Report what was found. */
  readonly report: boolean;
  /** Prompts compared where the policy is not scored anyway, from the `first` on, round and round; undefined: all. */
  readonly part: { readonly first: number; readonly prompts: number } | undefined;
}

export interface AssembleOptions {
  /** The one that `rollout_logprobs` were recorded at. */
  readonly temperature: number;
  readonly old_logprobs: "rollout" | "recompute";
  readonly with_reference: boolean;
  /** undefined: only what is scored anyway is compared. */
  readonly parity: ParityOptions;
  readonly signal?: AbortSignal | undefined;
}

export interface Assembled {
  readonly trajectories: TrajectoryBatch;
  /** Empty where nothing was compared. */
  readonly mismatch: Partial<Mismatch> & { readonly rollout_mismatch_to_limit?: number };
}

/** What is asked of the engine. */
export type Scorer = Pick<Engine, "score" | "advantages">;

/** Policy (if needed) and reference (if needed) log-probs, then advantages: a batch ready to learn from. */
export async function assemble(
  engine: Scorer,
  rollouts: RolloutBatch,
  rewards: Rewards,
  options: AssembleOptions,
): Promise<Assembled> {
  const { temperature, signal } = options;
  const recompute = options.old_logprobs === "recompute";
  const policy = recompute ? await engine.score(rollouts, "policy", { temperature, signal }) : undefined;
  const mismatch = await compare(engine, rollouts, policy, options);
  const reference = options.with_reference
    ? await engine.score(rollouts, "reference", { temperature, signal })
    : undefined;
  const trajectories = await engine.advantages(rollouts, rewards, { policy, reference });
  return { trajectories, mismatch };
}

/** Compares what was scored; where nothing was, scores what `parity` asks for. */
async function compare(
  engine: Scorer,
  rollouts: RolloutBatch,
  policy: Scores | undefined,
  { parity, temperature, signal }: AssembleOptions,
): Promise<Assembled["mismatch"]> {
  const { gate, report, part, limits } = parity;
  if (policy === undefined && !gate && !report) return {};
  const compared = policy !== undefined || part === undefined ? rollouts : somePrompts(rollouts, part);
  const scored = policy ?? (await engine.score(compared, "policy", { temperature, signal }));
  const mismatch = rolloutMismatch(compared, scored);
  if (gate) checkMismatch(mismatch, limits);
  if (policy === undefined && !report) return {};
  const rollout_mismatch_to_limit = mismatchToLimit(mismatch, limits);
  return { ...mismatch, ...(rollout_mismatch_to_limit !== undefined && { rollout_mismatch_to_limit }) };
}

/** All completions of at most `prompts` prompts in a row; rows of a prompt stand together. */
export function somePrompts(rollouts: RolloutBatch, part: { first: number; prompts: number }): RolloutBatch {
  const ids = flatValues<BigInt64Array>(rollouts, "prompt_id");
  const starts = [...ids.keys()].filter((row) => row === 0 || ids[row] !== ids[row - 1]);
  const first = part.first % Math.max(1, starts.length);
  return rollouts.slice(starts[first] ?? 0, starts[first + part.prompts] ?? ids.length) as RolloutBatch;
}
