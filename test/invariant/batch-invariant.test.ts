/**
 * `deterministic: batch_invariant`: a completion's ids and log-probs are the same bits in any company, and the same bits
 * whether sampled, scored or trained on. Random models, prompts with images and completions; nothing here has a tolerance.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { listValues } from "../../src/batches/columns.js";
import { promptBatch, type PromptRow } from "../../src/batches/prompt.js";
import type { RolloutBatch } from "../../src/batches/rollout.js";
import type { Engine, EngineOptions, SamplingOptions } from "../../src/engine/engine.js";
import { openTestEngine, sampling } from "../helpers/engine.js";
import { addFixtureImages, casePrompts, families } from "../helpers/fixtures.js";
import { below, pick, randomOf } from "../helpers/mutate.js";
import { randomImage, randomModel } from "../helpers/random-model.js";
import { randomPrompts, randomRows, words } from "../helpers/random-rows.js";
import { completionValues, rolloutOf, type Row } from "../helpers/trajectories.js";

/** SIGHTLOOP_RANDOM_MODELS=100 looks further. */
const num_models = Number(process.env["SIGHTLOOP_RANDOM_MODELS"] ?? 2);
const root = mkdtempSync(join(tmpdir(), "sightloop-invariant-"));
afterAll(() => rmSync(root, { recursive: true }));

const floats = (batch: RolloutBatch, name = "rollout_logprobs") => listValues<Float32Array>(batch, name).values;
const tokens = (batch: RolloutBatch) => listValues<Int32Array>(batch, "token_ids").values;

const scored = async (engine: Engine, batch: RolloutBatch, options: { temperature?: number } = {}) =>
  listValues<Float32Array>(await engine.score(batch, "policy", options), "logprobs").values;

const scoredRows = async (engine: Engine, rows: readonly Row[]) =>
  completionValues(rows, await scored(engine, rolloutOf(rows)));

