/** A loss that is NaN: training stops before it learns from it, keeps what it has, and shows the batch. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { tableFromIPC } from "apache-arrow";
import { describe, expect, test } from "vitest";
import { DivergenceError, type RewardInput, train } from "../../src/index.js";
import { openInference } from "../../src/pipeline/inference.js";
import { readMetrics } from "../../src/reports/metrics-file.js";
import { smallConfig, smallRun, trainHere, workspace } from "./support.js";

const place = workspace();

describe("a reward beyond float32 in step 3", () => {
  const run_folder = () => place.path("run");
  /** Graded so far; step 3 begins after 2 x 12. */
  let graded = 0;
  const explodes = ({ token_count }: RewardInput): number => (++graded > 24 ? 1e300 * token_count : -token_count);
  const follow = async () => {
    const run = train({
      ...{ model: place.model, run_folder: run_folder(), steps: 5, threads: 1, algorithm: { name: "grpo" } },
      ...{ prompts_per_step: 3, completions_per_prompt: 4, completions_per_update: 6 },
      dataset: { name: "fashion_grid", count: 10 },
      rewards: [explodes],
      sampling: smallRun.sampling,
      optimizer: { learning_rate: 1e-3 },
      checkpoint: { every_steps: 1, keep_last: 1 },
    });
    for await (const _ of run);
  };

  test("stops the run, names the gradients and says where the batch is", async () => {
    const error = await follow().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(DivergenceError);
    const { code, message, hint, divergence } = error as DivergenceError;
    expect(code).toBe("TRAINING_DIVERGED");
    expect(message).toMatch(
      /^at optimizer step 5 the loss is NaN, and the gradients of "model\.embed_tokens\.weight".* are not finite/,
    );
    expect(message).toContain(join(run_folder(), "diverged", "step-000003.arrow"));
    expect(hint).toContain("learning_rate");
    expect(divergence.parameters.length).toBeGreaterThan(10);
    expect(divergence.minibatch_rows).toHaveLength(6);
  });

  test("the batch is there: trajectories with texts, and what was wrong", () => {
    const folder = join(run_folder(), "diverged");
    expect(readdirSync(folder).sort()).toEqual(["step-000003.arrow", "step-000003.json"]);
    const table = tableFromIPC(readFileSync(join(folder, "step-000003.arrow")));
    expect(table.numRows).toBe(12);
    expect([...table.getChild("reward")!]).toContain(Infinity);
    expect(table.getChild("completion")!.length).toBe(12);
    const said = JSON.parse(readFileSync(join(folder, "step-000003.json"), "utf8")) as Record<string, unknown>;
    expect(said).toMatchObject({ step: 3, divergences: [{ optimizer_step: 4, loss: "NaN" }] });
  });

  test("the last good checkpoint is kept, loads, and no step 3 is recorded", async () => {
    expect(readdirSync(join(run_folder(), "checkpoints")).sort()).toEqual(["latest", "step-000002"]);
    const lines = await readMetrics(join(run_folder(), "metrics.jsonl"));
    expect(lines.map(({ step }) => step)).toEqual([1, 2]);
    const model_path = join(run_folder(), "checkpoints", "step-000002", "model");
    await (
      await openInference({ model_path, dtype: "float32", deterministic: "run", seed: 0, threads: 1 })
    )[Symbol.asyncDispose]();
  });
});

test("a learning rate out of all reason ends in an error of the same kind", async () => {
  // A learning rate like this makes the weights, and then the loss, infinite within a few steps.
  const { error } = await trainHere(
    smallConfig(place.model, place.path("fast"), {
      ...{
        steps: 30,
        evaluate: {},
        datasets: { train: smallRun.datasets.train },
        checkpoint: { every_steps: 1, keep_last: 1 },
      },
      optimizer: { learning_rate: 1e30, max_grad_norm: null },
    }),
  );
  expect(error).toMatchObject({ name: "UserError", code: "TRAINING_DIVERGED" });
  expect((error as Error).message).toMatch(/not finite/);
});
