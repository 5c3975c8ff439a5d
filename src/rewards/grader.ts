import { setMaxListeners } from "node:events";
import { UserError } from "../errors.js";
import { type RewardConfig, rewardFunction } from "./registry.js";
import type { RewardInput } from "./reward.js";

/** A reward of the caller's own. The signal aborts when the time is up or the run is cancelled. */
export type RewardFunction = (
  input: RewardInput,
  options: { readonly signal: AbortSignal },
) => number | Promise<number>;

export interface WeightedReward {
  /** Key of the breakdown. */
  readonly name: string;
  readonly weight?: number;
  readonly score: RewardFunction;
}

/** A reward by name, as in a config; a function (its name names it, its weight is 1); or a function with both. */
export type RewardSpec = RewardConfig | RewardFunction | WeightedReward;

/** `reward` is the weighted sum of `breakdown`, which holds the parts before weights, by name. */
export interface Grade {
  readonly reward: number;
  readonly breakdown: Readonly<Record<string, number>>;
}

export interface Grader {
  /** Names of the parts, in order. */
  readonly names: readonly string[];
  /** @throws UserError REWARD_FAILED if a reward throws, takes too long or is not a finite number; the signal's reason. */
  readonly grade: (input: RewardInput, signal?: AbortSignal) => Promise<Grade>;
}

/**
 * Rewards run on the main thread, those of one completion side by side. The timeout ends waiting for a promise; nothing
 * can interrupt a function that computes without ever returning.
 */
export function createGrader(specs: readonly RewardSpec[], options: { readonly timeout_ms: number }): Grader {
  const rewards = specs.map(resolve);
  const names = rewards.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) < i);
  if (twice !== undefined)
    throw new UserError("CONFIG_INVALID", `two rewards are named "${twice}"`, "Give each reward its own name.");
  return {
    names,
    grade: async (input, signal) => {
      signal?.throwIfAborted();
      const controller = new AbortController();
      // Every completion still being graded listens to the run's signal: Node's warning at 11 would be a false alarm.
      if (signal !== undefined) setMaxListeners(0, signal);
      const cancel = (): void => controller.abort(signal?.reason);
      signal?.addEventListener("abort", cancel, { once: true });
      const stopped = new Promise<never>((_, reject) => {
        controller.signal.addEventListener("abort", () => reject(controller.signal.reason as Error), { once: true });
      });
      try {
        const scores = rewards.map((reward) => score(reward, input, options.timeout_ms, controller));
        const parts = await Promise.race([Promise.all(scores), stopped]);
        return {
          reward: parts.reduce((sum, part, i) => sum + rewards[i]!.weight * part, 0),
          breakdown: Object.fromEntries(parts.map((part, i) => [names[i]!, part])),
        };
      } catch (error) {
        controller.abort(error); // the other rewards need not go on
        throw error;
      } finally {
        signal?.removeEventListener("abort", cancel);
      }
    },
  };
}

function resolve(spec: RewardSpec, index: number): Required<WeightedReward> {
  if (typeof spec === "function") return { name: spec.name || `reward_${index + 1}`, weight: 1, score: spec };
  if ("score" in spec) return { name: spec.name, weight: spec.weight ?? 1, score: spec.score };
  return { name: spec.name, weight: spec.weight, score: rewardFunction(spec) };
}

async function score(
  reward: WeightedReward,
  input: RewardInput,
  timeout_ms: number,
  controller: AbortController,
): Promise<number> {
  const failed = (what: string, hint: string, cause?: unknown): UserError =>
    new UserError("REWARD_FAILED", `reward "${reward.name}" ${what} for sample "${input.sample.id}"`, hint, { cause });
  const { signal } = controller;
  const timer = setTimeout(() => {
    const hint = "Make it faster, let it give up by itself, or raise reward_timeout_ms.";
    controller.abort(failed(`took longer than ${timeout_ms} ms`, hint));
  }, timeout_ms);
  const stop = (): void => clearTimeout(timer);
  signal.addEventListener("abort", stop, { once: true });
  let value: unknown;
  try {
    value = await reward.score(input, { signal });
  } catch (cause) {
    const hint = "Malformed completions are normal: a reward should return 0 for them instead of throwing.";
    throw failed(`threw ${String(cause)}`, hint, cause);
  } finally {
    stop();
    signal.removeEventListener("abort", stop);
  }
  if (typeof value === "number" && Number.isFinite(value)) return value;
  throw failed(`returned ${String(value)}`, "A reward must return a finite number; return 0 where there is no answer.");
}