describe.each(Array.from({ length: num_models }, (_, seed) => seed))("random model %d", (seed) => {
  const random = randomOf(seed + 4242);
  const folder = join(root, `${seed}`);
  const images = Array.from({ length: 3 }, (_, i) => randomImage(random, `image ${i}`));
  const engines: Engine[] = [];
  let engine: Engine;
  let prompts: readonly PromptRow[];

  async function open(overrides: Partial<EngineOptions> = {}): Promise<Engine> {
    const opened = (await openTestEngine(folder, { deterministic: "batch_invariant", threads: 1, ...overrides }))
      .engine;
    await opened.addImages(images);
    engines.push(opened);
    return opened;
  }
  const options = (overrides: Partial<SamplingOptions> = {}) =>
    sampling({ max_completion_tokens: 40, seed, stop_token_ids: words(randomOf(seed), 12), ...overrides });

  beforeAll(async () => {
    await randomModel(random, folder);
    engine = await open();
    prompts = await randomPrompts(random, engine, images);
  });
  afterAll(() => Promise.all(engines.map((each) => each.close())));

  test("sampled: alone = with neighbours, any order, any slots and blocks, packed weights or not, any threads", async () => {
    const alone: RolloutBatch[] = [];
    const one_slot = options({ max_concurrent_completions: 1 });
    for (const prompt of prompts) alone.push(await engine.generate(promptBatch([prompt]), 5, one_slot));
    const expected = { ids: alone.map(tokens), logprobs: alone.map((batch) => floats(batch)) };
    const flat = (parts: readonly ArrayLike<number>[]) => parts.flatMap((part) => Array.from(part));
    const others = await open({ threads: 2, pack_weights: false, activation_checkpointing: true });
    for (const [max_concurrent_completions, kv_block_size, which] of [
      [64, 16, engine],
      [2, 1 + below(random, 40), engine],
      [3 + below(random, 9), 1 + below(random, 40), others],
    ] as const) {
      const order = prompts.map((prompt, i) => ({ prompt, i, key: random() })).sort((a, b) => a.key - b.key);
      const batch = promptBatch(order.map(({ prompt }) => prompt));
      const together = await which.generate(batch, 5, options({ max_concurrent_completions, kv_block_size }));
      expect(Array.from(tokens(together))).toEqual(flat(order.map(({ i }) => expected.ids[i]!)));
      expect(Array.from(floats(together))).toEqual(flat(order.map(({ i }) => expected.logprobs[i]!)));
    }
  });

  test("several settings of one session = each alone, and each prompt is computed once", async () => {
    const settings = [
      { temperature: 1, top_k: 0, top_p: 1, completions_per_prompt: 3 },
      { temperature: 0, top_k: 0, top_p: 1, completions_per_prompt: 1 },
      { temperature: 0.6, top_k: 0, top_p: 0.8, completions_per_prompt: 2 },
    ];
    type Drawn = Readonly<Record<string, { ids: number[]; logprobs: number[] }>>;
    async function drawn(overrides: Partial<SamplingOptions>, count: number, first: number): Promise<Drawn> {
      const session = engine.rollout(options({ max_concurrent_completions: 7, ...overrides }));
      await session.add(promptBatch([...prompts]), count);
      const found: Record<string, { ids: number[]; logprobs: number[] }> = {};
      for await (const { prompt_id, sample_index, token_ids, rollout_logprobs } of session)
        found[`${prompt_id} ${first + sample_index}`] = { ids: [...token_ids], logprobs: [...rollout_logprobs] };
      await session.finish();
      expect(session.timings!.prefilled_prompts).toBe(prompts.length);
      return found;
    }
    let first = 0;
    let apart: Drawn = {};
    for (const { completions_per_prompt, ...setting } of settings) {
      apart = { ...apart, ...(await drawn(setting, completions_per_prompt, first)) };
      first += completions_per_prompt;
    }
    expect(Object.keys(apart)).toHaveLength(6 * prompts.length);
    expect(await drawn({ settings }, first, 0)).toEqual(apart);
    const session = engine.rollout(options({ settings }));
    await expect(session.add(promptBatch([...prompts]), first + 1)).rejects.toThrow(/settings ask for 6 together/);
    await session[Symbol.asyncDispose]();
  });

  test("sampled = scored by policy and reference, at other temperatures and with a filter too", async () => {
    for (const overrides of [{}, { temperature: 0.6 }, { temperature: 1.3, top_k: 20 }]) {
      const rollouts = await engine.generate(promptBatch([...prompts]), 4, options(overrides));
      expect(await scored(engine, rollouts, overrides)).toEqual(floats(rollouts));
      const reference = await engine.score(rollouts, "reference", overrides);
      expect(listValues<Float32Array>(reference, "logprobs").values).toEqual(floats(rollouts));
    }
    const greedy = await engine.generate(promptBatch([...prompts]), 1, options({ temperature: 0 }));
    expect(await scored(engine, greedy)).toEqual(floats(greedy));
  });

  test("scored: alone = packed, in any order, any cut into microbatches, the prompt shared or repeated", async () => {
    const rows = randomRows(random, prompts);
    const packed = await scoredRows(engine, rows);
    expect(Math.min(...packed.flatMap((row) => [...row]))).toBeLessThan(-1);
    for (const [i, row] of rows.entries()) expect(await scoredRows(engine, [row])).toEqual([packed[i]!]);
    for (const tokens_per_microbatch of [1, 30 + below(random, 60)])
      expect(await scoredRows(await open({ tokens_per_microbatch, threads: 2 }), rows)).toEqual(packed);
    const order = rows.map((row, i) => ({ row, i, key: random() })).sort((a, b) => a.key - b.key);
    const shuffled = order.map(({ row }, at) => ({ ...row, prompt_id: pick(random, [row.prompt_id, 1000 + at]) }));
    expect(await scoredRows(engine, shuffled)).toEqual(order.map(({ i }) => packed[i]!));
  });

  test("trained on = sampled: the ratio of the first minibatch is exactly 1, its KL exactly 0", async () => {
    for (const tokens_per_microbatch of [4096, 50]) {
      const learner = await open({ tokens_per_microbatch });
      const rollouts = await learner.generate(promptBatch([...prompts]), 4, options());
      const reward = Float32Array.from({ length: rollouts.numRows }, (_, row) => (row * 7) % 5);
      const reference = await learner.score(rollouts, "reference");
      const stats = await learner.update(await learner.advantages(rollouts, { reward, breakdown: {} }, { reference }));
      expect(stats).toMatchObject({ ratio_max: 1, kl_old_policy: 0, kl_reference: 0, clip_fraction: 0 });
      expect(stats.grad_norm).toBeGreaterThan(0);
      // and again with the weights that it has now: what was packed before is not used
      const next = await learner.generate(promptBatch([...prompts]), 4, options({ step: 1 }));
      expect(await scored(learner, next)).toEqual(floats(next));
      expect(await scored(learner, rollouts)).not.toEqual(floats(rollouts));
    }
  });
});

describe.each(families().filter(({ name }) => name.startsWith("qwen2")))("$name", (family) => {
  test.each([true, false])("sampled = scored, alone or together, vision tower trained: %s", async (vision) => {
    const trainable = { train_vision_tower: vision, train_connector: vision, train_language_model: true };
    const { engine } = await openTestEngine(family.checkpoint, { trainable, deterministic: "batch_invariant" });
    try {
      const images = await addFixtureImages(engine, family.reference.image_names);
      const prompts = casePrompts(family, "batch", images);
      const rollouts = await engine.generate(prompts, 3, sampling({ max_completion_tokens: 19 }));
      expect(await scored(engine, rollouts)).toEqual(floats(rollouts));
      const { offsets, values } = listValues<Int32Array>(prompts, "token_ids");
      const lists = prompts.getChild("image_ids")!;
      const logprobs: number[] = [];
      for (let row = 0; row < prompts.numRows; row++) {
        const image_ids = [...(lists.get(row) as Iterable<string>)];
        const token_ids = values.slice(offsets[row], offsets[row + 1]);
        const alone = promptBatch([{ prompt_id: row, sample_id: `${row}`, token_ids, image_ids }]);
        logprobs.push(...floats(await engine.generate(alone, 3, sampling({ max_completion_tokens: 19 }))));
      }
      expect(logprobs).toEqual(Array.from(floats(rollouts)));
    } finally {
      await engine.close();
    }
  });
});

test("bfloat16 is refused, with what to do", async () => {
  const { checkpoint } = families().find(({ name }) => name === "qwen2_vl")!;
  await expect(openTestEngine(checkpoint, { deterministic: "batch_invariant", dtype: "bfloat16" })).rejects.toThrow(
    /batch_invariant needs dtype float32/,
  );
});
