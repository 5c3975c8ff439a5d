import type { RewardInput } from "../reward.js";

export type { RewardInput } from "../reward.js";

/** A reward of the user's own: what a module of `rewards: [{ module: ./my-reward.ts }]` exports as its default. */
export interface RewardModule<Params = Readonly<Record<string, unknown>>> {
  /** Checks the config's `params` once, before training: a zod schema, or anything with `parse`. Absent: any are taken. */
  readonly params?: { parse(given: unknown): Params };
  /**
   * Before the weight. Runs in a worker that is ended when the time is up, and may run in several at once: the number may
   * depend on nothing but its arguments.
   */
  readonly score: (input: RewardInput, params: Params) => number | Promise<number>;
}

/** Types a module's default export. A function alone, `(input, params) => number`, will do as well. */
export const defineReward = <Params = Readonly<Record<string, unknown>>>(
  module: RewardModule<Params>,
): RewardModule<Params> => module;
