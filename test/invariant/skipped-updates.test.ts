/** Minibatches that must not be learned from, left out: nothing of the model changes, and they are counted. */
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import type { TrajectoryBatch } from "../../src/batches/trajectory.js";
import type { Engine } from "../../src/engine/engine.js";
import { DivergenceError } from "../../src/errors.js";
import { openTestEngine, sampling } from "../helpers/engine.js";
import { addFixtureImages, casePrompts, families } from "../helpers/fixtures.js";
import { SafetensorsFile } from "../helpers/safetensors.js";

const family = families().find(({ name }) => name.startsWith("qwen2"))!;
const root = mkdtempSync(join(tmpdir(), "sightloop-skips-"));
afterAll(() => rmSync(root, { recursive: true }));

async function open(dtype: "float32" | "bfloat16" = "float32", completions_per_update = 8) {
  const { engine } = await openTestEngine(family.checkpoint, { dtype, completions_per_update });
  const prompts = casePrompts(family, "batch", await addFixtureImages(engine, family.reference.image_names));
  const rollouts = await engine.generate(prompts, 4, sampling({ max_completion_tokens: 5 }));
  const reference = await engine.score(rollouts, "reference");
  /** `bad` rows (of the first prompts) get a reward that is no number. */
  const batch = (bad: number): Promise<TrajectoryBatch> => {
    const reward = Float32Array.from({ length: rollouts.numRows }, (_, row) => (row < bad ? NaN : (row * 7) % 5));
    return engine.advantages(rollouts, { reward, breakdown: {} }, { reference });
  };
  return { engine, batch, rows: rollouts.numRows };
}

/** A hash of every tensor of the state: weights, moments, masters, update counts. */
async function stateOf(engine: Engine): Promise<Readonly<Record<string, string>>> {
  await engine.saveState(root);
  return Object.fromEntries(
    ["model", "optimizer"].flatMap((name) => {
      const file = new SafetensorsFile(join(root, `${name}.safetensors`));
      const hash = (tensor: string) => createHash("sha256").update(file.get(tensor).data).digest("hex");
      return file.names.map((tensor) => [`${name}/${tensor}`, hash(tensor)] as const);
    }),
  );
}

test.each(["float32", "bfloat16"] as const)("%s: weights, masters and moments stay, bit for bit", async (dtype) => {
  const { engine, batch, rows } = await open(dtype);
  await engine.update(await batch(0));
  const before = await stateOf(engine);
  expect(Object.keys(before).length).toBeGreaterThan(100);
  const stats = await engine.update(await batch(rows), { max_consecutive_skips: 2 });
  expect(stats).toMatchObject({ skipped_updates: 2, completion_tokens: 0, optimizer_step: 4, grad_norm: 0 });
  expect(stats.divergences.map(({ minibatch_rows }) => minibatch_rows.length)).toEqual([8, 8]);
  expect(stats.divergences[0]!.loss).toBeNaN();
  expect(await stateOf(engine)).toEqual(before);
  await engine.close();
});

test("the other minibatches are learned from, and the statistics are theirs", async () => {
  const { engine, batch } = await open("float32", 4);
  const before = await stateOf(engine);
  const stats = await engine.update(await batch(4), { max_consecutive_skips: 1 });
  expect(stats).toMatchObject({ skipped_updates: 1, completion_tokens: 12 * 5, optimizer_step: 4 });
  for (const name of ["loss", "policy_loss", "entropy", "ratio_max", "grad_norm", "kl_reference"] as const)
    expect(stats[name], name).toSatisfy(Number.isFinite);
  expect(await stateOf(engine)).not.toMatchObject(before);
  await engine.close();
});

test("one more in a row than allowed throws; the count goes over calls and a resume, and a good one ends it", async () => {
  const { engine, batch, rows } = await open("float32", 1024);
  const bad = await batch(rows);
  const limit = { max_consecutive_skips: 2 };
  await engine.update(bad, limit);
  await engine.update(await batch(0), limit);
  await engine.update(bad, limit);
  await engine.update(bad, limit);
  await engine.saveState(root);
  const { engine: resumed } = await open("float32", 1024);
  await resumed.loadState(root);
  for (const each of [engine, resumed]) {
    const error = await each.update(bad, limit).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(DivergenceError);
    expect((error as DivergenceError).divergence.optimizer_step).toBe(4);
    await each.close();
  }
  expect(readFileSync(join(root, "optimizer.safetensors"), "latin1")).toContain('"consecutive_skips":"2"');
});
