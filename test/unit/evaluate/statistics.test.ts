import { describe, expect, test } from "vitest";
import { bootstrap, passAtK, wilson } from "../../../src/evaluate/statistics.js";

describe("wilson", () => {
  test.each([
    [0, 10, 0, 0.2775],
    [10, 10, 0.7225, 1],
    [5, 10, 0.2366, 0.7634],
    [415, 500, 0.7946, 0.8604],
    [0, 0, 0, 1],
  ])("%i of %i", (correct, items, low, high) => {
    const interval = wilson(correct, items);
    expect(interval[0]).toBeCloseTo(low, 3);
    expect(interval[1]).toBeCloseTo(high, 3);
  });
});

describe("passAtK", () => {
  const choose = (n: number, k: number): number => (k === 0 ? 1 : (choose(n - 1, k - 1) * n) / k);

  test("equals 1 - C(n - c, k) / C(n, k)", () => {
    for (let n = 1; n <= 8; n++)
      for (let c = 0; c <= n; c++)
        for (let k = 1; k <= n; k++) {
          const wrong = n - c < k ? 0 : choose(n - c, k) / choose(n, k);
          expect(passAtK(n, c, k)).toBeCloseTo(1 - wrong, 12);
        }
  });

  test("refuses more than were sampled", () => {
    expect(() => passAtK(2, 1, 3)).toThrow(RangeError);
  });
});

describe("bootstrap", () => {
  const values = Array.from({ length: 200 }, (_, i) => (i % 4 === 0 ? 1 : 0));

  test("holds the mean, and is about as wide as the normal interval", () => {
    const [low, high] = bootstrap(values);
    expect(low).toBeLessThan(0.25);
    expect(high).toBeGreaterThan(0.25);
    expect(high - low).toBeCloseTo(2 * 1.96 * Math.sqrt((0.25 * 0.75) / 200), 1);
  });

  test("gives the same bits for the same seed", () => {
    expect(bootstrap(values, 1)).toEqual(bootstrap(values, 1));
    expect(bootstrap(values, 1)).not.toEqual(bootstrap(values, 2));
  });
});
