import { flatValues } from "../batches/columns.js";
import { decodeBatch, encodeBatch } from "../batches/ipc.js";
import type { PromptBatch } from "../batches/prompt.js";
import type { RolloutBatch, Scores } from "../batches/rollout.js";
import { type Pick as Row, takeRows } from "../batches/take-rows.js";
import type { Engine } from "../engine/engine.js";
import { type Ranks, together, togetherAfter } from "../ranks/ranks.js";
import type { Progress } from "./loop.js";
import type { Collected } from "./rollout/collect.js";
import { takeCollected } from "./rollout/take-collected.js";

/**
 * Each rank prepares, samples and scores its share of a step's prompts, all completions of a prompt on one rank. Between
 * those, the results of all ranks are put together on every rank, rows in the order that one process would have: tokens and
 * log-probs are small beside weights, and whatever is decided from them is decided alike everywhere.
 */
export type RankOf = (prompt_id: number) => number;

/** Prompts in the order given, each made by the rank that it belongs to. */
export async function promptsOfAll(
  ranks: Ranks,
  prompt_ids: readonly number[],
  rankOf: RankOf,
  make: () => Promise<PromptBatch>,
): Promise<PromptBatch> {
  if (ranks.world_size === 1) return make();
  const parts = (await together(ranks, async () => encodeBatch(await make()))).map(decodeBatch<PromptBatch>);
  return takeRows(parts, rowsOf(parts, prompt_ids, rankOf));
}

/** Rows of those prompts in each one's batch. */
function rowsOf(parts: readonly (PromptBatch | RolloutBatch)[], prompt_ids: readonly number[], rankOf: RankOf): Row[] {
  const rows = parts.map((part) => {
    const of_prompt = new Map<number, number[]>();
    flatValues<BigInt64Array>(part, "prompt_id").forEach((id, row) => {
      const known = of_prompt.get(Number(id));
      if (known === undefined) of_prompt.set(Number(id), [row]);
      else known.push(row);
    });
    return of_prompt;
  });
  return prompt_ids.flatMap((id) => (rows[rankOf(id)]!.get(id) ?? []).map((row) => ({ batch: rankOf(id), row })));
}

/** The prompts of this rank. */
export function ownPrompts(ranks: Ranks, prompts: PromptBatch, rankOf: RankOf): PromptBatch {
  if (ranks.world_size === 1) return prompts;
  const ids = flatValues<BigInt64Array>(prompts, "prompt_id");
  const own = [...ids.keys()].filter((row) => rankOf(Number(ids[row])) === ranks.rank);
  return takeRows(
    [prompts],
    own.map((row) => ({ batch: 0, row })),
  );
}

/** The completions of all ranks' prompts, with their grades. Progress is this rank's own. */
export async function* collectedOfAll(
  ranks: Ranks,
  prompts: PromptBatch,
  rankOf: RankOf,
  collectOwn: (own: PromptBatch) => AsyncGenerator<Progress, Collected>,
): AsyncGenerator<Progress, Collected> {
  if (ranks.world_size === 1) return yield* collectOwn(prompts);
  const own = ownPrompts(ranks, prompts, rankOf);
  const parts = yield* togetherAfter(ranks, encoded(own, collectOwn));
  const found = parts.map((part) => part && { ...part, rollouts: decodeBatch<RolloutBatch>(part.rollouts) });
  const some = found.find((part) => part !== null)!; // a rank without a prompt has no columns
  const collected = found.map((part) => part ?? { ...some, rollouts: takeRows([some.rollouts], []), grades: [] });
  const prompt_ids = [...flatValues<BigInt64Array>(prompts, "prompt_id")].map(Number);
  const rows = rowsOf(
    collected.map((part) => part.rollouts),
    prompt_ids,
    rankOf,
  );
  return {
    ...takeCollected(collected, rows),
    grading_wait_seconds: Math.max(...collected.map((part) => part.grading_wait_seconds)),
  };
}

async function* encoded(
  own: PromptBatch,
  collectOwn: (own: PromptBatch) => AsyncGenerator<Progress, Collected>,
): AsyncGenerator<Progress, (Omit<Collected, "rollouts"> & { readonly rollouts: Uint8Array }) | null> {
  if (own.numRows === 0) return null;
  const collected = yield* collectOwn(own);
  return { ...collected, rollouts: encodeBatch(collected.rollouts) };
}

/** The engine's scores, each row's by the rank that it belongs to. */
export function scorerOfAll(ranks: Ranks, engine: Engine, rankOf: RankOf): Pick<Engine, "score" | "advantages"> {
  if (ranks.world_size === 1) return engine;
  return {
    advantages: (...args) => engine.advantages(...args),
    score: async (rollouts, which, options) => {
      const owners = Array.from(flatValues<BigInt64Array>(rollouts, "prompt_id"), (id) => rankOf(Number(id)));
      const own = owners.flatMap((rank, row) => (rank === ranks.rank ? [{ batch: 0, row }] : []));
      const parts = await together(ranks, async () =>
        own.length === 0 ? null : encodeBatch(await engine.score(takeRows([rollouts], own), which, options)),
      );
      const scores = parts.map((part) => part && decodeBatch<Scores>(part));
      const some = scores.find((part) => part !== null)!;
      const next = scores.map(() => 0);
      return takeRows(
        scores.map((part) => part ?? some),
        owners.map((batch) => ({ batch, row: next[batch]!++ })),
      );
    },
  };
}

/** For `engine.update`; null where all rows are this rank's. */
export function ownRows(ranks: Ranks, batch: RolloutBatch | PromptBatch, rankOf: RankOf): Uint8Array | null {
  if (ranks.world_size === 1) return null;
  return Uint8Array.from(flatValues<BigInt64Array>(batch, "prompt_id"), (id) =>
    Number(rankOf(Number(id)) === ranks.rank),
  );
}
