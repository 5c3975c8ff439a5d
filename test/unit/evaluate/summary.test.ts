import { expect, test } from "vitest";
import type { Control, EvaluationSample } from "../../../src/evaluate/result.js";
import { lengthBuckets, passCounts, summary, visualGain } from "../../../src/evaluate/summary.js";

const sample = (item: number, correct: boolean, control: Control = "none"): EvaluationSample => ({
  ...{ item, item_id: `i${item}`, setting: "t1", control, sample_index: 0, completion: "", answer: "" },
  ...{
    final_answer: null,
    correct,
    reward_breakdown: { accuracy: Number(correct) },
    completion_length: 4,
    finish_reason: "stop",
    logprob_sum: -1,
  },
});

test("pass@k and maj@k are computed for powers of two, and all", () => {
  expect([1, 2, 6, 8].map(passCounts)).toEqual([[1], [1, 2], [1, 2, 4, 6], [1, 2, 4, 8]]);
});

test("accuracy, pass@k and maj@k of two items with two completions", () => {
  const samples = [sample(0, true), sample(0, false), sample(1, false), sample(1, false)];
  const classes = [
    [0, 1],
    [1, 1],
  ];
  const named = { setting: "t1", control: "none", completions_per_prompt: 2 } as const;
  const result = summary(named, { samples, classes }, 0);
  expect(result).toMatchObject({ num_items: 2, accuracy: 0.25, correct: [1, 0], truncated: 0 });
  expect(result.pass_at).toEqual({ 1: 0.25, 2: 0.5 });
  expect(result.majority_at).toEqual({ 1: 0.5, 2: 0.5 });
});

test("length buckets end at the quartiles and hold every completion once", () => {
  const samples = [1, 2, 3, 4, 5, 6, 7, 8].map((completion_length) => ({
    completion_length,
    correct: completion_length > 4,
  }));
  expect(lengthBuckets(samples)).toEqual([
    { max_length: 2, num_completions: 2, accuracy: 0 },
    { max_length: 4, num_completions: 2, accuracy: 0 },
    { max_length: 6, num_completions: 2, accuracy: 1 },
    { max_length: 8, num_completions: 2, accuracy: 1 },
  ]);
  expect(lengthBuckets(samples.map((one) => ({ ...one, completion_length: 3 })))).toHaveLength(1);
  expect(lengthBuckets([])).toEqual([]);
});

test("visual gain compares the control's items only", () => {
  const own = [sample(0, false), sample(1, true), sample(2, true)];
  const controlled = [sample(1, true, "blank"), sample(2, false, "blank")];
  const named = { setting: "t1", control: "blank", completions_per_prompt: 1 } as const;
  expect(visualGain(own, controlled, named, 0)).toMatchObject({ num_items: 2, gain: 0.5, interval: [0, 1] });
});
