/** What must not depend on how work is cut, ordered or scheduled; on the fixtures' Qwen2.5-VL, float32 on CPU. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { flatValues, listValues, stringLists, strings } from "../../src/batches/columns.js";
import { promptBatch, type PromptBatch } from "../../src/batches/prompt.js";
import type { RolloutBatch } from "../../src/batches/rollout.js";
import type { TrajectoryBatch } from "../../src/batches/trajectory.js";
import type { Engine, EngineOptions, SamplingOptions } from "../../src/engine/engine.js";
import { algorithm, openTestEngine, sampling, untimed } from "../helpers/engine.js";
import { addFixtureImages, casePrompts, families, maxAbsDiff } from "../helpers/fixtures.js";
import { SafetensorsFile } from "../helpers/safetensors.js";

const GRPO = algorithm({ name: "grpo", kl_loss_coefficient: 0.05, loss_aggregation: "token_mean" }, 11);
const SHORT = sampling({ max_completion_tokens: 11 });

const family = families().find(({ name }) => name === "qwen2_5_vl")!;
const floats = (batch: RolloutBatch, name: string) => listValues<Float32Array>(batch, name).values;
const tokens = (batch: RolloutBatch) => [...listValues<Int32Array>(batch, "token_ids").values];

async function open(overrides: Partial<EngineOptions> = {}) {
  const { engine } = await openTestEngine(family.checkpoint, overrides);
  const images = await addFixtureImages(engine, family.reference.image_names);
  return { engine, prompts: casePrompts(family, "batch", images) };
}

function oneByOne(prompts: PromptBatch): PromptBatch[] {
  const { offsets, values } = listValues<Int32Array>(prompts, "token_ids");
  const images = stringLists(prompts, "image_ids");
  return strings(prompts, "sample_id").map((sample_id, row) =>
    promptBatch([
      { prompt_id: row, sample_id, token_ids: values.slice(offsets[row], offsets[row + 1]), image_ids: images[row]! },
    ]),
  );
}

/** Rewards that differ inside every group. */
async function learnable(engine: Engine, rollouts: RolloutBatch): Promise<TrajectoryBatch> {
  const reward = Float32Array.from({ length: rollouts.numRows }, (_, row) => (row * 7) % 5);
  const reference = await engine.score(rollouts, "reference");
  return engine.advantages(rollouts, { reward, breakdown: { accuracy: reward } }, { reference });
}

