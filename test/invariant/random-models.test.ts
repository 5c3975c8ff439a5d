/** What must not depend on how work is cut, ordered, shared or scheduled; on random models, prompts, images and completions. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { listValues } from "../../src/batches/columns.js";
import { promptBatch, type PromptRow } from "../../src/batches/prompt.js";
import type { RolloutBatch } from "../../src/batches/rollout.js";
import type { Activations, Engine, EngineOptions } from "../../src/engine/engine.js";
import { openTestEngine, sampling } from "../helpers/engine.js";
import { maxAbsDiff } from "../helpers/fixtures.js";
import { below, randomOf } from "../helpers/mutate.js";
import { randomImage, randomModel } from "../helpers/random-model.js";
import { randomPrompts, randomRows, words } from "../helpers/random-rows.js";
import { alignedFloats, completionValues, rolloutOf, type Row, trajectoriesOf } from "../helpers/trajectories.js";

/** SIGHTLOOP_RANDOM_MODELS=100 looks further. */
const num_models = Number(process.env["SIGHTLOOP_RANDOM_MODELS"] ?? 4);
const logprob_tolerance = 1e-4;
/** Relative to the largest element of a tensor's gradient. */
const gradient_tolerance = 2e-4;

const root = mkdtempSync(join(tmpdir(), "sightloop-random-"));
afterAll(() => rmSync(root, { recursive: true }));

const logprobs = async (engine: Engine, rows: readonly Row[]) =>
  completionValues(rows, listValues<Float32Array>(await engine.score(rolloutOf(rows), "policy"), "logprobs").values);

/** The gradient of these rows, every completion with advantage and old log-probs of its own. */
function gradient(engine: Engine, rows: readonly Row[], of: (row: Row) => number): Promise<Activations> {
  const flat = (value: (row: Row) => number) => alignedFloats(rows, (row) => value(rows[row]!));
  return engine.inspectGradients(
    trajectoriesOf(rows, {
      policy_logprobs: flat((row) => -5.9 - of(row) / 100),
      reference_logprobs: flat((row) => -5.8 + of(row) / 50),
      advantages: flat(of),
    }),
  );
}

function expectSame(actual: readonly Float32Array[], expected: readonly Float32Array[]): void {
  expect(actual.length).toBe(expected.length);
  actual.forEach((row, i) => expect(maxAbsDiff(row, expected[i]!)).toBeLessThan(logprob_tolerance));
}

function expectSameGradient(actual: Activations, expected: Activations): void {
  expect([...actual.keys()]).toEqual([...expected.keys()]);
  expect(actual.size).toBeGreaterThan(10);
  for (const [name, { data }] of expected) {
    const scale = Math.max(
      data.reduce((most, value) => Math.max(most, Math.abs(value)), 0),
      1e-5,
    );
    expect(maxAbsDiff(actual.get(name)!.data, data) / scale, name).toBeLessThan(gradient_tolerance);
  }
}

describe.each(Array.from({ length: num_models }, (_, seed) => seed))("random model %d", (seed) => {
  const random = randomOf(seed + 77);
  const folder = join(root, `${seed}`);
  const images = Array.from({ length: 3 }, (_, i) => randomImage(random, `image ${i}`));
  const engines: Engine[] = [];
  let engine: Engine;
  let prompts: readonly PromptRow[];
  let rows: readonly Row[];
  let sizes: string;
  const advantages = new Map<Row, number>();
  const advantageOf = (row: Row): number => advantages.get(row)!;

  async function open(overrides: Partial<EngineOptions> = {}): Promise<Engine> {
    const opened = (await openTestEngine(folder, { threads: 1, tokens_per_microbatch: 100_000, ...overrides })).engine;
    await opened.addImages(images);
    engines.push(opened);
    return opened;
  }

  beforeAll(async () => {
    ({ sizes } = await randomModel(random, folder));
    engine = await open();
    prompts = await randomPrompts(random, engine, images);
    rows = randomRows(random, prompts);
    for (const row of rows) advantages.set(row, 2 * random() - 1);
  });
  afterAll(() => Promise.all(engines.map((each) => each.close())));

  test("packed = alone, = any cut into microbatches, = any order", async () => {
    const packed = await logprobs(engine, rows);
    const whole = await gradient(engine, rows, advantageOf);
    expectSame((await Promise.all(rows.map((row) => logprobs(engine, [row])))).flat(), packed);
    for (const tokens_per_microbatch of [1, 30 + below(random, 60)]) {
      const cut = await open({ tokens_per_microbatch });
      expectSame(await logprobs(cut, rows), packed);
      expectSameGradient(await gradient(cut, rows, advantageOf), whole);
    }
    const order = rows.map((row, i) => ({ row, i, key: random() })).sort((a, b) => a.key - b.key);
    const shuffled = order.map(({ row }) => row);
    expectSame(
      await logprobs(engine, shuffled),
      order.map(({ i }) => packed[i]!),
    );
    expectSameGradient(await gradient(engine, shuffled, advantageOf), whole);
    expect(Math.max(...packed.map((row) => Math.max(...row))), sizes).toBeLessThanOrEqual(0);
  });

  test("a prompt that its completions share = the same prompt once for each, forward and gradient", async () => {
    const apart = rows.map((row, i) => ({ ...row, prompt_id: 1000 + i })); // another id is another prompt
    const alike = new Map(apart.map((row, i) => [row as Row, advantageOf(rows[i]!)]));
    expectSame(await logprobs(engine, apart), await logprobs(engine, rows));
    expectSameGradient(
      await gradient(engine, apart, (row) => alike.get(row)!),
      await gradient(engine, rows, advantageOf),
    );
  });

  test("continuous batching = one by one", async () => {
    const options = sampling({
      max_completion_tokens: 14,
      seed,
      stop_token_ids: words(random, 40),
      kv_block_size: 1 + below(random, 9),
    });
    const generate = (chosen: readonly PromptRow[], max_concurrent_completions: number) =>
      engine.generate(promptBatch([...chosen]), 3, { ...options, max_concurrent_completions });
    const values = (batches: readonly RolloutBatch[], name: string) =>
      batches.flatMap((batch) => [...listValues<Float32Array>(batch, name).values]);
    const alone = [];
    for (const prompt of prompts) alone.push(await generate([prompt], 1));
    for (const slots of [2, 5, 64]) {
      const together = await generate(prompts, slots);
      expect(values([together], "token_ids")).toEqual(values(alone, "token_ids"));
      expect(maxAbsDiff(values([together], "rollout_logprobs"), values(alone, "rollout_logprobs"))).toBeLessThan(
        logprob_tolerance,
      );
    }
    const scored = listValues<Float32Array>(await engine.score(alone[0]!, "policy"), "logprobs").values;
    expect(maxAbsDiff(values([alone[0]!], "rollout_logprobs"), scored)).toBeLessThan(logprob_tolerance);
  });
});
