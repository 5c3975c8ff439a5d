import { expect, test } from "vitest";
import { promptBatch } from "../../../../src/batches/prompt.js";
import { supervisedTrajectories } from "../../../../src/pipeline/trajectory/supervised.js";
import { update } from "../../../../src/pipeline/update/update.js";
import type { UpdateStats } from "../../../../src/engine/engine.js";
import { EngineDouble } from "../rollout/engine-double.js";

const trajectories = supervisedTrajectories(
  promptBatch([{ prompt_id: 0, sample_id: "a", token_ids: Int32Array.of(1), image_ids: [] }]),
  [[2]],
);

async function run(changes: Partial<UpdateStats>): Promise<UpdateStats> {
  const double = new EngineDouble();
  const original = double.update.bind(double);
  double.update = async (batch) => ({ ...(await original(batch)), ...changes });
  return update(double.engine, trajectories, { temperature: 1, optimizer_steps: 2 });
}

test("passes no signal: a step that has begun to learn is finished", async () => {
  const double = new EngineDouble();
  await update(double.engine, trajectories, { temperature: 1, optimizer_steps: 1 });
  expect(double.calls).toEqual(["update"]);
});

test.each([
  ["all is well", {}, undefined],
  ["one gradient of two was not finite", { skipped_steps: 1 }, undefined],
  ["every gradient was not finite", { skipped_steps: 2 }, "TRAINING_DIVERGED"],
  ["the loss is NaN", { loss: Number.NaN }, "TRAINING_DIVERGED"],
  ["nothing was there to learn from", { loss: Number.NaN, completion_tokens: 0 }, undefined],
])("%s", async (_, changes, code) => {
  if (code === undefined) await expect(run(changes)).resolves.toBeDefined();
  else await expect(run(changes)).rejects.toMatchObject({ code });
});
