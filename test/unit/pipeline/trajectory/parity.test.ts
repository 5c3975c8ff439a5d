import { describe, expect, test } from "vitest";
import {
  auto_limits,
  checkMismatch,
  effectiveSampleSize,
  type Mismatch,
  mismatchToLimit,
  resolveLimits,
} from "../../../../src/pipeline/trajectory/parity.js";
import { rolloutMismatch } from "../../../../src/pipeline/trajectory/parity.js";
import { float32Column, listColumn, recordBatch } from "../../../../src/batches/columns.js";
import type { Scores } from "../../../../src/batches/rollout.js";
import { repetition } from "../../../../src/pipeline/trajectory/repetition.js";
import { alignedFloats, rolloutOf, type Row } from "../../../helpers/trajectories.js";

function expectNear(value: number, expected: number): void {
  if (Number.isNaN(expected)) expect(value).toBeNaN();
  else expect(value).toBeCloseTo(expected, 9);
}

test.each([
  ["equal weights", [0.5, 0.5, 0.5], 1],
  ["one of two has all the weight", [100, -100], 0.5],
  ["3 to 1", [Math.log(3), 0], 16 / (2 * 10)],
  ["weights beyond float64", [2000, 2000], 1],
  ["no weights", [], 1],
  ["NaN", [0, Number.NaN], Number.NaN],
])("effective sample size: %s", (_, log_weights, expected) => {
  expectNear(effectiveSampleSize(log_weights), expected);
});

test("over a batch: each number by its formula", () => {
  const rows: readonly Row[] = [2, 3].map((length, prompt_id) => ({
    ...{ prompt_id, prompt: Int32Array.of(1), image_ids: [] },
    completion: Int32Array.from({ length }, () => 5),
  }));
  const difference = [
    [0.1, -0.2],
    [0.3, 0, 0],
  ];
  const recorded = alignedFloats(rows, () => -1);
  const scored = alignedFloats(rows, (row, token) => -1 + difference[row]![token]!);
  const rollouts = rolloutOf(rows, recorded);
  const offsets = Int32Array.of(0, 3, 7);
  const scores = recordBatch({ logprobs: listColumn(offsets, float32Column(scored)) }, 2) as Scores;
  const found = rolloutMismatch(rollouts, scores);
  const all = difference.flat();
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  expect(found.rollout_mismatch_max).toBeCloseTo(0.3, 6);
  expect(found.rollout_mismatch_p99).toBeCloseTo(0.3, 6);
  expect(found.rollout_mismatch_mean).toBeCloseTo(0.12, 6);
  expect(found.rollout_mismatch_kl).toBeCloseTo(mean(all.map((d) => Math.exp(d) - 1 - d)), 6);
  expect(found.rollout_mismatch_ess).toBeCloseTo(effectiveSampleSize(all), 6);
  expect(found.rollout_mismatch_sequence_ess).toBeCloseTo(effectiveSampleSize([-0.1, 0.3]), 6);
});

const exact: Mismatch = {
  ...{ rollout_mismatch_max: 0, rollout_mismatch_mean: 0, rollout_mismatch_p99: 0, rollout_mismatch_kl: 0 },
  ...{ rollout_mismatch_ess: 1, rollout_mismatch_sequence_ess: 1 },
};
const auto = { max: "auto", p99: "auto", kl: "auto", ess: "auto" } as const;

describe("limits", () => {
  test("auto is the dtype's, null is none, a number is itself", () => {
    expect(resolveLimits(auto, "bfloat16")).toEqual(auto_limits.bfloat16);
    expect(resolveLimits({ max: 0.1, p99: null, kl: 1, ess: "auto" }, "float32")).toEqual({
      ...{ max: 0.1, p99: null, kl: 1, ess: 0.999 },
    });
  });

  test.each([
    ["nothing", exact, auto_limits.float32, undefined, 0],
    ["at the limit", { ...exact, rollout_mismatch_max: 1e-4 }, auto_limits.float32, undefined, 1],
    [
      "max",
      { ...exact, rollout_mismatch_max: 3e-4 },
      auto_limits.float32,
      /rollout_mismatch_max 3.00e-4 nats, the limit is 0.0001/,
      3,
    ],
    ["kl", { ...exact, rollout_mismatch_kl: 2e-3 }, auto_limits.bfloat16, /rollout_mismatch_kl 2.00e-3/, 2],
    [
      "ess",
      { ...exact, rollout_mismatch_ess: 0.5 },
      auto_limits.bfloat16,
      /rollout_mismatch_ess 0.5000, the limit is 0.99/,
      50,
    ],
    ["NaN", { ...exact, rollout_mismatch_kl: Number.NaN }, auto_limits.bfloat16, /rollout_mismatch_kl NaN/, Number.NaN],
    [
      "all off",
      { ...exact, rollout_mismatch_max: 9 },
      { max: null, p99: null, kl: null, ess: null },
      undefined,
      undefined,
    ],
  ])("%s", (_, mismatch, limits, message, ratio) => {
    if (ratio === undefined) expect(mismatchToLimit(mismatch, limits)).toBeUndefined();
    else expectNear(mismatchToLimit(mismatch, limits)!, ratio);
    if (message === undefined) expect(() => checkMismatch(mismatch, limits)).not.toThrow();
    else expect(() => checkMismatch(mismatch, limits)).toThrow(message);
  });
});

test.each([
  ["no 4-gram", [1, 2, 3], 0],
  ["all distinct", [1, 2, 3, 4, 5, 6], 0],
  ["one token over and over", [7, 7, 7, 7, 7, 7, 7, 7], 1 - 1 / 5],
  ["a pair over and over", [1, 2, 1, 2, 1, 2, 1, 2], 1 - 2 / 5],
  ["the same pairs in another order are other 4-grams", [1, 2, 3, 4, 9, 3, 4, 1, 2], 0],
  ["large ids", [151_000, 151_001, 151_002, 151_003, 151_000, 151_001, 151_002, 151_003], 1 - 4 / 5],
])("repetition: %s", (_, tokens, expected) => {
  expect(repetition(tokens)).toBeCloseTo(expected, 12);
});
