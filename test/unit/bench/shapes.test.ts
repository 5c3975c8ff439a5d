import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { PATCH_EMBEDDING, readShapes } from "../../../src/bench/shapes.js";
import { readModelSizes } from "../../../src/config/model-sizes.js";

let folder: string;
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), "sightloop-shapes-"))));
afterAll(() => rm(folder, { recursive: true, force: true }));
const fixture = (family: string): string => join("test", "fixtures", family, "checkpoint");

test("the layers of a checkpoint, projections of one input together", async () => {
  const { text_config: text, vision_config: vision } = JSON.parse(
    readFileSync(join(fixture("qwen2_5_vl"), "config.json"), "utf8"),
  ) as Record<string, Record<string, number> & { fullatt_block_indexes: number[] }>;
  const shapes = await readShapes(fixture("qwen2_5_vl"));
  const width = text!["hidden_size"]!;
  const kv_width = (width / text!["num_attention_heads"]!) * text!["num_key_value_heads"]!;
  expect(shapes.attention).toEqual({ width, kv_width, blocks: text!["num_hidden_layers"] });
  expect(shapes.token_layers).toContainEqual({
    ...{ name: "model.layers.mlp.gate_up_proj", inputs: width, outputs: 2 * text!["intermediate_size"]! },
    count: text!["num_hidden_layers"],
  });
  expect(shapes.head).toMatchObject({ inputs: width, outputs: text!["vocab_size"], count: 1 });
  expect(shapes.patch_layers.find(({ name }) => name === PATCH_EMBEDDING)).toMatchObject({
    ...{ inputs: 3 * 2 * 14 * 14, outputs: vision!["hidden_size"], count: 1 },
  });
  const { full_blocks, window_blocks } = shapes.vision_attention;
  expect([full_blocks, full_blocks + window_blocks]).toEqual([vision!.fullatt_block_indexes.length, vision!["depth"]]);
});

test.each(["qwen2_vl", "qwen2_5_vl", "qwen3_vl"])("%s: every matrix but embeddings is a layer", async (family) => {
  const shapes = await readShapes(fixture(family));
  const all = [...shapes.patch_layers, ...shapes.image_token_layers, ...shapes.token_layers, shapes.head];
  const elements = all.reduce((sum, { inputs, outputs, count }) => sum + inputs * outputs * count, 0);
  const { parameters } = await readModelSizes(fixture(family));
  const total = parameters.vision_tower + parameters.connector + parameters.language_model;
  expect(elements).toBeLessThan(total);
  expect(elements).toBeGreaterThan(0.85 * total);
});

test("a family that is not counted is named", async () => {
  cpSync(fixture("smolvlm"), folder, { recursive: true });
  writeFileSync(join(folder, "config.json"), JSON.stringify({ model_type: "smolvlm" }));
  await expect(readShapes(folder)).rejects.toMatchObject({
    code: "MODEL_UNSUPPORTED",
    message: expect.stringContaining('"smolvlm"') as string,
  });
});
