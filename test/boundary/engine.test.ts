/** The edge between JavaScript and the engine: bad arguments, failures half-way, and a process that ends while it works. */
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { promptBatch } from "../../src/batches/prompt.js";
import type { Engine, SamplingOptions } from "../../src/engine/engine.js";
import { DivergenceError, UserError } from "../../src/errors.js";
import { openTestEngine, sampling } from "../helpers/engine.js";
import { families } from "../helpers/fixtures.js";
import { alignedFloats, rolloutOf, type Row, trajectoriesOf } from "../helpers/trajectories.js";

const { checkpoint } = families().find(({ name }) => name === "qwen2_5_vl")!;
const text = (ids: readonly number[], prompt_id = 0) =>
  promptBatch([{ prompt_id, sample_id: `${prompt_id}`, token_ids: Int32Array.from(ids), image_ids: [] }]);

let engine: Engine;
beforeAll(async () => {
  ({ engine } = await openTestEngine(checkpoint, { threads: 1, tokens_per_microbatch: 20 }));
});
afterAll(async () => engine?.close());

describe("bad arguments are refused by name", () => {
  test.each<[Partial<SamplingOptions>, string]>([
    [{ kv_block_size: 0 }, "kv_block_size"],
    [{ kv_block_size: -1 }, "kv_block_size"],
    [{ max_concurrent_completions: 0 }, "max_concurrent_completions"],
    [{ max_completion_tokens: 0 }, "max_completion_tokens"],
    [{ max_completion_tokens: 100_000 }, "max_position_embeddings"],
    [{ temperature: -1 }, "temperature"],
    [{ top_p: 0 }, "top_p"],
    [{ top_k: -1 }, "top_k"],
  ])("%j", async (overrides, name) => {
    const call = engine.generate(text([5, 6, 7]), 2, sampling(overrides));
    await expect(call).rejects.toThrow(name);
    await expect(call).rejects.toBeInstanceOf(UserError);
  });

  test.each([0, -1, NaN, Infinity])("completions_per_prompt %d", async (count) => {
    await expect(engine.generate(text([5, 6, 7]), count, sampling())).rejects.toThrow("completions_per_prompt");
  });

  test.each([
    [[], "empty"],
    [[5, -1], "-1"],
    [[5, 1_000_000], "1000000"],
    [[5, 1012], "image"], // an image token without an image
  ])("prompt %j", async (ids, part) => {
    await expect(engine.generate(text(ids), 1, sampling())).rejects.toThrow(part);
    expect((await engine.generate(text([5, 6]), 1, sampling())).numRows).toBe(1);
  });

  test("an image that the engine does not hold", async () => {
    const prompts = promptBatch([
      { prompt_id: 0, sample_id: "a", token_ids: Int32Array.of(5, 1012), image_ids: ["unknown"] },
    ]);
    await expect(engine.generate(prompts, 1, sampling())).rejects.toThrow("unknown");
  });
});

const row = (prompt_id: number, completion: readonly number[]): Row => ({
  prompt_id,
  prompt: Int32Array.of(5, 6, 7 + prompt_id),
  completion: Int32Array.from(completion),
  image_ids: [],
});
const trajectories = (rows: readonly Row[]) =>
  trajectoriesOf(rows, {
    policy_logprobs: alignedFloats(rows, () => -6),
    reference_logprobs: alignedFloats(rows, () => -6),
    advantages: alignedFloats(rows, (at) => (at % 2 === 0 ? 1 : -1)),
  });

test("a failed update leaves nothing behind that the next one would add to", async () => {
  const good = trajectories([row(0, [8, 9, 10]), row(1, [11, 12])]);
  const expected = await engine.inspectGradients(good);
  const bad = [row(0, [8, 9, 10, 8, 9, 10, 8, 9, 10, 11, 12, 13]), row(1, [8, 2_000_000])];
  await expect(engine.inspectGradients(trajectories(bad))).rejects.toThrow();
  await expect(engine.update(trajectories(bad))).rejects.toThrow("2000000");
  for (const [name, { data }] of await engine.inspectGradients(good)) expect(data).toEqual(expected.get(name)!.data);
});

