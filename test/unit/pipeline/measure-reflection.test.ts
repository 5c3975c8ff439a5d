import { expect, test } from "vitest";
import { boolColumn, listColumn, offsetsOf, recordBatch } from "../../../src/batches/columns.js";
import type { TrajectoryBatch } from "../../../src/batches/trajectory.js";
import { measureReflection } from "../../../src/pipeline/measure-reflection.js";
import { metric } from "../../../src/reports/metrics.js";

/** Rows with one prompt token and so many sampled ones. */
function trajectories(lengths: readonly number[]): TrajectoryBatch {
  const offsets = offsetsOf(lengths.map((length) => ({ length: length + 1 })));
  const total = offsets[lengths.length]!;
  const bits = new Uint8Array(Math.ceil(total / 8));
  lengths.forEach((length, row) => {
    for (let i = offsets[row]! + 1; i <= offsets[row]! + length; i++) bits[i >> 3]! |= 1 << (i & 7);
  });
  const completion_mask = listColumn(offsets, boolColumn(bits, total));
  return recordBatch({ completion_mask }, lengths.length) as unknown as TrajectoryBatch;
}

const texts = ["wait, 5", "awaiting 5", "check again: 6", "6", "5"];
const accuracy = Float32Array.of(1, 1, 0, 0, 1);

test("the five ratios, lengths and accuracy, by hand", () => {
  const found = measureReflection(trajectories([10, 20, 30, 40, 50]), texts, { accuracy });
  expect(found).toEqual({
    ...{ completions: 5, correct_completions: 3 },
    ...{ reflection_completions: 2, reflection_correct: 1, reflection_ratio: 2 / 5 },
    ...{ reflection_ratio_correct: 1 / 3, reflection_ratio_wrong: 1 / 2 },
    ...{ reflection_accuracy: 1 / 2, reflection_accuracy_others: 2 / 3 },
    ...{ reflection_length: 20, reflection_length_others: (20 + 40 + 50) / 3 },
    ...{ reflection_substring_completions: 3, reflection_substring_correct: 2, reflection_substring_ratio: 3 / 5 },
    ...{ reflection_substring_ratio_correct: 2 / 3, reflection_substring_ratio_wrong: 1 / 2 },
    ...{ reflection_substring_accuracy: 2 / 3, reflection_substring_accuracy_others: 1 / 2 },
    ...{ reflection_substring_length: 20, reflection_substring_length_others: 45 },
  });
  for (const name of Object.keys(found)) expect(metric(name).formula).not.toBe("");
});

test("what divides by 0 is absent, as is what needs an accuracy", () => {
  const none = measureReflection(trajectories([3]), ["5"], { accuracy: Float32Array.of(1) });
  expect(none).toMatchObject({ reflection_ratio: 0, reflection_ratio_correct: 0, reflection_accuracy_others: 1 });
  for (const name of ["ratio_wrong", "accuracy", "length"]) expect(none).not.toHaveProperty(`reflection_${name}`);
  const all = measureReflection(trajectories([3]), ["wait"], { accuracy: Float32Array.of(0) });
  expect(all).toMatchObject({ reflection_ratio: 1, reflection_ratio_wrong: 1, reflection_accuracy: 0 });
  for (const name of ["ratio_correct", "accuracy_others", "length_others"])
    expect(all).not.toHaveProperty(`reflection_${name}`);
  expect(Object.keys(measureReflection(trajectories([3, 4]), ["wait", "5"], {})).sort()).toEqual(
    ["completions", ...["reflection", "reflection_substring"].flatMap((prefix) => partsOf(prefix))].sort(),
  );
});

const partsOf = (prefix: string): string[] =>
  ["completions", "ratio", "length", "length_others"].map((name) => `${prefix}_${name}`);
