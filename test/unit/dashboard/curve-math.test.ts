import { describe, expect, test } from "vitest";
import { aligned, meanLine, smoothed } from "../../../src/dashboard/page/curve-math.js";

describe("smoothed", () => {
  test("a constant stays what it is from the first point on", () => {
    for (const value of smoothed([3, 3, 3, 3], 0.9)) expect(value).toBeCloseTo(3, 12);
  });
  test("weights fall by the factor, and add up to one", () => {
    expect(smoothed([1, 0, 0], 0.5)).toEqual([1, 0.25 / 0.75, 0.125 / 0.875]);
    expect(smoothed([1, 5], 0)).toEqual([1, 5]);
  });
});

test("the mean of lines of different lengths, with one sample standard deviation", () => {
  const mean = meanLine([
    { steps: [1, 2], xs: [10, 20], ys: [1, 2] },
    { steps: [2, 3], xs: [22, 30], ys: [4, 5] },
  ]);
  expect(mean).toEqual({
    steps: [1, 2, 3],
    xs: [10, 21, 30],
    ys: [1, 3, 5],
    low: [1, 3 - Math.SQRT2, 5],
    high: [1, 3 + Math.SQRT2, 5],
  });
});

test("columns over one x", () => {
  expect(
    aligned([
      { xs: [2, 1], ys: [5, 4] },
      { xs: [3], ys: [6] },
    ]),
  ).toEqual([
    [1, 2, 3],
    [4, 5, null],
    [null, null, 6],
  ]);
});
