import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { stringLists } from "../../../../src/batches/columns.js";
import type { PromptBatch } from "../../../../src/batches/prompt.js";
import type { Sample } from "../../../../src/batches/sample.js";
import type { DecodedImage, Engine, ImageGrid, PreparedImage } from "../../../../src/engine/engine.js";
import { draw } from "../../../../src/pipeline/draw.js";
import { ImagesAhead } from "../../../../src/pipeline/data/images-ahead.js";
import { loadProcessor, type Processor } from "../../../../src/pipeline/data/processor.js";
import { PromptStream } from "../../../../src/pipeline/data/stream.js";
import { encodePng } from "../../../../src/datasets/fashion-grid/png.js";
import { alone, type Ranks } from "../../../../src/ranks/ranks.js";

const fixtures = fileURLToPath(new URL("../../../fixtures", import.meta.url));
let processor: Processor;
let folder: string;
beforeAll(async () => {
  processor = await loadProcessor(join(fixtures, "qwen2_5_vl", "checkpoint"));
  folder = mkdtempSync(join(tmpdir(), "sightloop-ahead-"));
  for (let i = 0; i < 12; ++i) writeFileSync(join(folder, `${i}.png`), encodePng(new Uint8Array(48).fill(i), 4, 4));
});
afterAll(() => rmSync(folder, { recursive: true }));

const gridOf = (id: string): ImageGrid => ({ id, image_grid_thw: [1, 2, 2], num_tokens: 1 });

/** Tells what came to it when it was asked for, and what ahead. */
class FakeEngine {
  readonly held = new Map<string, ImageGrid>();
  readonly added: string[] = [];
  readonly prepared: string[] = [];
  readonly cuts: boolean[] = [];
  grid: ImageGrid["image_grid_thw"] = [1, 2, 2];
  hold: Promise<void> = Promise.resolve();
  /** Optimizer steps so far. */
  steps = 0;
  get engine(): Engine {
    return this as unknown as Engine;
  }
  imageGrid(id: string) {
    return this.held.get(id);
  }
  async addImages(images: readonly DecodedImage[]) {
    this.added.push(...images.map(({ id }) => id));
    return images.map(({ id }) => this.keep(gridOf(id)));
  }
  async prepareImages(images: readonly DecodedImage[], cut: boolean) {
    await this.hold;
    this.prepared.push(...images.map(({ id }) => id));
    this.cuts.push(cut);
    return images.map(
      ({ id }) => ({ grid: { ...gridOf(id), image_grid_thw: this.grid }, prepared: {} }) as PreparedImage,
    );
  }
  async addPrepared(images: readonly PreparedImage[]) {
    for (const { grid } of images) this.keep(grid);
  }
  async updateOrder(groups: number, later: number) {
    return Int32Array.from({ length: groups }, (_, i) => (i + this.steps + later) % groups);
  }
  private keep(grid: ImageGrid): ImageGrid {
    this.held.set(grid.id, grid);
    return grid;
  }
}

let fake: FakeEngine;
let controller: AbortController;
let ahead: ImagesAhead;
let reads: number[];
const unhandled: unknown[] = [];
process.on("unhandledRejection", (reason) => unhandled.push(reason));
beforeEach(() => {
  [fake, controller, reads] = [new FakeEngine(), new AbortController(), []];
  const { image_processor } = processor;
  ahead = new ImagesAhead(fake, {
    image_processor,
    cut_bytes: 2 ** 29,
    known_images: new Map(),
    signal: controller.signal,
  });
});

const sampleOf = (images: Sample["images"], i: number): Sample => ({ id: `s${i}`, question: "?", answer: "", images });
const samples = (images: readonly Sample["images"][]) => ({
  length: images.length,
  get: async (i: number) => {
    reads.push(i);
    return sampleOf(images[i]!, i);
  },
});
const files = (count: number, changed: Readonly<Record<number, string>> = {}) =>
  Array.from({ length: count }, (_, i) => [{ path: join(folder, changed[i] ?? `${i}.png`) }]);
const drawing = (stream: PromptStream, count: number, with_ahead = true) =>
  draw(fake.engine, processor, stream, count, {
    ...{ ranks: alone, max_prompt_tokens: 100, known_images: new Map<string, string>(), signal: controller.signal },
    ahead: with_ahead ? { images: ahead, prompts_per_step: count, optimizer_steps_per_step: 1 } : undefined,
  });
const idsOf = (prompts: PromptBatch | undefined): readonly (readonly string[])[] => stringLists(prompts!, "image_ids");