test.each([
  ["an infinite advantage", { advantages: Infinity }, true],
  ["an old log-prob that is NaN", { policy_logprobs: NaN }, false], // its clamped ratio has no gradient: the loss tells
])("%s is not learned from: the error says which gradients, and the weights stay", async (_, values, in_gradients) => {
  const folder = mkdtempSync(join(tmpdir(), "sightloop-"));
  const weights = async () => {
    await engine.saveModel(folder);
    return readFileSync(join(folder, "model.safetensors"));
  };
  try {
    const rows = [row(0, [8, 9, 10]), row(1, [11, 12])];
    const flat = (value: number) => alignedFloats(rows, () => value);
    const { advantages = 1, policy_logprobs = -6 } = values as { advantages?: number; policy_logprobs?: number };
    const bad = trajectoriesOf(rows, {
      policy_logprobs: flat(policy_logprobs),
      reference_logprobs: flat(-6),
      advantages: flat(advantages),
    });
    const [before, gradients] = [await weights(), await engine.inspectGradients(trajectories(rows))];
    const error = await engine.update(bad).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(DivergenceError);
    const { code, divergence } = error as DivergenceError;
    expect(code).toBe("TRAINING_DIVERGED");
    expect(Number.isFinite(divergence.loss)).toBe(false);
    expect(divergence.parameters.includes("model.norm.weight")).toBe(in_gradients);
    expect([...divergence.minibatch_rows].sort()).toEqual([0, 1]);
    expect((await weights()).equals(before)).toBe(true);
    for (const [name, { data }] of await engine.inspectGradients(trajectories(rows)))
      expect(data, name).toEqual(gradients.get(name)!.data);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("weights that are NaN are found out when sampling, before anything is sampled from them", async () => {
  const folder = mkdtempSync(join(tmpdir(), "sightloop-"));
  try {
    cpSync(checkpoint, folder, { recursive: true });
    const file = join(folder, "model.safetensors");
    const bytes = readFileSync(file);
    bytes.fill(0xff, 8 + Number(bytes.readBigUInt64LE())); // every float is NaN
    writeFileSync(file, bytes);
    const { engine: damaged } = await openTestEngine(folder, { threads: 1, with_reference: false });
    for (const top_k of [0, 5])
      await expect(damaged.generate(text([5, 6, 7]), 2, sampling({ top_k }))).rejects.toMatchObject({
        code: "TRAINING_DIVERGED",
        message: expect.stringContaining("logits are not finite") as string,
      });
    await damaged.close();
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("groups of equal rewards have advantages of exactly 0, whatever their size", async () => {
  for (const size of [3, 6, 7, 10]) {
    const rollouts = rolloutOf(Array.from({ length: size }, (_, i) => ({ ...row(0, [8, 9]), sample_index: i })));
    for (const value of [1, 0.1, 1 / 3]) {
      const reward = new Float32Array(size).fill(value);
      const { children } = (await engine.advantages(rollouts, { reward, breakdown: {} }, {})).getChild("advantages")!
        .data[0]!;
      expect([...(children[0]!.values as Float32Array)].every((advantage) => advantage === 0)).toBe(true);
    }
  }
});

test("a rollout session does not go on over changed weights", async () => {
  const { engine } = await openTestEngine(checkpoint, { threads: 1 });
  const session = engine.rollout(sampling({ max_concurrent_completions: 1 }));
  await session.add(text([5, 6, 7]), 3);
  for await (const _ of session) break;
  expect((await engine.memory()).kv_cache_bytes).toBeGreaterThan(0);
  await engine.update(trajectories([row(0, [8, 9])]));
  await expect(session.finish()).rejects.toThrow("weights changed");
  await session[Symbol.asyncDispose]();
  await engine.close();
});

test("a closed engine, a closed session and a foreign handle are refused", async () => {
  const { engine } = await openTestEngine(checkpoint, { threads: 1 });
  const session = engine.rollout(sampling());
  await session.add(text([5, 6]), 1);
  await session[Symbol.asyncDispose]();
  await expect(session.finish()).rejects.toThrow("closed");
  await engine.close();
  await engine.close();
  await expect(engine.generate(text([5]), 1, sampling())).rejects.toThrow("closed");
});

test("a process that exits while the engine works ends at once, with its own exit code", () => {
  const folder = mkdtempSync(join(tmpdir(), "sightloop-"));
  try {
    const addon = pathToFileURL(join(import.meta.dirname, "../../build/Release/sightloop.node"));
    const options = {
      model_path: checkpoint,
      reference_path: null,
      with_reference: false,
      dtype: "float32",
      image_processor: {
        patch_size: 14,
        temporal_patch_size: 2,
        merge_size: 2,
        min_pixels: 1,
        max_pixels: 1e6,
        rescale_factor: 1,
        image_mean: [0, 0, 0],
        image_std: [1, 1, 1],
      },
      trainable: { train_vision_tower: true, train_connector: true, train_language_model: true },
      algorithm: { name: "supervised", loss_aggregation: "token_mean", max_completion_tokens: 64 },
      optimizer: {
        learning_rate: 1e-3,
        beta1: 0.9,
        beta2: 0.9,
        epsilon: 1e-8,
        weight_decay: 0,
        max_grad_norm: null,
        schedule: "constant",
        warmup_steps: 0,
        total_steps: 1,
        min_learning_rate_ratio: 0,
      },
      completions_per_update: 512,
      tokens_per_microbatch: 2000,
      update_epochs: 1000,
      seed: 0,
      threads: 1,
      activation_checkpointing: false,
      pack_weights: true,
      deterministic: "run",
      image_cache_bytes: 1,
    };
    const script = join(folder, "exit.cjs");
    writeFileSync(
      script,
      `const addon = require(${JSON.stringify(addon.pathname)});
       const rows = 64, length = 40, total = rows * length;
       const bits = new Uint8Array(total / 8).fill(0xfe);
       addon.openEngine(${JSON.stringify(JSON.stringify(options))}).then(({ engine }) => {
         addon.update(engine, {
           prompt_id: BigInt64Array.from({ length: rows }, (_, i) => BigInt(i)),
           sample_index: new Int32Array(rows), policy_version: new Int32Array(rows),
           token_ids: new Int32Array(total).fill(9), completion_mask: bits,
           offsets: Int32Array.from({ length: rows + 1 }, (_, i) => i * length),
           rollout_logprobs: new Float32Array(total), policy_logprobs: new Float32Array(total),
           advantages: new Float32Array(total), reference_logprobs: null,
           image_ids: Array.from({ length: rows }, () => []),
         }, 1, 0, null).catch(() => {});
         setTimeout(() => process.exit(7), Number(process.argv[2]));
       });`,
    );
    for (const delay of [0, 20, 50, 90, 140, 200]) {
      const started = performance.now();
      const { status, signal, stderr } = spawnSync(process.execPath, [script, String(delay)], { timeout: 60_000 });
      expect({ status, signal, stderr: String(stderr) }).toEqual({ status: 7, signal: null, stderr: "" });
      expect(performance.now() - started).toBeLessThan(30_000);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});
