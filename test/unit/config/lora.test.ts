import { describe, expect, test } from "vitest";
import { adapterSizes, loraSchema, savedParts } from "../../../src/config/lora.js";
import { type MemoryQuestion, planOf } from "../../../src/config/memory-plan.js";
import type { ModelSizes } from "../../../src/config/model-sizes.js";
import { parseConfig } from "../../../src/config/load.js";
import { sftConfigSchema } from "../../../src/config/schema.js";

const parse = (model: string) =>
  parseConfig(sftConfigSchema, {
    file: "run.yaml",
    text: `steps: 1
prompts_per_step: 1
optimizer: { learning_rate: 1 }
datasets: { train: { name: fashion_grid, count: 1 } }
model: { path: m, ${model} }
evaluate: { every_steps: 0 }`,
  }).config.model;

describe("model.lora", () => {
  test("is off by default; a new adapter says its rank and alpha", () => {
    expect(parse("dtype: float32").lora).toBeNull();
    expect(parse("lora: { rank: 8, alpha: 16 }").lora).toEqual({ path: null, rank: 8, alpha: 16, save_merged: true });
    expect(parse("lora: { path: a }").lora).toEqual({ path: "a", save_merged: true });
  });

  test.each([
    ["lora: { alpha: 1 }", /model\.lora\.rank: is missing; a new adapter needs rank and alpha/],
    ["lora: { rank: 0, alpha: 1 }", /model\.lora\.rank: expected number to be >0, got 0/],
    ["lora: { rank: 2.5, alpha: 1 }", /model\.lora\.rank: /],
    ["lora: { rank: 2, alpha: 0 }", /model\.lora\.alpha: /],
    ["lora: { rank: 2, alpha: 1, targets: all }", /model\.lora\.targets: expected all_linear, or a list of names/],
    ["lora: { rank: 2, alpha: 1, targets: [] }", /model\.lora\.targets: /],
    ["lora: { rank: 2, alpha: 1, dropout: 0.1 }", /model\.lora\.dropout: unknown key/],
    [
      "lora: { rank: 2, alpha: 1 }, train_language_model: false, train_connector: true",
      /train_language_model is false/,
    ],
    [
      "lora: { rank: 2, alpha: 1, save_merged: false }, train_connector: true",
      /model\.lora\.save_merged: must be true/,
    ],
  ])("%s", (model, message) => {
    expect(() => parse(model)).toThrow(message);
  });

  test("a checkpoint holds the adapter where it is all that was trained", () => {
    expect(savedParts(parse("dtype: float32"))).toEqual({ model: true, adapter: false, frozen_state: true });
    expect(savedParts(parse("lora: { path: a }"))).toEqual({ model: true, adapter: true, frozen_state: false });
    expect(savedParts(parse("lora: { path: a, save_merged: false }"))).toEqual({
      model: false,
      adapter: true,
      frozen_state: false,
    });
    expect(savedParts(parse("lora: { path: a }, train_connector: true"))).toEqual({
      model: true,
      adapter: false,
      frozen_state: false,
    });
  });
});

describe("the memory plan", () => {
  const sizes: ModelSizes = {
    parameters: { vision_tower: 1000, connector: 100, language_model: 50_000 },
    file_bytes: 0,
    language: { blocks: 2, width: 32, kv_width: 16, heads: 4, intermediate: 64, vocabulary: 100 },
    vision: undefined,
  };
  const question = (changes: Partial<MemoryQuestion> = {}): MemoryQuestion => ({
    process_bytes: 0,
    model: {
      path: "",
      dtype: "float32",
      train_vision_tower: false,
      train_connector: false,
      train_language_model: true,
    },
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
  const bytes = (changes: Partial<MemoryQuestion>) => {
    const plan = planOf(sizes, question(changes));
    return { plan, of: (name: string) => plan.parts.find((part) => part.name === name)!.bytes };
  };
  const lora = loraSchema.parse({ rank: 4, alpha: 8 });

  test("counts an adapter's halves: rank x (inputs + outputs) of every target in every block", async () => {
    const all = 2 * 4 * (2 * (32 + 32) + 2 * (32 + 16) + 3 * (32 + 64));
    expect(await adapterSizes(sizes, lora)).toEqual({ parameters: all, kept_values: 2 * 7 * 4, loaded: false });
    const two = await adapterSizes(sizes, loraSchema.parse({ rank: 4, alpha: 8, targets: ["q_proj", "v_proj"] }));
    expect(two.parameters).toBe(2 * 4 * (32 + 32 + 32 + 16));
  });

  test("only the adapter has moments and gradients; the reference is the base itself", async () => {
    const adapter = await adapterSizes(sizes, lora);
    for (const dtype of ["float32", "bfloat16"] as const) {
      const model = { ...question().model, dtype };
      const { plan, of } = bytes({ model, adapter });
      expect(plan.num_trainable_parameters).toBe(adapter.parameters);
      expect(plan.num_parameters).toBe(51_100 + adapter.parameters);
      expect(of("weights")).toBe(51_100 * (dtype === "float32" ? 4 : 2) + adapter.parameters * 4);
      expect(of("moments")).toBe(2 * 4 * adapter.parameters);
      expect(of("gradients")).toBe(4 * adapter.parameters);
      expect(of("masters")).toBe(0);
      expect(of("reference")).toBe(0);
      expect(plan.peak_bytes).toBeLessThan(bytes({ model }).plan.peak_bytes);
    }
  });

  test("a loaded adapter's reference is a copy of the adapter; a path's is the whole model", async () => {
    const adapter = { ...(await adapterSizes(sizes, lora)), loaded: true };
    expect(bytes({ adapter }).of("reference")).toBe(4 * adapter.parameters);
    expect(bytes({ adapter, reference_path: "other" }).of("reference")).toBe(51_100 * 4);
  });
});
