import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { checkFits } from "../../../src/config/memory-fit.js";
import {
  memoryPlan,
  type MemoryPart,
  type MemoryQuestion,
  plan_phases,
  planOf,
} from "../../../src/config/memory-plan.js";
import { type ModelSizes, readModelSizes } from "../../../src/config/model-sizes.js";
import type { UserError } from "../../../src/errors.js";

let path: string;
beforeAll(async () => {
  path = await mkdtemp(join(tmpdir(), "sightloop-plan-"));
  const sizes = { hidden_size: 8, num_hidden_layers: 2, num_attention_heads: 2, num_key_value_heads: 1 };
  await writeFile(join(path, "config.json"), JSON.stringify({ ...sizes, intermediate_size: 16, vocab_size: 100 }));
  const header = JSON.stringify({
    "visual.blocks.0.w": { shape: [10] },
    "visual.merger.w": { shape: [5, 4] },
    "model.embed.w": { shape: [3, 100] },
  });
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  await writeFile(join(path, "model.safetensors"), Buffer.concat([length, Buffer.from(header)]));
});
afterAll(() => rm(path, { recursive: true, force: true }));

const question = (changes: Partial<MemoryQuestion> = {}): MemoryQuestion => ({
  process_bytes: 1e6,
  model: { path, dtype: "float32", train_vision_tower: false, train_connector: true, train_language_model: true },
  ...{
    with_reference: true,
    reference_path: null,
    image_cache_bytes: 1,
    tokens_per_microbatch: 1000,
    ...{ optimizer_shares: 1, parameter_shares: 1 },
  },
  prompts: { tokens: 10, patches: 0, how: "given", num_images: 0, images_per_prompt: 0 },
  ...{ max_completion_tokens: 5, completions_per_prompt: 2, max_concurrent_completions: 6, kv_block_size: 4 },
  ...{ prompts_per_step: 4, completions_per_update: 8, samples: true, scores: true },
  ...{ activation_checkpointing: false, pack_weights: true },
  ...changes,
});
const partOf = async (name: string, changes: Partial<MemoryQuestion> = {}): Promise<MemoryPart | undefined> =>
  (await memoryPlan(question(changes))).parts.find((part) => part.name === name);
const bytesOf = async (name: string, changes: Partial<MemoryQuestion> = {}): Promise<number | undefined> =>
  (await partOf(name, changes))?.bytes;

test("weights, gradients and moments follow from the shapes and what is trained", async () => {
  expect(await bytesOf("weights")).toBe(330 * 4);
  expect(await bytesOf("gradients")).toBe(320 * 4);
  expect(await bytesOf("moments")).toBe(2 * 320 * 4);
});

test("ranks hold one copy of moments and masters between them", async () => {
  const model = { ...question().model, dtype: "bfloat16" as const };
  expect(await bytesOf("moments", { optimizer_shares: 4 })).toBe(2 * 80 * 4);
  expect(await bytesOf("masters", { model, optimizer_shares: 4 })).toBe(80 * 4);
  expect(await bytesOf("weights", { optimizer_shares: 4 })).toBe(330 * 4);
});

test("a frozen copy holds the trained parts only, a reference of its own all of them", async () => {
  expect(await bytesOf("reference")).toBe(320 * 4);
  expect(await bytesOf("reference", { reference_path: "other" })).toBe(330 * 4);
  expect(await bytesOf("reference", { with_reference: false })).toBe(0);
});

test("bfloat16 halves weights, reference and cache; trained parameters get float32 masters and sums", async () => {
  const changes = { model: { ...question().model, dtype: "bfloat16" as const } };
  expect(await bytesOf("weights", changes)).toBe(330 * 2);
  expect(await bytesOf("reference", changes)).toBe(320 * 2);
  expect(await bytesOf("masters", changes)).toBe(320 * 4);
  expect(await bytesOf("gradients", changes)).toBe(320 * 4); // each is added to its sum as it comes
  expect(await bytesOf("gradients", { ...changes, optimizer_shares: 4 })).toBe(
    (320 * 4) / 4 + 320 * (2 + 4), // all of it is smaller than what may be under way
  );
  expect(await bytesOf("moments", changes)).toBe(2 * 320 * 4);
  expect(await bytesOf("kv cache", changes)).toBe(((await bytesOf("kv cache")) ?? 0) / 2);
  expect(await bytesOf("packed weights", changes)).toBe(0);
  expect(await bytesOf("masters")).toBe(0);
});

test("packed weights are a float32 copy of the language model's linear layers, head included", async () => {
  expect(await bytesOf("packed weights")).toBe((2 * 8 * (2 * 8 + 2 * 4 + 3 * 16) + 100 * 8) * 4);
  expect(await bytesOf("packed weights", { pack_weights: false })).toBe(0);
});

test("gradients meet activations only where an update takes several microbatches", async () => {
  expect((await partOf("gradients"))?.held_in).toEqual(["optimizer_step"]);
  expect((await partOf("gradients", { tokens_per_microbatch: 40 }))?.held_in).toEqual(["update", "optimizer_step"]);
});

describe("the KV cache", () => {
  const block_bytes = 2 * 2 * 4 * 4 * 4; // k and v, layers, kv width, positions, float32
  test("holds each prompt once, and every completion that is sampled at once", async () => {
    // 6 completions of 3 prompts: 3 x 3 blocks of prompts, 6 x 1 of completions
    expect(await bytesOf("kv cache")).toBe(15 * block_bytes);
    const many = { prompts_per_step: 50, max_concurrent_completions: 1000 };
    expect(await bytesOf("kv cache", many)).toBe((50 * 3 + 100) * block_bytes);
  });
  test("is not there when nothing is sampled", async () => {
    expect(await bytesOf("kv cache", { samples: false })).toBeUndefined();
  });
});

