import { describe, expect, test } from "vitest";
import { accuracy } from "../../../src/rewards/accuracy.js";
import { language } from "../../../src/rewards/language.js";
import { length } from "../../../src/rewards/length.js";
import { noEos } from "../../../src/rewards/no-eos.js";
import { overlong } from "../../../src/rewards/overlong.js";
import { rewardFunction, rewardSchema } from "../../../src/rewards/registry.js";
import type { RewardInput } from "../../../src/rewards/reward.js";
import { thinkFormat } from "../../../src/rewards/think-format.js";

const input = (completion: string, answer = "4"): RewardInput => ({
  prompt: "How many?",
  completion,
  answer,
  finish_reason: "stop",
  token_count: 3,
  max_completion_tokens: 20,
  sample: { id: "7", question: "How many?", answer, images: [] },
});

describe("accuracy", () => {
  test.each([
    ["right", "</think> 4", "4", {}, 1],
    ["wrong", "</think> 5", "4", {}, 0],
    ["within the tolerance", "4.01", "4", { tolerance: 0.02 }, 1],
    ["malformed", "\\boxed{", "4", {}, 0],
  ])("%s", async (_, completion, answer, params, expected) => {
    expect(await accuracy.score(input(completion, answer), params)).toBe(expected);
  });
});

describe("think_format", () => {
  test.each([
    ["one block", "<think>a</think> 20", 1],
    ["one block over lines", "<think>a\nb</think>\n20", 1],
    ["an empty block", "<think></think>", 1],
    ["two blocks", "<think>a</think><think>b</think>", 0],
    ["never closed", "<think>a", 0],
    ["never opened", "a</think>", 0],
    ["in the wrong order", "</think><think>", 0],
    ["none", "20", 0],
    ["empty", "", 0],
  ])("%s", (_, completion, expected) => {
    expect(thinkFormat.score(input(completion), {})).toBe(expected);
  });

  test("agrees with the paper's expression, and stays linear where that is not", () => {
    const parts = ["<think>", "</think>", "a", "\n"];
    for (let code = 0; code < 4 ** 6; code++) {
      const text = Array.from({ length: 6 }, (_, i) => parts[(code >> (2 * i)) & 3]).join("");
      const blocks = text.match(/<think>.*?<\/think>/gs)?.length ?? 0;
      expect(thinkFormat.score(input(text), {})).toBe(blocks === 1 ? 1 : 0);
    }
    const start = performance.now();
    expect(thinkFormat.score(input("<think>".repeat(100_000)), {})).toBe(0);
    expect(performance.now() - start).toBeLessThan(500);
  });
});

describe("language", () => {
  test.each([
    ["English", "four apples", 0],
    ["empty", "", 0],
    ["accents and symbols", "naïve é π → 🙂", 0],
    ["all Chinese", "四个苹果", -0.1],
    ["half Chinese", "ab四个", -0.05],
    ["kana and hangul", "あア가a", -0.075],
    ["ideographs outside the first plane count as one character", "\u{20000}a", -0.05],
  ])("%s", (_, completion, expected) => {
    expect(language.score(input(completion), {})).toBeCloseTo(expected, 12);
  });
});

describe("length", () => {
  test.each([
    [0, 10, 20, -1],
    [5, 10, 20, -0.5],
    [10, 10, 20, 0],
    [20, 10, 20, 0],
    [25, 10, 20, -0.25],
    [40, 10, 20, -1],
    [400, 10, 20, -1],
    [0, 0, 20, 0],
    [12, 10, 10, -0.2],
  ])("%i tokens in %i .. %i", (token_count, min_tokens, max_tokens, expected) => {
    expect(length.score({ ...input("text"), token_count }, { min_tokens, max_tokens })).toBeCloseTo(expected, 12);
  });
});

describe("overlong", () => {
  // DAPO, eq. 13 with L_max = 20, L_cache = 4
  test.each([
    [0, 0],
    [16, 0],
    [17, -0.25],
    [18, -0.5],
    [20, -1],
    [21, -1],
  ])("%i tokens", (token_count, expected) => {
    const params = { max_tokens: 20, cache_tokens: 4 };
    expect(overlong.score({ ...input("text"), token_count }, params)).toBe(expected);
    expect(overlong.score({ ...input("text"), token_count }, { ...params, max_tokens: null })).toBe(expected);
  });
});

describe("no_eos", () => {
  test.each([
    ["ended", "stop", 3, 0],
    ["cut off", "length", 3, -0.1],
    ["too short", "stop", 2, -0.1],
  ] as const)("%s", (_, finish_reason, token_count, expected) => {
    const params = { penalty: 0.1, min_tokens: 3, mode: "add" } as const;
    expect(noEos.score({ ...input("text"), finish_reason, token_count }, params)).toBe(expected);
  });
});

describe("registry", () => {
  test("weights default to 1, parameters pass through", async () => {
    expect(rewardSchema.parse({ name: "language" })).toEqual({ name: "language", weight: 1, on_error: "fail" });
    const config = rewardSchema.parse({ name: "accuracy", weight: 2, tolerance: 0.5 });
    expect(config).toEqual({ name: "accuracy", weight: 2, on_error: "zero", tolerance: 0.5 });
    expect(await rewardFunction(config)(input("4.4"))).toBe(1);
  });

  test.each([
    ["unknown name", { name: "acuracy" }],
    ["unknown key", { name: "accuracy", tolerence: 1 }],
    ["negative tolerance", { name: "accuracy", tolerance: -1 }],
    ["another reward's key", { name: "language", tolerance: 1 }],
  ])("%s is an error", (_, config) => {
    expect(rewardSchema.safeParse(config).success).toBe(false);
  });
});
