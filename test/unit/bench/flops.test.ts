import { describe, expect, test } from "vitest";
import {
  type CountedPhase,
  decodeBytes,
  flopsOf,
  type Group,
  phaseCosts,
  type RowsAtOnce,
} from "../../../src/bench/flops.js";
import { type LinearLayer, type ModelShapes, PATCH_EMBEDDING } from "../../../src/bench/shapes.js";

const layer = (name: string, inputs: number, outputs: number, count: number): LinearLayer => ({
  ...{ name, inputs, outputs, count },
});
/** One layer of each kind, sizes small enough to count by hand. */
const shapes: ModelShapes = {
  patch_layers: [layer(PATCH_EMBEDDING, 10, 2, 1), layer("qkv", 2, 6, 3)],
  image_token_layers: [layer("merge", 8, 4, 1)],
  token_layers: [layer("qkv", 4, 8, 2)],
  head: layer("head", 4, 100, 1),
  vision_attention: { width: 2, full_blocks: 1, window_blocks: 2, window_side: 4 },
  attention: { width: 4, kv_width: 2, blocks: 2 },
};
/** Two prompts of 5 tokens, 2 of them from an image of 2 x 6 patches, each with 3 completions of 4 tokens. */
const group: Group = {
  ...{ prompt_tokens: 5, image_tokens: 3, grids: [[2, 6]], completion_tokens: 4, num_completions: 3 },
};
const groups = [group, group];
const at_once: RowsAtOnce = {
  ...{ patches: 12, image_tokens: 3, prefill_tokens: 8192, decode_slots: 6, microbatch_tokens: 14, head: 16 },
};
const flops = (phase: CountedPhase, train_vision = false): number =>
  flopsOf(phaseCosts(shapes, groups, at_once, train_vision)[phase]);

// By hand, for both prompts together.
const vision_linear = 2 * (2 * 12 * (10 * 2 + 3 * 2 * 6) + 2 * 3 * 8 * 4);
const vision_attention = 2 * (4 * 2 * 1 * 12 ** 2 + 4 * 2 * 2 * (2 * 2 * (4 ** 2 + 2 ** 2)));
const pairs_of_prompt = 1 + 2 + 3 + 4 + 5;
const pairs_of_completions = 3 * (6 + 7 + 8); // 3 of its 4 tokens are fed; each sees 5 prompt tokens, and 1 to 3 of its own
const attention = (pairs: number): number => 2 * pairs * 4 * 4 * 2;

describe("operations of a step", () => {
  test("vision: every image once, windows cut at the border", () => {
    expect(flops("vision")).toBe(vision_linear + vision_attention);
  });
  test("prefill: prompts once, one row of logits each", () => {
    expect(flops("prefill")).toBe(2 * 10 * (2 * 4 * 8) + 2 * 2 * 4 * 100 + attention(pairs_of_prompt));
  });
  test("decode: all tokens but each completion's last", () => {
    expect(flops("decode")).toBe(2 * 18 * (2 * 4 * 8 + 4 * 100) + attention(pairs_of_completions));
  });
  const score = 2 * 28 * (2 * 4 * 8) + 2 * 24 * 4 * 100 + attention(pairs_of_prompt + pairs_of_completions);
  test("score: prompts once a group, logits for every completion token", () => {
    expect(flops("score")).toBe(score);
  });
  test("update: twice the forward pass on top of it", () => {
    expect(flops("update")).toBe(3 * score);
  });
  test("a trained vision tower is computed in score and update; pixels need no gradient", () => {
    expect(flops("score", true)).toBe(score + vision_linear + vision_attention);
    const pixels = 2 * (2 * 12 * 10 * 2);
    expect(flops("update", true)).toBe(3 * (score + vision_linear + vision_attention) - pixels);
  });
});

test("rows at once bound the measured shapes, not the operations", () => {
  const { update, decode } = phaseCosts(shapes, groups, at_once, false);
  expect(update.products.map(({ rows }) => rows)).toEqual([14, 16, 14, 14, 16, 16]);
  expect(decode.products.map(({ rows, total_rows }) => [rows, total_rows])).toEqual([
    [6, 36],
    [6, 18],
  ]);
});

test("decode reads all weights of the language model and every key and value once a step", () => {
  const weights = 2 * 4 * 8 + 4 * 100;
  const held = 2 * (3 * 5 + 3 * (1 + 2 + 3)); // 3 steps: the prompt once, then 1 to 3 tokens of 3 completions
  expect(decodeBytes(shapes, groups, 2)).toBe(2 * (3 * weights + held * 2 * 2 * 2));
});
