import { copyFileSync, mkdtempSync, readFileSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { loadProcessor } from "../../../../src/pipeline/data/processor.js";

const checkpoint = fileURLToPath(new URL("../../../fixtures/qwen2_5_vl/checkpoint", import.meta.url));
const copied = [
  "config.json",
  "generation_config.json",
  "chat_template.jinja",
  "preprocessor_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
];

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "sightloop-processor-"));
  for (const name of copied) copyFileSync(join(checkpoint, name), join(folder, name));
});
afterEach(() => rmSync(folder, { recursive: true }));

type Json = Record<string, unknown>;
function edit(name: string, change: (json: Json) => void): void {
  const json = JSON.parse(readFileSync(join(folder, name), "utf8")) as Json;
  change(json);
  writeFileSync(join(folder, name), JSON.stringify(json));
}

describe("settings come from the checkpoint's files", () => {
  const size = { shortest_edge: 3136, longest_edge: 9408 };
  test.each<[string, Json, number, number]>([
    ["size alone", { size }, 3136, 9408],
    ["min_pixels and max_pixels override size", { size, min_pixels: 6272, max_pixels: 12544 }, 6272, 12544],
    ["one of them does", { size, max_pixels: 12544 }, 3136, 12544],
    ["size in the older words", { size: { min_pixels: 784, max_pixels: 1568 } }, 784, 1568],
    ["neither: the reference's defaults", {}, 3136, 1003520],
  ])("%s", async (_, given, min_pixels, max_pixels) => {
    edit("preprocessor_config.json", (json) => {
      for (const key of ["size", "min_pixels", "max_pixels"]) delete json[key];
      Object.assign(json, given);
    });
    expect((await loadProcessor(folder)).image_processor).toMatchObject({ min_pixels, max_pixels });
  });

  test("processor_config.json goes before preprocessor_config.json", async () => {
    const image_processor = { image_processor_type: "Qwen2VLImageProcessorFast", size, image_mean: 0.5 };
    writeFileSync(join(folder, "processor_config.json"), JSON.stringify({ image_processor }));
    expect((await loadProcessor(folder)).image_processor).toMatchObject({
      max_pixels: 9408,
      image_mean: [0.5, 0.5, 0.5],
    });
    writeFileSync(join(folder, "processor_config.json"), JSON.stringify({ processor_class: "X" })); // the older content
    expect((await loadProcessor(folder)).image_processor.max_pixels).toBe(23520);
  });

  test("steps that are switched off become neutral numbers", async () => {
    edit("preprocessor_config.json", (json) => Object.assign(json, { do_rescale: false, do_normalize: false }));
    const neutral = { rescale_factor: 1, image_mean: [0, 0, 0], image_std: [1, 1, 1] };
    expect((await loadProcessor(folder)).image_processor).toMatchObject(neutral);
  });

  test.each<[string, unknown, string | null, number[]]>([
    ["a list and the tokenizer's", [1000, 1002], "<|im_end|>", [1002, 1000]],
    ["a number and the tokenizer's", 1000, "<|im_end|>", [1002, 1000]],
    ["the same one twice", 1002, "<|im_end|>", [1002]],
    ["a list alone", [1000], null, [1000]],
    ["config.json's, without generation_config.json", undefined, null, [1002]],
  ])("stop tokens: %s", async (_, listed, named, expected) => {
    if (listed === undefined) unlinkSync(join(folder, "generation_config.json"));
    else edit("generation_config.json", (json) => (json["eos_token_id"] = listed));
    edit("tokenizer_config.json", (json) => (json["eos_token"] = named));
    expect((await loadProcessor(folder)).stop_token_ids).toEqual(expected);
  });

  test("files to copy are those that exist", async () => {
    const { files } = await loadProcessor(folder);
    expect([...files].sort()).toEqual(copied.filter((name) => name !== "config.json").sort());
  });
});

