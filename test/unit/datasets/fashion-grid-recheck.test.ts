import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { datasetSchema, openDataset } from "../../../src/datasets/registry.js";
import { loadTokenizer } from "../../../src/pipeline/data/tokenizer.js";

const preset = new URL("../../../configs/models/fashion_grid_recheck/", import.meta.url);
const tokenizer = await loadTokenizer(fileURLToPath(preset));
const open = (recheck_share: number) =>
  openDataset(datasetSchema.parse({ name: "fashion_grid", count: 60, recheck_share }), { base_folder: "." });

test("re-checked solutions name every cell again, in 24 tokens; nothing else of a sample changes", async () => {
  const [plain, rechecked] = [await open(0), await open(1)];
  let count = 0;
  for (let i = 0; i < plain.length; i++) {
    const [a, b] = [await plain.get(i), await rechecked.get(i)];
    expect({ ...b, solution: "" }).toEqual({ ...a, solution: "" });
    if (!a.solution!.startsWith("<think>")) {
      expect(b.solution).toBe(a.solution);
      continue;
    }
    count += 1;
    const goods = a.solution!.match(/[a-z]+(?= \d)/g)!.join(" ");
    expect(b.solution).toBe(a.solution!.replace("</think>", ` wait check again ${goods} ${a.answer}</think>`));
    expect(tokenizer.encode(`${b.solution}<|im_end|>`)).toHaveLength(24);
  }
  expect(count).toBeGreaterThan(10);
});

test("half of the worked solutions with a share of a half", async () => {
  const dataset = await open(0.5);
  const solutions = await Promise.all(Array.from({ length: 60 }, async (_, i) => (await dataset.get(i)).solution!));
  const worked = solutions.filter((solution) => solution.startsWith("<think>"));
  const share = worked.filter((solution) => solution.includes("wait")).length / worked.length;
  expect(share).toBeGreaterThan(0.2);
  expect(share).toBeLessThan(0.8);
});

test("the preset's config has the ids of its tokenizer", () => {
  const json = (file: string) => JSON.parse(readFileSync(new URL(file, preset), "utf8")) as never;
  const { model, added_tokens } = json("tokenizer.json") as {
    model: { vocab: object };
    added_tokens: { id: number; content: string }[];
  };
  const id = (content: string) => added_tokens.find((token) => token.content === content)?.id;
  expect(json("config.json")).toMatchObject({
    image_token_id: id("<|image_pad|>"),
    video_token_id: id("<|video_pad|>"),
    vision_start_token_id: id("<|vision_start|>"),
    vision_end_token_id: id("<|vision_end|>"),
    text_config: { eos_token_id: id("<|im_end|>"), vocab_size: Object.keys(model.vocab).length + added_tokens.length },
  });
  expect(json("generation_config.json")).toMatchObject({ eos_token_id: [id("<|im_end|>"), id("<|endoftext|>")] });
});