describe("rollout", () => {
  let engine: Engine;
  let prompts: PromptBatch;
  let rollouts: RolloutBatch;
  const generate = (overrides: Partial<SamplingOptions> = {}, batch = prompts, count = 5) =>
    engine.generate(batch, count, sampling({ max_completion_tokens: 21, seed: 3, step: 2, ...overrides }));
  beforeAll(async () => {
    ({ engine, prompts } = await open());
    rollouts = await generate();
  });
  afterAll(async () => engine?.close());

  test("recorded log-probs are the scored ones, within 1e-4, at other temperatures too", async () => {
    for (const temperature of [1, 0.6]) {
      const sampled = temperature === 1 ? rollouts : await generate({ temperature });
      const scored = listValues<Float32Array>(
        await engine.score(sampled, "policy", { temperature }),
        "logprobs",
      ).values;
      expect(maxAbsDiff(floats(sampled, "rollout_logprobs"), scored)).toBeLessThan(1e-4);
    }
  });

  test("the same key gives the same tokens, whatever the slots, blocks and neighbours", async () => {
    for (const overrides of [{ max_concurrent_completions: 1 }, { max_concurrent_completions: 7, kv_block_size: 3 }]) {
      const again = await generate(overrides);
      expect(tokens(again)).toEqual(tokens(rollouts));
      expect(maxAbsDiff(floats(again, "rollout_logprobs"), floats(rollouts, "rollout_logprobs"))).toBeLessThan(1e-4);
    }
    const alone = [];
    for (const prompt of oneByOne(prompts)) alone.push(await generate({}, prompt));
    expect(alone.flatMap(tokens)).toEqual(tokens(rollouts));
  });

  test("repeated bit for bit; another seed, step or sample differs", async () => {
    expect(floats(await generate(), "rollout_logprobs")).toEqual(floats(rollouts, "rollout_logprobs"));
    expect(tokens(await generate({ seed: 4 }))).not.toEqual(tokens(rollouts));
    expect(tokens(await generate({ step: 3 }))).not.toEqual(tokens(rollouts));
    const { offsets, values } = listValues<Int32Array>(rollouts, "token_ids");
    const rows = [0, 1, 2, 3, 4].map((row) => values.slice(offsets[row], offsets[row + 1]).join());
    expect(new Set(rows).size).toBe(5);
  });

  test("stop tokens end a completion and are kept; rows come in (prompt, sample) order", async () => {
    const { offsets, values } = listValues<Int32Array>(rollouts, "token_ids");
    const stop = values[offsets[1]! - 3]!;
    const stopped = await generate({ stop_token_ids: [stop] });
    const after = listValues<Int32Array>(stopped, "token_ids");
    const reasons = strings(stopped, "finish_reason");
    expect(reasons).toContain("stop");
    reasons.forEach((reason, row) => {
      const last = after.values[after.offsets[row + 1]! - 1]!;
      expect(last === stop).toBe(reason === "stop");
    });
    expect([...flatValues<BigInt64Array>(stopped, "prompt_id")].map(Number)).toEqual(
      Array.from({ length: 20 }, (_, row) => Math.floor(row / 5)),
    );
    expect([...flatValues<Int32Array>(stopped, "sample_index")].slice(0, 6)).toEqual([0, 1, 2, 3, 4, 0]);
  });

  test("image tokens are never sampled, even at a temperature where everything is", async () => {
    const wild = await generate({ temperature: 50, max_completion_tokens: 400 }, prompts, 8);
    const { offsets, values } = listValues<Int32Array>(wild, "token_ids");
    const { image_token_id, video_token_id } = engine.model;
    const inPrompts = oneByOne(prompts).flatMap((prompt) => [...listValues<Int32Array>(prompt, "token_ids").values]);
    const count = (ids: Iterable<number>) => [...ids].filter((id) => id === image_token_id).length;
    expect(count(values)).toBe(8 * count(inPrompts));
    expect(values.includes(video_token_id)).toBe(false);
    expect(new Set(values).size).toBeGreaterThan(900);
    expect(offsets.length).toBe(33);
  });

  test("with a filter on, both log-probs are recorded", async () => {
    const filtered = await generate({ top_k: 5 });
    const [full, kept] = [floats(filtered, "rollout_logprobs"), floats(filtered, "sampling_logprobs")];
    full.forEach((value, i) => expect(kept[i]!).toBeGreaterThanOrEqual(value - 1e-6));
    expect(kept).not.toEqual(full);
    expect(rollouts.schema.names).not.toContain("sampling_logprobs");
  });

  test("streaming yields every token once; completions arrive while others are sampled", async () => {
    const session = engine.rollout(sampling({ max_completion_tokens: 9, seed: 3, step: 2, stream: true }));
    await session.add(oneByOne(prompts)[0]!, 1);
    const lengths = [];
    for await (const { token_ids } of session) lengths.push(token_ids.length);
    await session[Symbol.asyncDispose]();
    expect(lengths).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  test("an aborted call rejects with the signal's reason and leaves the engine usable", async () => {
    const controller = new AbortController();
    const reason = new Error("enough");
    const long = engine.generate(prompts, 64, sampling({ max_completion_tokens: 3000 }), { signal: controller.signal });
    setTimeout(() => controller.abort(reason), 50);
    await expect(long).rejects.toBe(reason);
    expect(tokens(await generate())).toEqual(tokens(rollouts));
  });

  test("a batch of mixed prompts scores like its rows alone", async () => {
    const together = listValues<Float32Array>(await engine.score(rollouts, "policy"), "logprobs").values;
    const apart = [];
    for (const prompt of oneByOne(prompts)) {
      const scores = await engine.score(await generate({}, prompt), "policy");
      apart.push(...listValues<Float32Array>(scores, "logprobs").values);
    }
    expect(maxAbsDiff(apart, together)).toBeLessThan(1e-4);
  });
});

describe("update", () => {
  const AGGREGATIONS = ["token_mean", "sequence_mean", "constant"] as const;
  test.each(AGGREGATIONS)(
    "%s: any cut into microbatches gives the same gradient, prompts shared or repeated",
    async (loss_aggregation) => {
      const results = [];
      for (const tokens_per_microbatch of [1_000_000, 300, 1]) {
        const { engine, prompts } = await open({ tokens_per_microbatch, algorithm: { ...GRPO, loss_aggregation } });
        const { offsets, values } = listValues<Int32Array>(await engine.generate(prompts, 4, SHORT), "token_ids");
        const stop_token_ids = [values[offsets[1]! - 6]!, values[offsets[7]! - 3]!]; // so that lengths differ
        const rollouts = await engine.generate(prompts, 4, { ...SHORT, stop_token_ids });
        results.push(await engine.inspectGradients(await learnable(engine, rollouts)));
        await engine.close();
      }
      const [whole, ...cut] = results;
      expect(whole!.size).toBeGreaterThan(50);
      for (const gradients of cut)
        for (const [name, { data }] of whole!) {
          const scale = Math.max(...data.map(Math.abs), 1e-6);
          expect(maxAbsDiff(gradients.get(name)!.data, data) / scale, name).toBeLessThan(1e-4);
        }
    },
  );

  test("minibatches: one optimizer step for every completions_per_update completions", async () => {
    const { engine, prompts } = await open({ completions_per_update: 8, update_epochs: 2 });
    const rollouts = await engine.generate(prompts, 4, sampling({ max_completion_tokens: 5 }));
    const stats = await engine.update(await learnable(engine, rollouts));
    expect(stats.optimizer_step).toBe(4);
    expect(stats.completion_tokens).toBe(2 * 16 * 5);
    await engine.close();
  });

  test.each([true, false])(
    "activation checkpointing changes no gradient (vision tower trained: %s)",
    async (vision) => {
      const trainable = { train_vision_tower: vision, train_connector: vision, train_language_model: true };
      const gradients = [];
      for (const activation_checkpointing of [false, true]) {
        const { engine, prompts } = await open({ trainable, activation_checkpointing });
        gradients.push(
          await engine.inspectGradients(await learnable(engine, await engine.generate(prompts, 4, SHORT))),
        );
        await engine.close();
      }
      const [plain, recomputed] = gradients;
      expect([...recomputed!.keys()].sort()).toEqual([...plain!.keys()].sort());
      expect([...plain!.keys()].some((name) => name.startsWith("visual."))).toBe(vision);
      for (const [name, { data }] of plain!) expect(recomputed!.get(name)!.data, name).toEqual(data);
    },
  );

  test("weights packed for sampling give the same tokens; scores never come from them", async () => {
    const [packed, plain] = [await open({ pack_weights: true }), await open({ pack_weights: false })];
    const before = await packed.engine.score(await plain.engine.generate(plain.prompts, 4, SHORT), "policy");
    const rollouts = await packed.engine.generate(packed.prompts, 4, SHORT);
    expect(tokens(rollouts)).toEqual(tokens(await plain.engine.generate(plain.prompts, 4, SHORT)));
    const scored = (batch: typeof before) => listValues<Float32Array>(batch, "logprobs").values;
    expect(scored(await packed.engine.score(rollouts, "policy"))).toEqual(scored(before));
    for (const { engine } of [packed, plain]) await engine.close();
  });

  test("groups without reward differences are left out when asked, and do not change the gradient's mean", async () => {
    const constant = { ...GRPO, loss_aggregation: "constant", kl_loss_coefficient: 0 } as const;
    const gradients = [];
    for (const skip_zero_advantage_groups of [false, true]) {
      const { engine, prompts } = await open({ algorithm: { ...constant, skip_zero_advantage_groups } });
      const rollouts = await engine.generate(prompts, 4, SHORT);
      const reward = Float32Array.from({ length: 16 }, (_, row) => (row < 8 ? 1 : row % 3));
      const trajectories = await engine.advantages(rollouts, { reward, breakdown: {} }, {});
      gradients.push((await engine.inspectGradients(trajectories)).get("lm_head.weight")!.data);
      const stats = await engine.update(trajectories);
      expect(stats.skipped_completions).toBe(skip_zero_advantage_groups ? 8 : 0);
      await engine.close();
    }
    expect(maxAbsDiff(gradients[0]!, gradients[1]!)).toBeLessThan(1e-6);
    expect(Math.max(...gradients[0]!.map(Math.abs))).toBeGreaterThan(1e-4);
  });

  test.each([
    ["train_vision_tower", /^visual\.(?!merger)/],
    ["train_connector", /^visual\.merger/],
    ["train_language_model", /^(model|lm_head)\./],
  ] as const)("%s alone changes its tensors and no other", async (part, names) => {
    const trainable = { train_vision_tower: false, train_connector: false, train_language_model: false, [part]: true };
    const { engine, prompts } = await open({ trainable });
    const folder = mkdtempSync(join(tmpdir(), "sightloop-"));
    try {
      const rollouts = await engine.generate(prompts, 4, sampling({ max_completion_tokens: 5 }));
      await engine.update(await learnable(engine, rollouts));
      await engine.saveModel(folder);
      const before = new SafetensorsFile(join(family.checkpoint, "model.safetensors"));
      const after = new SafetensorsFile(join(folder, "model.safetensors"));
      for (const name of before.names) {
        const same = maxAbsDiff(before.get(name).data as Float32Array, after.get(name).data as Float32Array) === 0;
        expect(same, name).toBe(!names.test(name));
      }
    } finally {
      await engine.close();
      rmSync(folder, { recursive: true });
    }
  });

  test("state saved and restored elsewhere continues bit for bit", async () => {
    const folder = mkdtempSync(join(tmpdir(), "sightloop-"));
    const model = async (engine: Engine, name: string) => {
      await engine.saveState(folder);
      return readFileSync(join(folder, name));
    };
    const { engine, prompts } = await open();
    const next = async (engine: Engine, step: number) => {
      const rollouts = await engine.generate(prompts, 4, sampling({ max_completion_tokens: 7, step }));
      return engine.update(await learnable(engine, rollouts));
    };
    try {
      await next(engine, 0);
      await engine.saveState(folder);
      const { engine: resumed } = await open();
      await resumed.loadState(folder);
      expect(untimed(await next(resumed, 1))).toEqual(untimed(await next(engine, 1)));
      for (const name of ["model.safetensors", "optimizer.safetensors"])
        expect((await model(resumed, name)).equals(await model(engine, name)), name).toBe(true);
      await resumed.close();
    } finally {
      await engine.close();
      rmSync(folder, { recursive: true });
    }
  });
});

test("Arrow columns stay readable after close, under garbage collection", async () => {
  setFlagsFromString("--expose_gc");
  const collect = runInNewContext("gc") as () => void;
  const { engine, prompts } = await open();
  const rollouts = await engine.generate(prompts, 4, sampling());
  const before = [tokens(rollouts), [...floats(rollouts, "rollout_logprobs")]];
  for (let i = 0; i < 20; i++) await engine.generate(prompts, 4, sampling({ seed: i }));
  await engine.close();
  for (let i = 0; i < 5; i++) {
    collect();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  expect([tokens(rollouts), [...floats(rollouts, "rollout_logprobs")]]).toEqual(before);
  await expect(engine.memory()).rejects.toThrow("closed");
});
