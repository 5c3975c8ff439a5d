/** Images that are resized and cut beside the engine, against those that it resizes itself. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { listValues } from "../../src/batches/columns.js";
import { promptBatch } from "../../src/batches/prompt.js";
import type { DecodedImage, Engine } from "../../src/engine/engine.js";
import { ALL_PARTS, openTestEngine, sampling } from "../helpers/engine.js";
import { families } from "../helpers/fixtures.js";

const { checkpoint } = families().find(({ name }) => name === "qwen2_5_vl")!;
const frozen = { ...ALL_PARTS, train_vision_tower: false, train_connector: false };
const opened: Engine[] = [];
const open = async (trainable = frozen): Promise<Engine> => {
  const { engine } = await openTestEngine(checkpoint, { threads: 1, trainable, with_reference: false });
  opened.push(engine);
  return engine;
};
afterAll(() => Promise.all(opened.map((engine) => engine.close())));

const picture = (id: string, height: number, width: number): DecodedImage => ({
  ...{ id, height, width },
  rgb: Uint8Array.from({ length: 3 * height * width }, (_, i) => ((i * i) >> 3) % 251),
});
const pictures = [picture("a", 61, 90), picture("b", 112, 56)];

/** What a rollout over both pictures comes to, and the images' memory before and after it. */
async function sampled(engine: Engine) {
  const ids = pictures.flatMap(({ id }) => [5, ...new Array<number>(engine.imageGrid(id)!.num_tokens).fill(1012), 6]);
  const image_ids = pictures.map(({ id }) => id);
  const prompts = promptBatch([{ prompt_id: 0, sample_id: "0", token_ids: Int32Array.from(ids), image_ids }]);
  const { image_cache_bytes: before } = await engine.memory();
  const batch = await engine.generate(prompts, 3, sampling());
  const { image_cache_bytes: after } = await engine.memory();
  return { logprobs: listValues<Float32Array>(batch, "rollout_logprobs").values, before, after };
}

describe.each([true, false])("cut ahead: %s", (cut) => {
  test.each([frozen, ALL_PARTS])("the same bits, %j", async (trainable) => {
    const [plain, ahead] = [await open(trainable), await open(trainable)];
    const grids = await plain.addImages(pictures);
    const prepared = await ahead.prepareImages(pictures, cut);
    expect(prepared.map(({ grid }) => grid)).toEqual(grids);
    expect(ahead.imageGrid("a")).toBeUndefined();
    await ahead.addPrepared(prepared);
    const [expected, found] = [await sampled(plain), await sampled(ahead)];
    expect(found.logprobs).toEqual(expected.logprobs);
    expect(expected.logprobs.length).toBeGreaterThan(10);
    const patch_bytes = grids.reduce((sum, { num_tokens }) => sum + num_tokens * 4 * 3 * 2 * 14 * 14 * 4, 0);
    expect(found.before - expected.before).toBe(cut ? patch_bytes : 0);
    expect(found.after - expected.after).toBe(cut && trainable === ALL_PARTS ? patch_bytes : 0);
  });
});

describe("an engine", () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await open();
  });
  test("takes an image that it holds already, and each prepared one once", async () => {
    const prepared = await engine.prepareImages(pictures, true);
    await engine.addImages(pictures);
    await engine.addPrepared(prepared);
    await expect(engine.addPrepared(prepared)).rejects.toThrow("was given to an engine before");
  });
  test("refuses pixels that are no image, by name", async () => {
    const wrong = { ...pictures[0]!, height: 3 };
    await expect(engine.prepareImages([wrong], true)).rejects.toThrow("image a");
    await expect(engine.prepareImages([], true)).resolves.toEqual([]);
  });
  test("is closed in the midst of it", async () => {
    const closing = await open();
    const under_way = closing.prepareImages([picture("large", 2000, 2000)], true);
    await closing.close();
    expect((await under_way)[0]!.grid.id).toBe("large");
    await expect(closing.prepareImages(pictures, true)).rejects.toThrow("closed");
    const never = await open();
    await never.close();
    await expect(never.prepareImages(pictures, true)).rejects.toThrow("closed");
  });
});
