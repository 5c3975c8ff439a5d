import { expect, test } from "vitest";
import { promptBatch } from "../../../../src/batches/prompt.js";
import type { UpdateStats } from "../../../../src/engine/engine.js";
import { DivergenceError } from "../../../../src/errors.js";
import { supervisedTrajectories } from "../../../../src/pipeline/trajectory/supervised.js";
import { update } from "../../../../src/pipeline/update/update.js";
import { EngineDouble } from "../rollout/engine-double.js";

const trajectories = supervisedTrajectories(
  promptBatch([{ prompt_id: 0, sample_id: "a", token_ids: Int32Array.of(1), image_ids: [] }]),
  [[2]],
);
const divergence = {
  ...{ optimizer_step: 4, loss: Number.NaN, grad_norm: Number.NaN, minibatch_rows: [0] },
  parameters: ["a", "b", "c", "d", "e"],
};

const options = { temperature: 1, max_consecutive_skips: 0 };

async function diverge(keepDiverged: () => Promise<string | null>): Promise<unknown> {
  const double = new EngineDouble();
  double.update = () => Promise.reject(new DivergenceError(divergence));
  return update(double.engine, trajectories, { ...options, keepDiverged }).catch((error: unknown) => error);
}

test("passes no signal: a step that has begun to learn is finished", async () => {
  const double = new EngineDouble();
  await update(double.engine, trajectories, { ...options, keepDiverged: async () => null });
  expect(double.calls).toEqual(["update"]);
});

test("a batch that must not be learned from is kept, and the error says where", async () => {
  const error = await diverge(async () => "runs/a/diverged/step-000003.arrow");
  expect(error).toBeInstanceOf(DivergenceError);
  expect(error).toMatchObject({ code: "TRAINING_DIVERGED", divergence });
  expect((error as Error).message).toBe(
    'at optimizer step 5 the loss is NaN, and the gradients of "a", "b", "c", 2 more are not finite; ' +
      "the weights were left as they were; the batch is in runs/a/diverged/step-000003.arrow",
  );
});

test("a batch that cannot be kept does not hide why the run stopped", async () => {
  const error = await diverge(() => Promise.reject(new Error("the disk is full")));
  expect((error as Error).message).toMatch(/the loss is NaN.*could not be kept: the disk is full$/);
  expect(((await diverge(async () => null)) as Error).message).toMatch(/left as they were$/);
});

test.each<[string, Partial<UpdateStats>, readonly string[], readonly string[]]>([
  ["nothing left out, tokens to learn from: all of it", { completion_tokens: 5 }, ["loss", "entropy", "grad_norm"], []],
  ["no token to learn from: no mean over tokens", { completion_tokens: 0 }, ["loss"], ["entropy", "grad_norm"]],
  [
    "all left out: no loss either",
    { completion_tokens: 0, skipped_updates: 1, divergences: [divergence] },
    ["skipped_updates"],
    ["loss", "entropy", "grad_norm"],
  ],
])("metrics with %s", async (_, changes, present, absent) => {
  const double = new EngineDouble();
  const original = double.update.bind(double);
  double.update = async (...args) => ({ ...(await original(...args)), ...changes });
  const kept: unknown[] = [];
  const keepDiverged = async (divergences: readonly unknown[]) => (kept.push(...divergences), null);
  const metrics = Object.keys(await update(double.engine, trajectories, { ...options, keepDiverged }));
  expect(metrics).toEqual(expect.arrayContaining([...present]));
  for (const name of [...absent, "divergences"]) expect(metrics).not.toContain(name);
  expect(kept).toEqual(changes.divergences ?? []);
});
