/** A bfloat16 model: sampler and trainer agree within its gate, and training loses nothing to its rounding. */
import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import type { PromptBatch } from "../../src/batches/prompt.js";
import type { RolloutBatch } from "../../src/batches/rollout.js";
import type { TrajectoryBatch } from "../../src/batches/trajectory.js";
import type { Engine, EngineOptions } from "../../src/engine/engine.js";
import { auto_limits, checkMismatch, rolloutMismatch } from "../../src/pipeline/trajectory/parity.js";
import { toBfloat16 } from "../helpers/checkpoints.js";
import { openTestEngine, OPTIMIZER, sampling, untimed } from "../helpers/engine.js";
import { addFixtureImages, casePrompts, families, maxAbsDiff } from "../helpers/fixtures.js";
import { SafetensorsFile } from "../helpers/safetensors.js";

const root = mkdtempSync(join(tmpdir(), "sightloop-bfloat16-"));
afterAll(() => rmSync(root, { recursive: true }));
let folders = 0;
const freshFolder = (): string => mkdtempSync(join(root, `${folders++}-`));

describe.each(families().filter(({ name }) => name.startsWith("qwen2")))("$name", (family) => {
  async function open(overrides: Partial<EngineOptions> = {}): Promise<{ engine: Engine; prompts: PromptBatch }> {
    const { engine } = await openTestEngine(family.checkpoint, { dtype: "bfloat16", ...overrides });
    const images = await addFixtureImages(engine, family.reference.image_names);
    return { engine, prompts: casePrompts(family, "batch", images) };
  }
  const rollOut = (engine: Engine, prompts: PromptBatch, step = 0, temperature = 1) =>
    engine.generate(prompts, 4, sampling({ max_completion_tokens: 24, step, temperature }));
  /** Rewards that differ inside every group. */
  async function learnable(engine: Engine, rollouts: RolloutBatch): Promise<TrajectoryBatch> {
    const reward = Float32Array.from({ length: rollouts.numRows }, (_, row) => (row * 7) % 5);
    const reference = await engine.score(rollouts, "reference");
    return engine.advantages(rollouts, { reward, breakdown: {} }, { reference });
  }

  test("recorded log-probs are the scored ones within the gate, and not those of float32", async () => {
    const { engine, prompts } = await open();
    const { engine: wide } = await open({ dtype: "float32" });
    for (const temperature of [1, 0.5]) {
      const rollouts = await rollOut(engine, prompts, 0, temperature);
      const mismatch = rolloutMismatch(rollouts, await engine.score(rollouts, "policy", { temperature }));
      expect(() => checkMismatch(mismatch, auto_limits.bfloat16)).not.toThrow();
      const to_float32 = rolloutMismatch(rollouts, await wide.score(rollouts, "policy", { temperature }));
      expect(to_float32.rollout_mismatch_max).toBeGreaterThan(Math.max(1e-3, mismatch.rollout_mismatch_max));
    }
    await engine.close();
    await wide.close();
  });

  test("activations are near those of float32", async () => {
    const rows = [];
    for (const dtype of ["float32", "bfloat16"] as const) {
      const { engine, prompts } = await open({ dtype });
      expect(engine.model.dtype).toBe(dtype);
      rows.push(await engine.inspect(prompts));
      await engine.close();
    }
    const [wide, narrow] = rows;
    wide!.forEach((row, i) => {
      for (const [name, { data }] of row) {
        const scale = Math.max(...data.map(Math.abs), 1e-6);
        expect(maxAbsDiff(narrow![i]!.get(name)!.data, data) / scale, name).toBeLessThan(0.06);
      }
      const { data } = row.get("logits")!;
      expect(maxAbsDiff(narrow![i]!.get("logits")!.data, data)).toBeGreaterThan(0);
    });
  });

  test("weights take half the memory; masters of trained parameters come with the first update", async () => {
    const { engine, prompts } = await open({
      trainable: { train_vision_tower: false, train_connector: true, train_language_model: false },
    });
    const { num_parameters, num_trainable_parameters } = engine.model;
    expect(num_trainable_parameters).toBeLessThan(num_parameters / 2);
    const rollouts = await rollOut(engine, prompts);
    const before = await engine.memory();
    expect(before).toMatchObject({ weights_bytes: 2 * num_parameters, optimizer_bytes: 0 });
    await engine.update(await learnable(engine, rollouts));
    const after = await engine.memory();
    expect(after.weights_bytes).toBe(before.weights_bytes);
    expect(after.optimizer_bytes).toBe(3 * 4 * num_trainable_parameters); // two moments and the master, float32
    await engine.close();
  });

  test("microbatches sum in float32: a cut changes the gradient by bfloat16's rounding of one pass only", async () => {
    const gradients = [];
    for (const tokens_per_microbatch of [1_000_000, 1]) {
      const { engine, prompts } = await open({ tokens_per_microbatch });
      gradients.push(await engine.inspectGradients(await learnable(engine, await rollOut(engine, prompts))));
      await engine.close();
    }
    const [whole, cut] = gradients;
    expect(whole!.size).toBeGreaterThan(50);
    for (const [name, { data }] of whole!) {
      const norm = (values: Float32Array) => Math.sqrt(values.reduce((sum, x) => sum + x * x, 0));
      const difference = Float32Array.from(data, (x, i) => x - cut!.get(name)!.data[i]!);
      expect(norm(difference) / Math.max(norm(data), 1e-6), name).toBeLessThan(0.1);
    }
  });

  test("steps too small for bfloat16 add up in the masters", async () => {
    const learning_rate = 1e-6; // weights are near 0.02, whose neighbours in bfloat16 are 6e-5 away
    const optimizer = { ...OPTIMIZER, learning_rate, weight_decay: 0 };
    const { engine, prompts } = await open({ optimizer });
    const trajectories = await learnable(engine, await rollOut(engine, prompts));
    const folder = freshFolder();
    for (let i = 0; i < 3; i++) await engine.update(trajectories);
    await engine.saveState(folder);
    await engine.close();
    const state = new SafetensorsFile(join(folder, "optimizer.safetensors"));
    const name = "model.layers.0.mlp.down_proj.weight";
    const master = state.get(`master/${name}`).data as Float32Array;
    const start = (
      new SafetensorsFile(join(family.checkpoint, "model.safetensors")).get(name).data as Float32Array
    ).map(toBfloat16);
    const moved = master.filter((x, i) => Math.abs(x - start[i]!) > 1.5e-6);
    expect(moved.length / master.length).toBeGreaterThan(0.5);
    expect(maxAbsDiff(master, start)).toBeLessThan(4e-6);
  });

  test("state saved and restored elsewhere continues bit for bit; the saved model is bfloat16 and says so", async () => {
    const folder = freshFolder();
    const { engine, prompts } = await open();
    const next = async (engine: Engine, step: number) =>
      engine.update(await learnable(engine, await rollOut(engine, prompts, step)));
    await next(engine, 0);
    await engine.saveState(folder);
    const { engine: resumed } = await open();
    await resumed.loadState(folder);
    expect(untimed(await next(resumed, 1))).toEqual(untimed(await next(engine, 1)));
    const files: Buffer[][] = [];
    for (const each of [engine, resumed]) {
      await each.saveState(folder);
      files.push(["model", "optimizer"].map((name) => readFileSync(join(folder, `${name}.safetensors`))));
    }
    expect(files[0]!.every((bytes, i) => bytes.equals(files[1]![i]!))).toBe(true);
    await resumed.close();

    const model = freshFolder();
    cpSync(family.checkpoint, model, { recursive: true });
    await engine.saveModel(model);
    const config = readFileSync(join(model, "config.json"), "utf8");
    expect(config).toContain('"dtype": "bfloat16"');
    expect(config).not.toContain('"dtype": "float32"');
    const { engine: reloaded } = await openTestEngine(model, { dtype: "bfloat16" });
    await addFixtureImages(reloaded, family.reference.image_names);
    const [a, b] = [await engine.inspect(prompts), await reloaded.inspect(prompts)];
    a.forEach((row, i) => expect(row.get("logits")!.data).toEqual(b[i]!.get("logits")!.data));
    await reloaded.close();
    await engine.close();
  });

  test("a float32 engine goes on from bfloat16 state with the masters, not with the rounded weights", async () => {
    const folder = freshFolder();
    const { engine, prompts } = await open();
    await engine.update(await learnable(engine, await rollOut(engine, prompts)));
    await engine.saveState(folder);
    await engine.close();
    const state = new SafetensorsFile(join(folder, "optimizer.safetensors"));
    const rounded = new SafetensorsFile(join(folder, "model.safetensors"));

    const { engine: wide } = await open({ dtype: "float32" });
    await wide.loadState(folder);
    const model = freshFolder();
    await wide.saveModel(model);
    await wide.close();
    const weights = new SafetensorsFile(join(model, "model.safetensors"));
    const masters = state.names.filter((name) => name.startsWith("master/")).map((name) => name.slice(7));
    expect(masters.length).toBeGreaterThan(50);
    let differing = 0;
    for (const name of masters) {
      expect(maxAbsDiff(weights.numbers(name), state.numbers(`master/${name}`)), name).toBe(0);
      differing += maxAbsDiff(rounded.numbers(name), weights.numbers(name)) > 0 ? 1 : 0;
    }
    expect(differing).toBeGreaterThan(masters.length / 2);
  });

  test("a bfloat16 engine refuses float32 state, which holds no masters", async () => {
    const folder = freshFolder();
    const { engine, prompts } = await open({ dtype: "float32" });
    await engine.update(await learnable(engine, await rollOut(engine, prompts)));
    await engine.saveState(folder);
    await engine.close();
    const { engine: narrow } = await open();
    await expect(narrow.loadState(folder)).rejects.toMatchObject({
      code: "CHECKPOINT_INVALID",
      message: expect.stringContaining("another dtype") as string,
    });
    await narrow.close();
  });
});
