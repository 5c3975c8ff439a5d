import { writeFileSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import { permutation } from "../../src/pipeline/data/permutation.js";
import { hashes, reproducibleMetrics, type Rows, smallConfig, trainHere, workspace, writeRows } from "./support.js";

const place = workspace();
let rows: Rows;
beforeAll(async () => {
  rows = await writeRows(place.folder);
});

const config = (name: string, changes: object = {}) =>
  smallConfig(place.model, place.path(name), {
    ...{ datasets: { train: rows }, evaluate: {}, checkpoint: { every_steps: 1 }, ...changes },
  });
const results = async (name: string) => ({
  files: hashes(place.path(name), /(^|\/)(config\.yaml|manifest.*\.json|metrics\.jsonl|cursor\.json)$/),
  metrics: await reproducibleMetrics(place.path(name)),
});

describe("images prepared a step ahead", () => {
  test("change nothing, bit for bit", async () => {
    const plain = await trainHere(config("plain", { prefetch_images: false }));
    const ahead = await trainHere(config("ahead", { prefetch_images: true }));
    expect([plain.error, ahead.error]).toEqual([undefined, undefined]);
    expect(await results("ahead")).toEqual(await results("plain"));
  });

  test("nor where prompts without a difference are replaced within the step", async () => {
    const dapo = { algorithm: { name: "dapo", dynamic_sampling: { max_prompts_factor: 2 } } };
    for (const prefetch_images of [false, true]) {
      const { error } = await trainHere(config(`dapo-${prefetch_images}`, { ...dapo, prefetch_images }));
      expect(error).toBeUndefined();
    }
    expect(await results("dapo-true")).toEqual(await results("dapo-false"));
  });

  test("stopped while the next step's are prepared, and gone on with", async () => {
    const controller = new AbortController();
    const first = await trainHere(config("stopped", { prefetch_images: true }), {
      signal: controller.signal,
      onEvent: (event) => (event.type === "progress" && event.step === 3 ? controller.abort() : undefined),
    });
    expect(first.error).toMatchObject({ code: "INTERRUPTED" });
    const second = await trainHere(config("stopped", { prefetch_images: true }), { resume: true });
    expect(second.error).toBeUndefined();
    expect(await results("stopped")).toEqual(await results("plain"));
  });

  test("a damaged one is told when its step begins; what was learned until then is kept", async () => {
    const count = 40;
    const order = permutation(count, 0, 0);
    const planned = Array.from({ length: 16 }, (_, i) => Math.floor((i * count) / 16)); // looked at before the run
    const at = order.findIndex((row, position) => position >= 3 && !planned.includes(row));
    const lines = Array.from({ length: count }, (_, i) => {
      const image = i === order[at] ? "damaged.png" : `${i % 10}.png`;
      return JSON.stringify({ id: `row-${i}`, question: "?", answer: "1", image });
    });
    writeFileSync(place.path("damaged.png"), "no image");
    writeFileSync(place.path("damaged.jsonl"), lines.join("\n"));
    const datasets = { train: { name: "jsonl", path: place.path("damaged.jsonl") } };
    for (const prefetch_images of [false, true]) {
      const { events, error } = await trainHere(config(`damaged-${prefetch_images}`, { datasets, prefetch_images }));
      expect(error).toMatchObject({
        code: "IMAGE_INVALID",
        message: expect.stringContaining(`row-${order[at]}`) as string,
      });
      expect(events.filter(({ type }) => type === "step")).toHaveLength(Math.floor(at / 3));
    }
    expect(await results("damaged-true")).toEqual(await results("damaged-false"));
  });
});