describe("activations", () => {
  const activations = async (changes: Partial<MemoryQuestion>) => (await partOf("activations", changes))!;
  test("are those of whole groups within the budget", async () => {
    // a group is 10 + 2 x 4 = 18 tokens, an update 4 groups
    expect((await activations({})).how).toContain("72 tokens at once");
    expect((await activations({ tokens_per_microbatch: 40 })).how).toContain("36 tokens at once");
  });
  test("a group over the budget is cut between rows, never within one", async () => {
    expect((await activations({ tokens_per_microbatch: 15 })).how).toContain("14 tokens at once");
    expect((await activations({ tokens_per_microbatch: 1 })).how).toContain("14 tokens at once");
  });
  test("checkpointing keeps one block's values and every block's input", async () => {
    const deep: ModelSizes = {
      ...{ parameters: { vision_tower: 0, connector: 0, language_model: 1 }, file_bytes: 1, vision: undefined },
      language: { blocks: 50, width: 8, kv_width: 4, heads: 2, intermediate: 16, vocabulary: 100 },
    };
    const bytes = (activation_checkpointing: boolean): number =>
      planOf(deep, question({ activation_checkpointing })).parts.find((part) => part.name === "activations")!.bytes;
    expect(bytes(true)).toBeLessThan(bytes(false) / 5);
  });
});

test("the peak is the highest sum of what exists together", async () => {
  const plan = await memoryPlan(question());
  const sums = plan_phases.map((phase) =>
    plan.parts.filter(({ held_in }) => held_in.includes(phase)).reduce((total, { bytes }) => total + bytes, 0),
  );
  expect(plan.peak_bytes).toBe(Math.max(...sums));
  expect(plan_phases[sums.indexOf(plan.peak_bytes)]).toBe(plan.peak_phase);
  expect(plan.peak_bytes).toBeLessThan(plan.parts.reduce((total, { bytes }) => total + bytes, 0));
});

describe("a plan that does not fit", () => {
  const large: ModelSizes = {
    ...{ parameters: { vision_tower: 0, connector: 0, language_model: 1e6 }, file_bytes: 4e6, vision: undefined },
    language: { blocks: 24, width: 1024, kv_width: 256, heads: 8, intermediate: 4096, vocabulary: 1000 },
  };
  const asked = question({
    prompts: { tokens: 100, patches: 0, how: "given", num_images: 0, images_per_prompt: 0 },
    ...{ max_completion_tokens: 101, completions_per_prompt: 8, max_concurrent_completions: 512 },
    ...{ prompts_per_step: 64, completions_per_update: 512, tokens_per_microbatch: 16384 },
  });
  const refusal = (available: number, changes: Partial<MemoryQuestion> = {}): UserError => {
    const wanted = { ...asked, ...changes };
    try {
      checkFits(large, wanted, planOf(large, wanted), { bytes: available });
    } catch (error) {
      return error as UserError;
    }
    throw new Error("it fits");
  };

  test("names the largest microbatch that does", () => {
    const available = 3 * 2 ** 30;
    const error = refusal(available, { max_concurrent_completions: 8 });
    expect(error.code).toBe("DEVICE_OUT_OF_MEMORY");
    const [, value] = /Lower tokens_per_microbatch to (\d+) \(it is 16384\)/.exec(error.hint)!;
    const with_tokens = (tokens: number): number =>
      planOf(large, { ...asked, max_concurrent_completions: 8, tokens_per_microbatch: tokens }).peak_bytes;
    expect(with_tokens(Number(value))).toBeLessThanOrEqual(available);
    expect(with_tokens(Number(value) + 1)).toBeGreaterThan(available);
  });
  test("names the completions at once where sampling takes the most", () => {
    const error = refusal(2 ** 31, { tokens_per_microbatch: 1, max_completion_tokens: 300 });
    expect(error.hint).toMatch(/Lower max_concurrent_completions to \d+ \(it is 512\)/);
    expect(error.message).toContain("in its rollout phase");
  });
  test("finds it from any number", () => {
    const error = refusal(3 * 2 ** 30, {
      max_concurrent_completions: 8,
      tokens_per_microbatch: 2 ** 40,
      prompts_per_step: 1e6,
      completions_per_update: 8e6,
    });
    expect(error.hint).toMatch(/Lower tokens_per_microbatch to \d{3,5} \(it is 1099511627776\)/);
  });
  test("says when no setting helps", () => {
    expect(refusal(2 ** 20).hint).toContain("No tokens_per_microbatch is small enough");
  });
  test("says nothing if it fits", () => {
    expect(() => checkFits(large, asked, planOf(large, asked), { bytes: 2 ** 40 })).not.toThrow();
  });
});

test("sizes are read from either layout of config.json", async () => {
  const { language, file_bytes, parameters } = await readModelSizes(path);
  expect(language).toEqual({ blocks: 2, width: 8, kv_width: 4, heads: 2, intermediate: 16, vocabulary: 100 });
  expect(parameters).toEqual({ vision_tower: 10, connector: 20, language_model: 300 });
  expect(file_bytes).toBeGreaterThan(100);
});