describe("the images of the next step", () => {
  test("are there when it begins, and the prompts are the same", async () => {
    const stream = new PromptStream(samples(files(12)), { seed: 0 });
    const drawn = [await drawing(stream, 4), await drawing(stream, 4), await drawing(stream, 4)];
    expect(fake.added).toHaveLength(4);
    await ahead[Symbol.asyncDispose]();
    expect(reads).toHaveLength(16); // each step's once, and the first of the second epoch
    const plain = new PromptStream(samples(files(12)), { seed: 0 });
    fake = new FakeEngine();
    for (const step of drawn) {
      const expected = await drawing(plain, 4, false);
      expect(idsOf(step?.prompts)).toEqual(idsOf(expected?.prompts));
      expect(step?.stream_end).toBe(expected?.stream_end);
    }
  });

  test("that a sample brings with it are hashed once", async () => {
    const bytes = (i: number) => [{ bytes: encodePng(new Uint8Array(48).fill(i), 4, 4) }];
    const stream = new PromptStream(samples([0, 1, 2, 3].map(bytes)), { seed: 0 });
    await drawing(stream, 2);
    await drawing(stream, 2);
    expect([fake.added.length, fake.prepared.length]).toEqual([2, 2]);
  });

  test("do not move the cursor", async () => {
    const stream = new PromptStream(samples(files(12)), { seed: 0 });
    await drawing(stream, 4);
    await ahead.deliver();
    expect(stream.cursor).toEqual({ drawn: 4 });
  });

  test("are this rank's own, in the order of the next update", async () => {
    const engines = [new FakeEngine(), new FakeEngine()];
    const images = engines.map((engine) => {
      const options = {
        image_processor: processor.image_processor,
        cut_bytes: 2 ** 29,
        known_images: new Map<string, string>(),
      };
      return new ImagesAhead(engine, { ...options, signal: controller.signal });
    });
    const streams = engines.map(() => new PromptStream(samples(files(12)), { seed: 0 }));
    const ranks = twoRanks();
    for (let step = 0; step < 2; ++step) {
      for (const engine of engines) engine.steps = step;
      await Promise.all(
        ranks.map((rank, i) =>
          draw(engines[i]!.engine, processor, streams[i]!, 4, {
            ...{ ranks: rank, max_prompt_tokens: 100, known_images: new Map<string, string>() },
            ahead: { images: images[i]!, prompts_per_step: 4, optimizer_steps_per_step: 1 },
          }),
        ),
      );
    }
    await Promise.all(images.map((one) => one[Symbol.asyncDispose]()));
    for (const { added, prepared } of engines) {
      expect(added).toHaveLength(2); // of the first step
      expect(prepared.slice(0, 2)).toHaveLength(2);
    }
    expect(new Set(engines.flatMap(({ prepared }) => prepared.slice(0, 2))).size).toBe(4);
  });

  test("are cut into patches up to a limit", async () => {
    fake.grid = [1, 400, 400]; // 188 MB of patches each
    ahead.begin(async () => new PromptStream(samples(files(12)), { seed: 0 }).next(12));
    await ahead.deliver();
    expect(fake.cuts).toEqual([true, false]);
  });
});

describe("what goes wrong in the next step", () => {
  const bad = { 7: "bad.png", 5: "gone.png" };
  test("is told when it begins, in the same words, and nothing before", async () => {
    writeFileSync(join(folder, "bad.png"), "no image");
    for (const changed of [{ 7: bad[7] }, { 5: bad[5] }, bad]) {
      const errors = [];
      for (const with_ahead of [true, false]) {
        const stream = new PromptStream(samples(files(8, changed)), { seed: 0 });
        const bad_step = await stepOf(stream, changed);
        const fresh = new PromptStream(samples(files(8, changed)), { seed: 0, cursor: { drawn: bad_step } });
        await drawing(fresh, 4, with_ahead).catch(() => {});
        errors.push(await drawing(fresh, 4, with_ahead).then(() => undefined, String));
      }
      expect(errors[0]).toBeDefined();
      expect(errors[0]).toBe(errors[1]);
    }
    expect(unhandled).toEqual([]);
  });

  test("an interrupt ends it", async () => {
    let release = (): void => {};
    fake.hold = new Promise((resolve) => (release = resolve));
    const stream = new PromptStream(samples(files(12)), { seed: 0 });
    await drawing(stream, 4);
    controller.abort(new Error("stop"));
    const ended = ahead[Symbol.asyncDispose]();
    release();
    await ended;
    await expect(drawing(stream, 4)).rejects.toThrow("stop");
    expect(unhandled).toEqual([]);
  });

  test("an engine that is closed is no failure of its own", async () => {
    fake.hold = Promise.reject(new Error("the engine is closed"));
    fake.hold.catch(() => {});
    const stream = new PromptStream(samples(files(12)), { seed: 0 });
    await drawing(stream, 4);
    await ahead[Symbol.asyncDispose]();
    expect(unhandled).toEqual([]);
  });
});

/** A cursor from which the second step of 4 is one with a changed file. */
async function stepOf(stream: PromptStream, changed: Readonly<Record<number, string>>): Promise<number> {
  const order = (await stream.next(8)).map(({ sample }) => Number(sample.id.slice(1)));
  const first = order.findIndex((i) => i in changed);
  return first < 4 ? 8 - 4 : 0;
}

/** Two ranks in one process. */
function twoRanks(): readonly Ranks[] {
  let waiting: { readonly value: unknown; readonly resolve: (all: unknown[]) => void }[] = [];
  const agree = (rank: number) => (outcome: { readonly value?: unknown }) =>
    new Promise((resolve) => {
      waiting[rank] = { value: outcome.value, resolve };
      if (waiting.filter((one) => one !== undefined).length < 2) return;
      const both = waiting;
      waiting = [];
      for (const one of both) one.resolve(both.map(({ value }) => value));
    });
  return [0, 1].map((rank): Ranks => ({ ...alone, rank, world_size: 2, agree: agree(rank) as never }));
}
