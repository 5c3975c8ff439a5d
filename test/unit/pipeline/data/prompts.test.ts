import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { afterAll, beforeAll, expect, test } from "vitest";
import { listValues, stringLists, strings } from "../../../../src/batches/columns.js";
import type { Sample } from "../../../../src/batches/sample.js";
import type { DecodedImage, ImageGrid } from "../../../../src/engine/engine.js";
import { loadProcessor, type Processor } from "../../../../src/pipeline/data/processor.js";
import { buildPrompts } from "../../../../src/pipeline/data/prompts.js";

const fixtures = fileURLToPath(new URL("../../../fixtures", import.meta.url));
const photo = { path: join(fixtures, "images", "photo.jpg") };
const drawing = { path: join(fixtures, "images", "geometry.png") };
const limit = { max_prompt_tokens: 1000 };

let processor: Processor;
beforeAll(async () => {
  processor = await loadProcessor(join(fixtures, "qwen2_5_vl", "checkpoint"));
});

/** Holds images and gives each as many tokens as it has rows of 14 pixels. */
function fakeEngine() {
  const held = new Map<string, ImageGrid>();
  const calls: string[][] = [];
  return {
    calls,
    held,
    imageGrid: (id: string) => held.get(id),
    async addImages(images: readonly DecodedImage[]) {
      calls.push(images.map(({ id }) => id));
      for (const { id, height } of images)
        held.set(id, { id, image_grid_thw: [1, 2, 2], num_tokens: Math.ceil(height / 14) });
      return images.map(({ id }) => held.get(id)!);
    },
  };
}

const sample = (id: string, images: Sample["images"] = [], question = "Why?"): Sample => ({
  id,
  question,
  answer: "",
  images,
});
const stream = (...samples: readonly Sample[]) => samples.map((sample, i) => ({ prompt_id: 40 + i, sample }));

test("one row per sample, in order, images by content", async () => {
  const engine = fakeEngine();
  const batch = await buildPrompts(
    engine,
    processor,
    stream(sample("a", [photo, drawing]), sample("b"), sample("c", [photo])),
    limit,
  );
  const [ofPhoto, ofDrawing] = [...engine.held.keys()] as [string, string];
  expect(Array.from(batch.getChild("prompt_id")!, Number)).toEqual([40, 41, 42]);
  expect(strings(batch, "sample_id")).toEqual(["a", "b", "c"]);
  expect(stringLists(batch, "image_ids")).toEqual([[ofPhoto, ofDrawing], [], [ofPhoto]]);
  const { offsets, values } = listValues<Int32Array>(batch, "token_ids");
  const count = (row: number) =>
    values.subarray(offsets[row], offsets[row + 1]).filter((id) => id === processor.image_token_id).length;
  expect([count(0), count(1), count(2)]).toEqual([11 + 8, 0, 11]); // 150 and 112 pixels high
});

test("each content is decoded once, and a known file not even read again", async () => {
  const engine = fakeEngine();
  const folder = mkdtempSync(join(tmpdir(), "sightloop-prompts-"));
  const copy = { path: join(folder, "copy.jpg") };
  copyFileSync(photo.path, copy.path);
  const known_images = new Map<string, string>();
  const build = (...images: Sample["images"]) =>
    buildPrompts(engine, processor, stream(sample("a", images)), { ...limit, known_images });
  await build(photo, copy, photo);
  expect(engine.calls.flat().length).toBe(1);
  rmSync(folder, { recursive: true });
  await build(copy); // the file is gone, the engine holds the image
  expect(engine.calls.flat().length).toBe(1);
  const id = known_images.get(photo.path)!;
  engine.held.delete(id);
  await build(photo); // pruned: read and decoded again
  expect(engine.calls.flat()).toEqual([id, id]);
});

test("images may be bytes", async () => {
  const bytes = await sharp({ create: { width: 20, height: 30, channels: 3, background: "red" } })
    .png()
    .toBuffer();
  const engine = fakeEngine();
  await buildPrompts(engine, processor, stream(sample("a", [{ bytes }])), limit);
  expect(engine.calls.flat().length).toBe(1);
});

test("a signal that has aborted stops before the next images", async () => {
  const options = { ...limit, signal: AbortSignal.abort(new Error("stop")) };
  await expect(buildPrompts(fakeEngine(), processor, stream(sample("a", [photo])), options)).rejects.toThrow("stop");
});

test("errors name the sample", async () => {
  const folder = mkdtempSync(join(tmpdir(), "sightloop-prompts-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  const thin = { path: join(folder, "thin.png") };
  await sharp({ create: { width: 402, height: 2, channels: 3, background: "red" } })
    .png()
    .toFile(thin.path);
  const empty = { path: join(folder, "empty.png") };
  writeFileSync(empty.path, "");
  const table: readonly [Sample, object, string, string][] = [
    [
      sample("s1", [photo]),
      { max_prompt_tokens: 20 },
      "PROMPT_INVALID",
      'sample "s1": the prompt has 50 tokens (11 of images), over max_prompt_tokens 20',
    ],
    [
      sample("s2", [photo], "<image><image>"),
      {},
      "PROMPT_INVALID",
      'sample "s2": the question has 2 <image> markers, but the sample has 1 images',
    ],
    [
      sample("s3", [], "<|image_pad|>"),
      {},
      "PROMPT_INVALID",
      'sample "s3": the prompt has 1 image placeholders, but the sample has 0 images',
    ],
    [
      sample("s4", [thin]),
      {},
      "IMAGE_INVALID",
      `${thin.path} (sample "s4"): one side of the image may be at most 200 times the other, got 2 x 402`,
    ],
    [sample("s5", [empty]), {}, "IMAGE_INVALID", `${empty.path} (sample "s5"): the image is empty`],
    [
      sample("s6", [{ path: join(folder, "gone.png") }]),
      {},
      "FILE_NOT_FOUND",
      '(sample "s6"): there is no such image file',
    ],
  ];
  for (const [bad, options, code, message] of table)
    await expect(buildPrompts(fakeEngine(), processor, stream(bad), { ...limit, ...options })).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message) as string,
    });
});