describe("a broken checkpoint", () => {
  test.each([
    ["config.json", "the model's configuration is missing"],
    ["preprocessor_config.json", "the image processor's configuration is missing"],
    ["tokenizer.json", "the tokenizer is missing"],
    ["chat_template.jinja", "the chat template is missing"],
  ])("without %s", async (name, message) => {
    unlinkSync(join(folder, name));
    await expect(loadProcessor(folder)).rejects.toMatchObject({
      code: "FILE_NOT_FOUND",
      message: expect.stringContaining(`${folder}: ${message}`) as string,
      hint: expect.stringContaining("Restore the file") as string,
    });
  });

  test.each(["config.json", "generation_config.json", "preprocessor_config.json", "tokenizer_config.json"])(
    "with half of %s",
    async (name) => {
      const path = join(folder, name);
      writeFileSync(path, readFileSync(path, "utf8").slice(0, 40));
      const message = expect.stringContaining(`${path}: not valid JSON`) as string;
      await expect(loadProcessor(folder)).rejects.toMatchObject({ code: "CHECKPOINT_INVALID", message });
    },
  );

  test.each<[string, string, (json: Json) => void, string, string]>([
    [
      "another family",
      "preprocessor_config.json",
      (json) => (json["image_processor_type"] = "SmolVLMImageProcessor"),
      "MODEL_UNSUPPORTED",
      '"SmolVLMImageProcessor" is not supported',
    ],
    [
      "no resizing",
      "preprocessor_config.json",
      (json) => (json["do_resize"] = false),
      "CHECKPOINT_INVALID",
      "only true is supported",
    ],
    [
      "another filter",
      "preprocessor_config.json",
      (json) => (json["resample"] = 2),
      "CHECKPOINT_INVALID",
      "only bicubic",
    ],
    [
      "bounds swapped",
      "preprocessor_config.json",
      (json) => (json["min_pixels"] = 99999),
      "CHECKPOINT_INVALID",
      "min_pixels 99999 is over max_pixels 23520",
    ],
    [
      "another patch size",
      "preprocessor_config.json",
      (json) => (json["patch_size"] = 16),
      "CHECKPOINT_INVALID",
      "patch_size is 16, but config.json's vision_config says 14",
    ],
    ["no image token", "config.json", (json) => delete json["image_token_id"], "CHECKPOINT_INVALID", "image_token_id"],
    [
      "a wrong stop token",
      "generation_config.json",
      (json) => (json["eos_token_id"] = "x"),
      "CHECKPOINT_INVALID",
      "eos_token_id",
    ],
  ])("with %s", async (_, name, change, code, message) => {
    edit(name, change);
    const error = { code, message: expect.stringContaining(message) as string };
    await expect(loadProcessor(folder)).rejects.toMatchObject(error);
  });
});

describe("prompts", () => {
  const render = async (question: string, num_images: number, options = {}) =>
    (await loadProcessor(folder)).renderPrompt({ question, num_images }, options);
  const pad = "<|vision_start|><|image_pad|><|vision_end|>";

  test("the prompt holds the question, and is byte for byte this", async () => {
    expect(await render("Find $x$.", 1, { assistant_prefix: "<think>\n" })).toBe(
      `<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n${pad}Find $x$.<|im_end|>\n` +
        "<|im_start|>assistant\n<think>\n",
    );
  });

  test("the system prompt replaces the template's own; markers place the images", async () => {
    expect(await render("A <image>, B <image>?", 2, { system_prompt: "Be brief." })).toBe(
      `<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nA ${pad}, B ${pad}?<|im_end|>\n<|im_start|>assistant\n`,
    );
  });

  test("a template that drops the question is refused", async () => {
    writeFileSync(join(folder, "chat_template.jinja"), "{% for m in messages %}{{ m.role }}{% endfor %}");
    const error = { code: "PROMPT_INVALID", message: expect.stringContaining('leaves out "Why?"') as string };
    await expect(render("Why?", 0)).rejects.toMatchObject(error);
  });

  test("placeholders are repeated once per image token, in order", async () => {
    const processor = await loadProcessor(folder);
    const plain = processor.encode(`a${pad}b${pad}`);
    const ids = processor.encodePrompt(`a${pad}b${pad}`, [{ num_tokens: 3 }, { num_tokens: 1 }]);
    expect(ids.length).toBe(plain.length + 2);
    expect(ids.filter((id) => id === processor.image_token_id).length).toBe(4);
    expect(processor.decode(ids)).toBe(`a<|vision_start|>${"<|image_pad|>".repeat(3)}<|vision_end|>b${pad}`);
    expect(processor.decode(ids, { skip_special_tokens: true })).toBe("ab");
  });

  test.each([
    [`${pad}${pad}`, 1, "has 2 image placeholders, but the sample has 1 images"],
    ["no image", 1, "has 0 image placeholders, but the sample has 1 images"],
    ["the token <|image_pad|> itself", 0, "has 1 image placeholders, but the sample has 0 images"],
  ])("%s with %i images is refused", async (text, num_images, message) => {
    const processor = await loadProcessor(folder);
    const images = Array.from({ length: num_images }, () => ({ num_tokens: 4 }));
    expect(() => processor.encodePrompt(text, images)).toThrow(message);
  });
});
