import { writeFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { memoryPlan, type MemoryQuestion } from "../../../src/config/memory-plan.js";

let path: string;
beforeAll(async () => {
  path = await mkdtemp(join(tmpdir(), "sightloop-plan-"));
  const sizes = { hidden_size: 8, num_hidden_layers: 2, num_attention_heads: 2, num_key_value_heads: 1 };
  await writeFile(join(path, "config.json"), JSON.stringify({ ...sizes, intermediate_size: 16 }));
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

const bytesOf = async (name: string, changes: Partial<MemoryQuestion> = {}): Promise<number | undefined> => {
  const plan = await memoryPlan({
    model: { path, dtype: "float32", train_vision_tower: false, train_connector: true, train_language_model: true },
    ...{ with_reference: true, reference_path: null, image_cache_bytes: 1, tokens_per_microbatch: 1 },
    ...{ max_prompt_tokens: 10, max_completion_tokens: 4, completions_per_prompt: 2, max_concurrent_completions: 6 },
    ...changes,
  });
  return plan.parts.find((part) => part.name === name)?.bytes;
};

test("weights, gradients and moments follow from the shapes and what is trained", async () => {
  expect(await bytesOf("weights")).toBe(330 * 4);
  expect(await bytesOf("gradients")).toBe(320 * 4);
  expect(await bytesOf("moments")).toBe(2 * 320 * 4);
});

test("a frozen copy holds the trained parts only, a reference of its own all of them", async () => {
  expect(await bytesOf("reference")).toBe(320 * 4);
  expect(await bytesOf("reference", { reference_path: "other" })).toBe(330 * 4);
  expect(await bytesOf("reference", { with_reference: false })).toBe(0);
});

test("bfloat16 halves weights, reference and cache; trained parameters get float32 masters and sums", async () => {
  const model = {
    path,
    dtype: "bfloat16",
    train_vision_tower: false,
    train_connector: true,
    train_language_model: true,
  };
  const bytes = (name: string) => bytesOf(name, { model: model as MemoryQuestion["model"] });
  expect(await bytes("weights")).toBe(330 * 2);
  expect(await bytes("reference")).toBe(320 * 2);
  expect(await bytes("masters")).toBe(320 * 4);
  expect(await bytes("gradients")).toBe(320 * (4 + 2));
  expect(await bytes("moments")).toBe(2 * 320 * 4);
  expect(await bytes("kv cache")).toBe(((await bytesOf("kv cache")) ?? 0) / 2);
  expect(await bytesOf("masters")).toBe(0);
});

test("the KV cache holds each prompt once", async () => {
  const bytes_per_token = 2 * 2 * 1 * 4 * 4; // k and v, layers, heads, head size, float32
  expect(await bytesOf("kv cache")).toBe((3 * 10 + 6 * 4) * bytes_per_token);
});
