import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { bootstrap, passAtK, wilson } from "../../../src/evaluate/statistics.js";
import { interquartileMean, pearson, spearman } from "../../../src/evaluate/statistics/averages.js";
import {
  crossedBootstrap,
  percentileInterval,
  type Shares,
  stratifiedInterval,
} from "../../../src/evaluate/statistics/crossed-bootstrap.js";
import { fTail, normalCdf, normalQuantile, tCdf, tQuantile } from "../../../src/evaluate/statistics/distributions.js";
import { detectableDifference } from "../../../src/evaluate/statistics/power.js";
import { mulberry32 } from "../../../src/evaluate/statistics/random.js";
import { anova, binomialTest, holm, mcnemar, pairedPermutation } from "../../../src/evaluate/statistics/tests.js";

interface Case {
  readonly function: string;
  readonly arguments: readonly never[];
  readonly expected: number | readonly number[];
  /** Relative to 1 or to the expected value, whichever is larger; of resampled intervals absolute. */
  readonly tolerance: number;
}
const cases = JSON.parse(
  readFileSync(new URL("../../fixtures/statistics/cases.json", import.meta.url), "utf8"),
) as Case[];

const functions: Record<string, (...args: never[]) => unknown> = {
  ...{ wilson, binomialTest, mcnemar, pairedPermutation, holm, interquartileMean, pearson, spearman },
  ...{ normalQuantile, normalCdf, tQuantile, tCdf, fTail, passAtK, detectableDifference },
  anova: (groups: readonly number[][]) => {
    const { f, p } = anova(groups)!;
    return [f, p];
  },
  bootstrap: (values: readonly number[]) => bootstrap(values, 0, 20_000),
  crossedInterval: (shares: Shares) => percentileInterval(crossedBootstrap([shares], 0, 20_000)[0]!),
  stratifiedInterval: (tasks: readonly number[][]) => stratifiedInterval(tasks, interquartileMean, 0, 10_000),
};

test("at least 20 cases", () => {
  expect(cases.length).toBeGreaterThanOrEqual(20);
});

const flat = (value: unknown): readonly number[] => (Array.isArray(value) ? value : [value]) as number[];

test.each(cases.map((one, i) => [`${i}: ${one.function}`, one] as const))("%s is as scipy has it", (_, one) => {
  const got = flat(functions[one.function]!(...one.arguments));
  const expected = flat(one.expected);
  expect(got).toHaveLength(expected.length);
  got.forEach((value, i) => {
    expect(Math.abs(value - expected[i]!)).toBeLessThanOrEqual(one.tolerance * Math.max(1, Math.abs(expected[i]!)));
  });
});

test("tails keep their relative precision", () => {
  expect(normalCdf(-8) / 6.220960574271819e-16).toBeCloseTo(1, 9);
  expect(binomialTest(0, 60) / (2 * 0.5 ** 60)).toBeCloseTo(1, 9);
});

test("the permutation test of single differences is McNemar's", () => {
  for (const [a, b] of [
    [30, 12],
    [7, 9],
    [400, 350],
  ] as const) {
    const differences = [...Array<number>(a).fill(1), ...Array<number>(b).fill(-1), ...Array<number>(100).fill(0)];
    expect(pairedPermutation(differences)).toBeCloseTo(mcnemar(a, b), 10);
  }
});

/** Right or wrong on 1,000 items: model A is right at `share`, B changes `lost` of A's right answers and mends `won` items. */
function pairs(random: () => number, share: number, lost: number, won: number): number[] {
  return Array.from({ length: 1000 }, () => {
    const a = random() < share ? 1 : 0;
    const draw = random();
    const b = a === 1 ? (draw < lost / share ? 0 : 1) : draw < won / (1 - share) ? 1 : 0;
    return b - a;
  });
}

test("a regression of 5 points in 1,000 items is flagged in 9 of 10 studies, noise in at most 1 of 15", () => {
  const random = mulberry32(2026);
  const studies = 250;
  let [found, false_alarms] = [0, 0];
  for (let i = 0; i < studies; i++) {
    if (pairedPermutation(pairs(random, 0.7, 0.125, 0.075)) < 0.05) found += 1; // 20 % of the items change
    if (pairedPermutation(pairs(random, 0.7, 0.1, 0.1)) < 0.05) false_alarms += 1;
  }
  console.log(`found ${found} of ${studies}, false alarms ${false_alarms} of ${studies}`);
  expect(found / studies).toBeGreaterThanOrEqual(0.9);
  expect(false_alarms / studies).toBeLessThanOrEqual(1 / 15);
});

test("the detectable difference is found with about its power", () => {
  const random = mulberry32(7);
  const difference = detectableDifference({
    ...{ num_items: 1000, num_seeds: 1, discordant_share: 0.2, seed_std: 0, alpha: 0.05, power: 0.8 },
  });
  const [lost, won] = [0.1 + difference / 2, 0.1 - difference / 2];
  let found = 0;
  for (let i = 0; i < 400; i++) if (pairedPermutation(pairs(random, 0.7, lost, won)) < 0.05) found += 1;
  expect(found / 400).toBeGreaterThan(0.73);
  expect(found / 400).toBeLessThan(0.87);
});
