import { setMaxListeners } from "node:events";
import { UserError } from "../errors.js";
import type { Bundle } from "../modules/bundle.js";
import type { Outcome } from "./outcome.js";
import type { RewardConfig } from "./registry.js";
import type { RewardInput } from "./reward.js";
import { type OpenReward, openRewards, type RewardSpec } from "./specs.js";

export type { RewardFunction } from "./main-thread.js";
export type { RewardSpec, WeightedReward } from "./specs.js";

/** How asking one reward ended. */
export interface RewardOutcome {
  readonly status: Outcome["status"];
  /** What went wrong; absent if nothing did. */
  readonly message?: string;
  /** Without waiting for a free worker. */
  readonly seconds: number;
}

/** `reward` is the weighted sum of `breakdown`, which holds the parts before weights, by name; a failed part is 0. */
export interface Grade {
  readonly reward: number;
  readonly breakdown: Readonly<Record<string, number>>;
  readonly outcomes: Readonly<Record<string, RewardOutcome>>;
  /** A reward failed whose `on_error` is mask: nothing is to be learned from this completion. */
  readonly masked: boolean;
}

export interface Grader extends AsyncDisposable {
  /** Names of the parts, in order. */
  readonly names: readonly string[];
  readonly modules: readonly Bundle[];
  /**
   * The rewards of one completion run side by side.
   * @throws UserError REWARD_FAILED if a reward fails whose `on_error` is fail; the signal's reason
   */
  readonly grade: (input: RewardInput, signal?: AbortSignal) => Promise<Grade>;
}

export interface GraderOptions {
  /** Wall-clock time of one reward for one completion; services bound their own. */
  readonly timeout_ms: number;
  /** Worker threads for modules and computed rewards. */
  readonly workers?: number;
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/** @throws UserError CONFIG_INVALID, FILE_NOT_FOUND or REWARD_INVALID if a reward can never work */
export async function openGrader(specs: readonly RewardSpec[], options: GraderOptions): Promise<Grader> {
  const { timeout_ms, workers = 2, env = process.env } = options;
  const opened = await openRewards(specs, { timeout_ms, workers, env });
  const { rewards, modules } = opened;
  return {
    names: rewards.map(({ name }) => name),
    modules,
    grade: (input, signal) => withAbort(signal, (controller) => grade(rewards, input, controller)),
    [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
  };
}

/**
 * Whether answers are right, whatever a run trains with: `breakdown.accuracy` of its grades. A text that cannot be read in
 * time is a wrong answer. `others` are asked too; what fails counts 0.
 */
export const openJudge = (others: readonly RewardConfig[] = []): Promise<Grader> =>
  openGrader(
    [
      { name: "accuracy", weight: 1, on_error: "zero" },
      ...others.map((one) => ({ ...one, on_error: "zero" as const })),
    ],
    { timeout_ms: 10_000 },
  );

/** What fails aborts all that is still being asked. */
async function withAbort<T>(
  signal: AbortSignal | undefined,
  work: (controller: AbortController) => Promise<T>,
): Promise<T> {
  signal?.throwIfAborted();
  const controller = new AbortController();
  // Every completion still being graded listens to the run's signal: Node's warning at 11 would be a false alarm.
  setMaxListeners(0, controller.signal, ...(signal === undefined ? [] : [signal]));
  const cancel = (): void => controller.abort(signal?.reason);
  signal?.addEventListener("abort", cancel, { once: true });
  try {
    return await work(controller);
  } catch (error) {
    controller.abort(error);
    throw error;
  } finally {
    signal?.removeEventListener("abort", cancel);
  }
}

async function grade(rewards: readonly OpenReward[], input: RewardInput, controller: AbortController): Promise<Grade> {
  const { signal } = controller;
  const asked = performance.now();
  const results = await Promise.all(
    rewards.map(async (reward) => {
      const outcome = await reward.run(input, signal);
      if (outcome.status !== "ok" && reward.on_error === "fail") throw failure(reward.name, input, outcome);
      return { reward, outcome, seconds: outcome.seconds ?? (performance.now() - asked) / 1000 };
    }),
  );
  const parts = results.map(({ reward, outcome }) => ({ reward, value: outcome.status === "ok" ? outcome.value : 0 }));
  const replacing = parts.find(({ reward, value }) => reward.replaces && value !== 0);
  return {
    reward: (replacing === undefined ? parts : [replacing]).reduce(
      (sum, { reward, value }) => sum + reward.weight * value,
      0,
    ),
    breakdown: Object.fromEntries(parts.map(({ reward, value }) => [reward.name, value])),
    outcomes: Object.fromEntries(
      results.map(({ reward, outcome, seconds }): [string, RewardOutcome] => {
        const { status } = outcome;
        return [reward.name, status === "ok" ? { status, seconds } : { status, message: outcome.message, seconds }];
      }),
    ),
    masked: results.some(({ reward, outcome }) => outcome.status !== "ok" && reward.on_error === "mask"),
  };
}

const failure = (name: string, input: RewardInput, outcome: Exclude<Outcome, { status: "ok" }>): UserError =>
  new UserError(
    "REWARD_FAILED",
    `reward "${name}" ${outcome.message} for sample "${input.sample.id}"`,
    `${outcome.hint} \`on_error: zero\` or \`mask\` would go on without it.`,
    { cause: outcome.cause },
  );
