import { writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { generate } from "../../src/cli/generate.js";
import { stringLists } from "../../src/batches/columns.js";
import { encodePng } from "../../src/datasets/fashion-grid/png.js";
import type { UserError } from "../../src/errors.js";
import { buildPrompts } from "../../src/pipeline/data/prompts.js";
import { ALL_PARTS, openTestEngine, sampling } from "../helpers/engine.js";
import { workspace } from "./support.js";

const place = workspace();
const rejection = (work: Promise<unknown>): Promise<UserError> =>
  work.then(
    () => expect.fail("did not reject"),
    (error: unknown) => error as UserError,
  );

test("each verb says what was wrong with what it was given", async () => {
  const { engine, processor } = await openTestEngine(place.model, { with_reference: false, threads: 1 });
  const sample = { id: "a", question: "total?", answer: "5", images: [] };
  const prompts = await buildPrompts(engine, processor, [{ prompt_id: 0, sample }], { max_prompt_tokens: 100 });
  const rollouts = await engine.generate(prompts, 2, sampling({ max_completion_tokens: 2 }));
  expect((await rejection(engine.score(rollouts, "reference"))).code).toBe("BATCH_INVALID");
  const options = sampling({ max_completion_tokens: Number.NaN });
  expect((await rejection(engine.generate(prompts, 2, options))).code).toBe("CONFIG_INVALID");
  for (const save of [engine.saveModel(place.path("none")), engine.saveState(place.path("none"))])
    expect(await rejection(save)).toMatchObject({
      code: "FILE_NOT_WRITABLE",
      message: expect.stringContaining(place.path("none")) as string,
    });
  expect((await rejection(engine.loadState(place.path("none")))).code).toBe("CHECKPOINT_INVALID");
  const session = engine.rollout(sampling({ max_completion_tokens: 2 }));
  await session.add(prompts, 2);
  const [late] = await Promise.all([rejection(session.finish()), engine.close()]); // asked for before and after it closes
  expect(late.code).toBe("ENGINE_CLOSED");
  expect((await rejection(engine.score(rollouts, "policy"))).code).toBe("ENGINE_CLOSED");
  await session[Symbol.asyncDispose]();
  await engine.close();
});

test.each([
  ["learns: again in every session", ALL_PARTS, [2, 2]],
  ["is frozen: once", { ...ALL_PARTS, train_vision_tower: false, train_connector: false }, [2, 0]],
])("features of images are computed, where the vision tower %s", async (_, trainable, expected) => {
  const { engine, processor } = await openTestEngine(place.model, { trainable, with_reference: false, threads: 1 });
  await using _engine = engine;
  const samples = [0, 1, 1].map((image, prompt_id) => {
    const bytes = encodePng(new Uint8Array(56 * 56 * 3).fill(image), 56, 56);
    return { prompt_id, sample: { id: `${prompt_id}`, question: "total?", answer: "5", images: [{ bytes }] } };
  });
  const prompts = await buildPrompts(engine, processor, samples, { max_prompt_tokens: 100 });
  const computed: number[] = [];
  for (let i = 0; i < 2; i++) {
    await using session = engine.rollout(sampling({ max_completion_tokens: 1 }));
    await session.add(prompts, 1);
    await session.finish();
    computed.push(session.timings!.vision_images);
  }
  expect(computed).toEqual(expected);
});

test("the image cache stays within its bytes, step after step", async () => {
  const image_cache_bytes = 50_000; // 5 grids of 56 x 56 pixels, without their features
  const { engine, processor } = await openTestEngine(place.model, { image_cache_bytes, threads: 1 });
  await using _ = engine;
  const ids: string[] = [];
  for (let step = 0; step < 4; step++) {
    const samples = Array.from({ length: 8 }, (_, i) => {
      const bytes = encodePng(new Uint8Array(56 * 56 * 3).fill(8 * step + i), 56, 56);
      return { prompt_id: i, sample: { id: `${i}`, question: "total?", answer: "5", images: [{ bytes }] } };
    });
    const prompts = await buildPrompts(engine, processor, samples, { max_prompt_tokens: 100 });
    await engine.generate(prompts, 1, sampling({ max_completion_tokens: 1 }));
    ids.push(...stringLists(prompts, "image_ids").flat());
    await engine.pruneImages([]);
    expect((await engine.memory()).image_cache_bytes).toBeLessThanOrEqual(image_cache_bytes);
  }
  const held = ids.filter((id) => engine.imageGrid(id) !== undefined);
  expect(new Set(ids).size).toBe(32);
  expect(held.length).toBeLessThan(8);
  expect(held).toEqual(ids.slice(ids.length - held.length)); // the latest ones
});

test("Ctrl-C before the first token is an interrupt, not a bug", async () => {
  writeFileSync(place.path("image.png"), encodePng(new Uint8Array(56 * 56 * 3).fill(90), 56, 56));
  const before = new Set(process.listeners("SIGINT"));
  const generating = rejection(
    generate({
      ...{ model: place.model, image: [place.path("image.png")], question: "total?", "system-prompt": undefined },
      ...{
        "assistant-prefix": "",
        temperature: 0,
        "top-p": 1,
        "top-k": 0,
        "max-completion-tokens": 4,
        adapter: undefined,
      },
      ...{ seed: 0, threads: 1, json: true, dtype: "float32", device: "cpu", deterministic: "run" },
    }),
  );
  for (const listener of process.listeners("SIGINT")) if (!before.has(listener)) listener("SIGINT");
  expect((await generating).code).toBe("INTERRUPTED");
  expect(process.listeners("SIGINT")).toHaveLength(before.size);
});
