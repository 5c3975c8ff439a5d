import { expect, test } from "vitest";
import type { BenchOptions } from "../../../src/bench/bench.js";
import { flopsOf, phaseCosts } from "../../../src/bench/flops.js";
import { attainableRate, type Limits } from "../../../src/bench/limits.js";
import { type BenchResult, spread, summarize } from "../../../src/bench/result.js";
import type { LinearLayer, ModelShapes } from "../../../src/bench/shapes.js";
import type { StepTimes } from "../../../src/bench/step.js";
import { benchText, sweepText } from "../../../src/cli/bench-table.js";
import { manifest } from "../../../src/reports/manifest.js";

const layer = (name: string, inputs: number, outputs: number): LinearLayer => ({
  ...{ name, inputs, outputs, count: 1 },
});
const shapes: ModelShapes = {
  ...{ patch_layers: [], image_token_layers: [], token_layers: [layer("qkv", 4, 8)], head: layer("head", 4, 10) },
  vision_attention: { width: 1, full_blocks: 0, window_blocks: 0, window_side: 1 },
  attention: { width: 4, kv_width: 2, blocks: 1 },
};
const groups = [{ prompt_tokens: 5, image_tokens: 0, grids: [], completion_tokens: 4, num_completions: 3 }];
const at_once = { patches: 0, image_tokens: 0, prefill_tokens: 5, decode_slots: 3, microbatch_tokens: 14, head: 12 };
const costs = phaseCosts(shapes, groups, at_once, false);
/** Every product at 1 GFLOP/s, but the head's at a quarter of it. */
const limits: Limits = {
  gemm: Object.values(costs).flatMap(({ products }) =>
    products.map(({ product, rows, inputs, outputs }) => ({
      ...{ product, rows, inputs, outputs },
      flops_per_second: outputs === 10 ? 2.5e8 : 1e9,
    })),
  ),
  read_bytes_per_second: 1e10,
};
const times = (scale: number): StepTimes => ({
  ...{ images: 0, rollout: 4 * scale, vision: 0, prefill: scale, decode: 2 * scale, sampling: scale / 2 },
  ...{ score: scale, update: 3 * scale, forward: scale, backward: scale, optimizer: scale / 2, step: 9 * scale },
});
const steps = [times(2), times(1), times(3)];
const phases = summarize({ times: steps, groups, costs, limits, shapes, dtype: "float32", with_reference: true });

test("the limit weighs each product's rate by its operations", () => {
  const qkv = 2 * 14 * 4 * 8;
  const head = 2 * 12 * 4 * 10;
  expect(attainableRate(costs.score, limits)).toBeCloseTo((qkv + head) / (qkv / 1e9 + head / 2.5e8), 0);
});

test("rates follow from the median", () => {
  const update = phases.find(({ name }) => name === "update")!;
  expect(update.seconds).toEqual({ median: 6, min: 3, max: 9 });
  expect(update.tokens).toEqual({ prompt: 5, image: 0, completion: 12 });
  expect(update.tokens_per_second.completion).toBe(2);
  expect(update.flops_per_second).toBe(flopsOf(costs.update) / 6);
  expect(update.share_of_limit).toBeCloseTo(flopsOf(costs.update) / 6 / attainableRate(costs.update, limits)!, 12);
});

test("without images there is no phase of them, without a reference none that scores", () => {
  expect(phases.map(({ name }) => name)).not.toContain("vision");
  const without = summarize({ times: steps, groups, costs, limits, shapes, dtype: "float32", with_reference: false });
  expect(without.map(({ name }) => name)).not.toContain("score");
});

test("an even number of steps has its median between the middle two", () => {
  expect(spread([4, 1, 2, 9])).toEqual({ median: 3, min: 1, max: 9 });
});

const result: BenchResult = {
  ...{ num_parameters: 1234, num_trainable_parameters: 1000, threads: 2, load_seconds: 0.5, peak_rss_bytes: 2 ** 31 },
  peak_device_bytes: 0,
  ...{ prompt_tokens: 5, image_tokens: 0, limits, steps, phases },
};
const about = { command: "sightloop bench", model: "m", options: {} as BenchOptions };

test("the table has a row for every phase, and the text says limits, memory and where time goes", async () => {
  const text = benchText(about, await manifest(0, { libtorch: "2.13.0" }), result);
  for (const { name } of phases) expect(text).toMatch(new RegExp(`^ *${name} +[\\d.]+ \\([\\d.]+ to [\\d.]+\\)`, "m"));
  expect(text).toContain("libtorch 2.13.0");
  expect(text).toContain("peak resident memory 2.00 GiB");
  expect(text).toMatch(/update: 6\.00 s, .* at the limit; .*its time by part: forward 33\.3 %, backward 33\.3 %/);
});

test("a sweep shows how time and operations grow", async () => {
  const point = { value: 8, seconds: spread([1]), flops: 2e9, exponent: null, flops_exponent: null };
  const grown = { value: 16, seconds: spread([2]), flops: 4e9, exponent: 1, flops_exponent: 1 };
  const text = sweepText(about, await manifest(0), "completions", [point, grown]);
  expect(text).toMatch(/^16 +2\.00 \(2\.00 to 2\.00\) +4\.00 +1\.00 +1\.00$/m);
});
