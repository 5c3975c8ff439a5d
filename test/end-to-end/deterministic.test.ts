import { readFileSync } from "node:fs";
import { tableFromIPC } from "apache-arrow";
import { expect, test } from "vitest";
import { trainConfigSchema } from "../../src/config/schema.js";
import { smallConfig, trainHere, workspace } from "./support.js";

const place = workspace();

test("batch_invariant: sampler and trainer agree exactly in every step, and any cut of the work samples the same", async () => {
  const sampled = [];
  for (const [name, changes] of [
    ["whole", {}],
    [
      "cut",
      { tokens_per_microbatch: 40, sampling: { max_completion_tokens: 8, max_concurrent_completions: 5 }, threads: 1 },
    ],
  ] as const) {
    const folder = place.path(name);
    const { events, error } = await trainHere(
      smallConfig(place.model, folder, {
        ...{ steps: 3, old_logprobs: "recompute", evaluate: {}, deterministic: "batch_invariant" },
        sampling: { max_completion_tokens: 8 },
        ...changes,
      }),
    );
    expect(error).toBeUndefined();
    const steps = events.filter((event) => event.type === "step");
    expect(steps).toHaveLength(3);
    for (const { metrics } of steps) expect(metrics["rollout_mismatch_max"]).toBe(0);
    const table = tableFromIPC(readFileSync(`${folder}/rollouts/step-000001.arrow`));
    const column = (which: string) => [...table.getChild(which)!].map((row: Iterable<number>) => [...row]);
    sampled.push(["token_ids", "rollout_logprobs", "policy_logprobs", "reference_logprobs"].map(column));
  }
  expect(sampled[1]).toEqual(sampled[0]);
});

test("a resume on other threads says so, and what that means", async () => {
  const folder = place.path("resumed");
  const config = (steps: number, threads: number) => smallConfig(place.model, folder, { steps, threads, evaluate: {} });
  await trainHere(config(1, 2));
  const manifest = JSON.parse(readFileSync(`${folder}/manifest.json`, "utf8")) as { numerics: object };
  expect(Object.keys(manifest.numerics).sort()).toEqual([
    "device",
    "instruction_set",
    "libtorch",
    "products",
    "ranks",
    "threads",
  ]);
  const notes = async (steps: number, threads: number) => {
    const { events, error } = await trainHere(config(steps, threads), { resume: true });
    expect(error).toBeUndefined();
    return events.flatMap((event) => (event.type === "note" ? [event.message] : []));
  };
  expect(await notes(2, 1)).toEqual([expect.stringContaining("resumed on other numerics: threads 2 -> 1.")]);
  expect(await notes(3, 1)).toEqual([]);
});

test("batch_invariant in bfloat16 is an error of the config", () => {
  const config = smallConfig(place.model, null, { deterministic: "batch_invariant" });
  const result = trainConfigSchema.safeParse({ ...config, model: { ...config.model, dtype: "bfloat16" } });
  expect(result.error?.issues).toMatchObject([
    { path: ["deterministic"], message: "batch_invariant needs model.dtype: float32, got bfloat16" },
  ]);
});
