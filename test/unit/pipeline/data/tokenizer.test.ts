import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { loadTokenizer, tokenizerFrom } from "../../../../src/pipeline/data/tokenizer.js";

const checkpoint = fileURLToPath(new URL("../../../fixtures/qwen2_5_vl/checkpoint", import.meta.url));

let folder: string;
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "sightloop-tokenizer-"))));
afterEach(() => rmSync(folder, { recursive: true }));

test("merges may be pairs or strings", async () => {
  const definition = JSON.parse(readFileSync(join(checkpoint, "tokenizer.json"), "utf8")) as {
    model: { merges: (string | string[])[] };
  };
  const pairs = definition.model.merges as string[][];
  expect(Array.isArray(pairs[0])).toBe(true);
  const text = "Find the area of the triangle: \\frac{1}{2} x 12 = 6 cm²";
  const expected = (await loadTokenizer(checkpoint)).encode(text);
  definition.model.merges = pairs.map((pair) => pair.join(" "));
  expect(Array.from(tokenizerFrom(definition as never, {}, "t").encode(text))).toEqual(Array.from(expected));
});

test("ids without a token are left out, and nothing decodes to nothing", async () => {
  const tokenizer = await loadTokenizer(checkpoint);
  expect(tokenizer.decode([])).toBe("");
  expect(tokenizer.decode([100_000])).toBe("");
  expect(tokenizer.decode([...tokenizer.encode("a b"), 100_000])).toBe("a b");
});

test("special tokens by name, as text or as an object; null means none", () => {
  const definition = JSON.parse(readFileSync(join(checkpoint, "tokenizer.json"), "utf8")) as never;
  const config = { eos_token: "<|im_end|>", pad_token: { content: "<|endoftext|>", special: true }, bos_token: null };
  const tokenizer = tokenizerFrom(definition, config, "t");
  expect(tokenizer.special_tokens).toEqual({ eos_token: "<|im_end|>", pad_token: "<|endoftext|>" });
  expect(tokenizer.decode([tokenizer.tokenId("<|im_end|>")!], { skip_special_tokens: true })).toBe("");
});

describe("refusals", () => {
  test("no tokenizer.json", async () => {
    await expect(loadTokenizer(folder)).rejects.toMatchObject({
      code: "FILE_NOT_FOUND",
      message: `${folder}: the tokenizer is missing (looked for tokenizer.json)`,
    });
  });
  test.each([
    ["not JSON", "{", "CHECKPOINT_INVALID", "not valid JSON"],
    ["not an object", "[]", "CHECKPOINT_INVALID", "expected a JSON object"],
    ["not a tokenizer", '{"model":{"type":"Nonsense"}}', "TOKENIZER_INVALID", "not a tokenizer that can be used"],
  ])("%s", async (_, content, code, message) => {
    writeFileSync(join(folder, "tokenizer.json"), content);
    await expect(loadTokenizer(folder)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(`${join(folder, "tokenizer.json")}: ${message}`) as string,
    });
  });
});
