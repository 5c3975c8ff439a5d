import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Template } from "@huggingface/jinja";
import { describe, expect, test } from "vitest";
import { datasetSchema, openDataset } from "../../../src/datasets/registry.js";
import { loadTokenizer } from "../../../src/pipeline/data/tokenizer.js";

const preset = new URL("../../../configs/models/fashion_grid_tiny/", import.meta.url);
const text = (file: string): string => readFileSync(new URL(file, preset), "utf8");
const json = (file: string) => JSON.parse(text(file)) as Record<string, never>;

const tokenizer = await loadTokenizer(fileURLToPath(preset));
const encode = (s: string): number[] => [...tokenizer.encode(s)];
const tokens = (s: string): string[] => encode(s).map((id) => tokenizer.decode([id]));

const template = new Template(text("chat_template.jinja"));
const render = (question: string): string =>
  template.render({
    messages: [{ role: "user", content: [{ type: "image" }, { type: "text", text: question }] }],
    add_generation_prompt: true,
  });

describe("tokenizer", () => {
  test.each([
    ...["top", "trouser", "pullover", "dress", "bag", "boot", "total"].map((word) => ` ${word}`),
    ...Array.from({ length: 21 }, (_, n) => ` ${n}`),
    ...Array.from({ length: 21 }, (_, n) => String(n)),
    ...["prices", "user", "assistant", "system", "<think>", "</think>", "<|im_end|>", "<|image_pad|>", "\n"],
  ])("%j is one token", (word) => {
    expect(encode(word)).toHaveLength(1);
  });

  test.each([
    ["numbers over 20 and unknown words are split", " 21 trousers", [" 2", "1", " trouser", "s"]],
    ["bare merges do not break up a spaced word", " usual user", [" ", "us", "u", "a", "l", " ", "user"]],
    [
      "worked solution",
      "<think> top 3 3 bag 10 13</think> 13",
      ["<think>", " top", " 3", " 3", " bag", " 10", " 13", "</think>", " 13"],
    ],
  ])("%s", (_, given, expected) => {
    expect(tokens(given)).toEqual(expected);
  });

  test.each([["naïve 東京 🙂"], ["  two  spaces\n\n\tTab"], ["it's 20% of 1,000"]])("%j survives as bytes", (given) => {
    expect(tokenizer.decode(encode(given))).toBe(given);
  });

  test("has the vocabulary size of the config, and ids without gaps", () => {
    const { model, added_tokens } = json("tokenizer.json") as unknown as {
      model: { vocab: Record<string, number> };
      added_tokens: { id: number; content: string }[];
    };
    const ids = [...Object.values(model.vocab), ...added_tokens.map(({ id }) => id)].sort((a, b) => a - b);
    expect(ids).toEqual(ids.map((_, i) => i));
    const config = json("config.json") as unknown as Record<string, unknown> & { text_config: Record<string, number> };
    expect(config.text_config["vocab_size"]).toBe(ids.length);
    const id = (content: string) => added_tokens.find((token) => token.content === content)?.id;
    expect(config["image_token_id"]).toBe(id("<|image_pad|>"));
    expect(config["video_token_id"]).toBe(id("<|video_pad|>"));
    expect(config["vision_start_token_id"]).toBe(id("<|vision_start|>"));
    expect(config["vision_end_token_id"]).toBe(id("<|vision_end|>"));
    expect(config.text_config["eos_token_id"]).toBe(id("<|im_end|>"));
    expect(json("generation_config.json")["eos_token_id"]).toEqual([id("<|im_end|>"), id("<|endoftext|>")]);
  });

  test("is what its script makes", () => {
    const folder = mkdtempSync(join(tmpdir(), "sightloop-tokenizer-"));
    cpSync(new URL("make-tokenizer.mjs", preset), join(folder, "make-tokenizer.mjs"));
    execFileSync(process.execPath, [join(folder, "make-tokenizer.mjs")]);
    expect(readFileSync(join(folder, "tokenizer.json"), "utf8")).toBe(text("tokenizer.json"));
    rmSync(folder, { recursive: true });
  });
});

test("prompts of fashion_grid take 27 tokens and 3 more for the image; solutions 3 or 16", async () => {
  const dataset = await openDataset(datasetSchema.parse({ name: "fashion_grid", count: 200 }), { base_folder: "." });
  for (let i = 0; i < dataset.length; i++) {
    const { question, solution = "" } = await dataset.get(i);
    expect(encode(render(question))).toHaveLength(27);
    expect(encode(`${solution}<|im_end|>`)).toHaveLength(solution.startsWith("<think>") ? 16 : 3);
  }
});

test("the prompt is byte for byte the reviewed one", () => {
  expect(render("prices: top 3 total?")).toBe(
    "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>prices: top 3 total?<|im_end|>\n<|im_start|>assistant\n",
  );
});

test("one cell of a grid is one image token and one attention window", () => {
  const { vision_config } = json("config.json") as unknown as { vision_config: Record<string, number> };
  const cell = vision_config["patch_size"]! * vision_config["spatial_merge_size"]!;
  expect(cell).toBe(28);
  expect(vision_config["window_size"]).toBe(cell);
  expect(json("preprocessor_config.json")["min_pixels"]).toBeLessThanOrEqual(56 * 56);
});
