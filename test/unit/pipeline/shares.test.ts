import { describe, expect, test } from "vitest";
import { flatValues, listValues } from "../../../src/batches/columns.js";
import { promptBatch } from "../../../src/batches/prompt.js";
import { collect } from "../../../src/pipeline/rollout/collect.js";
import { collectedOfAll, ownRows, promptsOfAll, scorerOfAll } from "../../../src/pipeline/shares.js";
import type { Ranks } from "../../../src/ranks/ranks.js";
import { inMemory } from "../ranks/in-memory.js";
import { EngineDouble, sampling } from "./rollout/engine-double.js";

const ids = [4, 5, 6, 7, 8];
const make = (own: readonly number[]) =>
  promptBatch(
    own.map((prompt_id) => ({
      ...{ prompt_id, sample_id: `s${prompt_id}`, image_ids: [`image${prompt_id}`] },
      token_ids: Int32Array.of(1, prompt_id),
    })),
  );

/** A step of one rank, up to the scores. */
async function step(ranks: Ranks, rankOf: (id: number) => number) {
  const engine = new EngineDouble().engine;
  const own = ids.filter((id) => rankOf(id) === ranks.rank);
  const prompts = await promptsOfAll(ranks, ids, rankOf, async () => make(own));
  const collecting = collectedOfAll(ranks, prompts, rankOf, (mine) =>
    collect(engine, mine, {
      ...{ completions_per_prompt: 3, sampling, decode: (tokens) => tokens.join(" ") },
      // The second completion of every prompt is left out.
      grade: async (prompt_id, completion, { sample_index }) => ({
        ...{ reward: prompt_id + completion.length, breakdown: { length: completion.length } },
        masked: sample_index === 1,
      }),
    }),
  );
  let next = await collecting.next();
  while (next.done !== true) next = await collecting.next();
  const { rollouts, rewards, completions, grades } = next.value;
  const scores = await scorerOfAll(ranks, engine, rankOf).score(rollouts, "policy");
  return {
    prompts: [...flatValues<BigInt64Array>(prompts, "prompt_id")].map(Number),
    rows: [...flatValues<BigInt64Array>(rollouts, "prompt_id")].map(Number),
    tokens: [...listValues<Int32Array>(rollouts, "token_ids").values],
    logprobs: [...listValues<Float32Array>(scores, "logprobs").values],
    ...{ reward: [...rewards.reward], length: [...rewards.breakdown["length"]!], completions, grades: grades.length },
    own: ownRows(ranks, rollouts, rankOf),
  };
}

describe("the shares of ranks", () => {
  test.each([
    ["two ranks in turn", 2, (id: number) => id % 2],
    ["three, unevenly", 3, (id: number) => (id === 6 ? 2 : id > 6 ? 1 : 0)],
    ["one of them without a prompt", 3, (id: number) => id % 2],
  ])("%s: together what one process has, in its order, on every rank", async (_, world_size, rankOf) => {
    const { own: all, ...alone } = await step(inMemory(1)[0]!, () => 0);
    expect(all).toBeNull();
    expect(alone.rows).toEqual(ids.flatMap((id) => [id, id]));
    const found = await Promise.all(inMemory(world_size).map((ranks) => step(ranks, rankOf)));
    for (const { own, ...rest } of found) {
      expect(rest).toEqual(alone);
      expect(own).toHaveLength(alone.rows.length);
    }
    // Every row is one rank's.
    const owners = alone.rows.map((_, row) => found.reduce((sum, { own }) => sum + own![row]!, 0));
    expect(owners).toEqual(alone.rows.map(() => 1));
  });

  test("an error of one rank is that of all", async () => {
    const failing = inMemory(2).map((ranks) =>
      promptsOfAll(
        ranks,
        ids,
        (id) => id % 2,
        async () => {
          if (ranks.rank === 1) throw new Error("bad image");
          return make([4, 6, 8]);
        },
      ),
    );
    for (const result of await Promise.allSettled(failing)) expect(result).toMatchObject({ status: "rejected" });
  });
});
