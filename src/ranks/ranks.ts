import type { RanksHandle } from "../engine/addon.js";

/** What a piece of work came to on one rank. */
export type Outcome<T> = { readonly value: T } | { readonly error: unknown };

/**
 * The processes that train one model together. All of them run the same program over the same data; each does its share
 * of the work, and `agree` makes what they found known to all, so that every decision is the same everywhere.
 */
export interface Ranks {
  readonly rank: number;
  readonly world_size: number;
  /** Ranks of this machine. */
  readonly local_world_size: number;
  /** For `openEngine`; null where there is one rank. */
  readonly handle: RanksHandle | null;
  /**
   * Every rank's value, by rank: anything that can be cloned. If it is an error on some rank, an interrupt too, rejects on all
   * of them. Every rank calls it equally often, in the same order.
   */
  agree<T>(outcome: Outcome<T>): Promise<readonly T[]>;
  /** A signal that aborts with `signal`, and once another rank was told to stop. */
  watch(signal: AbortSignal): AbortSignal;
  /** Time spent so far waiting for the others in `agree`. */
  waitedSeconds(): number;
  /** What this rank is doing, for the others to name if they lose it. */
  at(phase: string, step: number): void;
}

/** One process. */
export const alone: Ranks = {
  rank: 0,
  world_size: 1,
  local_world_size: 1,
  handle: null,
  agree: async <T>(outcome: Outcome<T>) => {
    if ("error" in outcome) throw outcome.error;
    return [outcome.value];
  },
  watch: (signal) => signal,
  waitedSeconds: () => 0,
  at: () => {},
};

/** Does the work on every rank; what each came to, by rank. */
export async function together<T>(ranks: Pick<Ranks, "agree">, work: () => T | Promise<T>): Promise<readonly T[]> {
  return ranks.agree(await outcomeOf(work));
}

/** Does the work on rank 0 alone; what it came to, on every rank. */
export async function onFirst<T>(ranks: Ranks, work: () => Promise<T>): Promise<T> {
  const all = await together(ranks, async () => (ranks.rank === 0 ? await work() : (null as T)));
  return all[0]!;
}

/** The same of work that reports progress. */
export async function* togetherAfter<E, T>(ranks: Ranks, work: AsyncGenerator<E, T>): AsyncGenerator<E, readonly T[]> {
  let outcome: Outcome<T>;
  try {
    outcome = { value: yield* work };
  } catch (error) {
    outcome = { error };
  }
  return ranks.agree(outcome);
}

async function outcomeOf<T>(work: () => T | Promise<T>): Promise<Outcome<T>> {
  try {
    return { value: await work() };
  } catch (error) {
    return { error };
  }
}
