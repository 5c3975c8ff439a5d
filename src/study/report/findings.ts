import { meanOf, ranks, shiftedPearson } from "../../evaluate/statistics/averages.js";
import { percentileInterval } from "../../evaluate/statistics/crossed-bootstrap.js";
import { mulberry32 } from "../../evaluate/statistics/random.js";
import { anova } from "../../evaluate/statistics/tests.js";
import { metricCurve, tenthOf } from "../../reports/read/groups.js";
import type { ReflectionPoint } from "../../reports/report/reflection-curves.js";
import type { Table } from "../../reports/report/table.js";
import type { Measured } from "./measured.js";
import { accuracyOf, type Outcome } from "./resampled.js";

/** One of the paper's findings, judged by this study's numbers. Source: arXiv:2504.02587. */
export interface Finding {
  readonly finding: string;
  readonly verdict: "shows" | "does not show" | "the opposite shows" | "cannot be judged";
  readonly statistic: string;
}

const undecided = (finding: string, statistic: string): Finding => ({
  finding,
  verdict: "cannot be judged",
  statistic,
});

const blocks = 4;

/** Analysis of variance of completion lengths: seeds, in blocks of steps over the second half of the run. */
export function lengthFinding({ name, runs }: Measured, alpha: number): Finding {
  const finding = `Response length depends on the seed (${name})`;
  const halves = runs.map(({ run }) => {
    const lengths = metricCurve(run.metrics.steps, "completion_length_mean").map(([, length]) => length);
    return lengths.slice(Math.floor(lengths.length / 2));
  });
  const groups = halves
    .filter((lengths) => lengths.length >= 2 * blocks)
    .map((lengths) => {
      const size = lengths.length / blocks;
      return Array.from({ length: blocks }, (_, i) =>
        meanOf(lengths.slice(Math.floor(i * size), Math.floor((i + 1) * size))),
      );
    });
  const tested = anova(groups);
  if (tested === undefined)
    return undecided(finding, `Needs two seeds with ${4 * blocks} steps each; ${groups.length} have as many.`);
  const means = groups.map(meanOf);
  return {
    finding,
    verdict: tested.p < alpha ? "shows" : "does not show",
    statistic:
      `Mean lengths over the second half of the steps: ${means.map((mean) => mean.toFixed(1)).join(", ")} tokens; ` +
      `${(100 * tested.eta_squared).toFixed(0)} % of the variance of ${blocks} blocks a seed lies between seeds ` +
      `(F ${tested.f.toFixed(1)}, p ${shown(tested.p)}).`,
  };
}

const least_steps = 16;
const shifts = 1999;

/**
 * Spearman's correlation over steps of length and reflection, mean over seeds. The chance of as high a value is found by
 * shifting one curve against the other in a circle, which keeps what neighbouring steps have in common.
 */
export function reflectionFinding(
  { name, runs }: Measured,
  reflectionOf: (folder: string) => readonly ReflectionPoint[],
  alpha: number,
): Finding {
  const finding = `Reflection goes with length (${name})`;
  const curves = runs.flatMap(({ run }) => {
    const lengths = new Map(metricCurve(run.metrics.steps, "completion_length_mean"));
    const both = reflectionOf(run.folder).flatMap(({ step, ratios }) =>
      lengths.has(step) && ratios.reflective !== undefined ? [[lengths.get(step)!, ratios.reflective] as const] : [],
    );
    const ratios = both.map(([, ratio]) => ratio);
    const correlationAt =
      both.length < least_steps ? undefined : shiftedPearson(ranks(both.map(([x]) => x)), ranks(ratios));
    return correlationAt === undefined ? [] : [{ correlationAt, ratios }];
  });
  if (curves.length === 0)
    return undecided(finding, `No seed has ${least_steps} steps in which length and reflection words vary.`);
  const correlation = (shift: (length: number) => number): readonly number[] =>
    curves.map(({ correlationAt, ratios }) => correlationAt(shift(ratios.length)));
  const observed = correlation(() => 0);
  const random = mulberry32(0);
  let as_high = 1;
  for (let i = 0; i < shifts; i++)
    if (Math.abs(meanOf(correlation((n) => 1 + Math.floor(random() * (n - 1))))) >= Math.abs(meanOf(observed)))
      as_high += 1;
  const p = as_high / (shifts + 1);
  const ends = curves.map(
    ({ ratios }) => `${percent(meanOf(tenthOf(ratios, "first")))} to ${percent(meanOf(tenthOf(ratios, "last")))}`,
  );
  return {
    finding,
    verdict: p >= alpha ? "does not show" : meanOf(observed) > 0 ? "shows" : "the opposite shows",
    statistic:
      `Spearman's correlation over steps ${meanOf(observed).toFixed(2)} (seeds: ${observed.map((one) => one.toFixed(2)).join(", ")}; ` +
      `p ${shown(p)} by circular shifts). Completions with a reflection word, first to last tenth of the steps: ${ends.join(", ")}.`,
  };
}

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
const shown = (p: number): string => (p < 0.001 ? p.toExponential(1) : p.toFixed(3));

type Outcomes = ReadonlyMap<Measured, Outcome>;

/** Difference of accuracies, mean over splits, against every supervised entry; items and seeds drawn anew. */
export function generalizationFinding(
  trained: Measured,
  supervised: readonly Measured[],
  splits: { readonly inside: readonly Outcomes[]; readonly outside: readonly Outcomes[] },
): Finding {
  const finding = `Reinforcement learning generalizes better than fine-tuning (${trained.name})`;
  if (splits.outside.length === 0)
    return undecided(finding, "report.out_of_distribution names no split that was evaluated.");
  const compared = supervised.flatMap((other) => {
    const outside = meanDifference(trained, other, splits.outside);
    return outside === undefined ? [] : [{ other, outside, inside: meanDifference(trained, other, splits.inside) }];
  });
  if (compared.length === 0) return undecided(finding, "No fine-tuning entry was measured on the same items.");
  const is_better = compared.every(({ outside }) => outside.interval[0] > 0);
  const is_worse = compared.every(({ outside }) => outside.interval[1] < 0);
  return {
    finding,
    verdict: is_better ? "shows" : is_worse ? "the opposite shows" : "does not show",
    statistic: `Points of accuracy more than: ${compared
      .map(({ other, outside, inside }) => {
        const within = inside === undefined ? "" : `, in distribution ${signed(inside.difference)}`;
        const [low, high] = outside.interval;
        return `${other.name} ${signed(outside.difference)} out of distribution (95 % ${signed(low)} to ${signed(high)})${within}`;
      })
      .join("; ")}.`,
  };
}

const signed = (share: number): string => `${share < 0 ? "" : "+"}${(100 * share).toFixed(1)}`;

function meanDifference(a: Measured, b: Measured, splits: readonly Outcomes[]) {
  const pairs = splits.flatMap((outcomes) => {
    const [of_a, of_b] = [outcomes.get(a), outcomes.get(b)];
    return of_a === undefined || of_b === undefined ? [] : [[of_a, of_b] as const];
  });
  const first = pairs[0]?.[0];
  if (first === undefined) return undefined;
  const rounds = first.rounds.map((_, i) => meanOf(pairs.map(([of_a, of_b]) => of_a.rounds[i]! - of_b.rounds[i]!)));
  return {
    difference: meanOf(pairs.map(([of_a, of_b]) => accuracyOf(of_a) - accuracyOf(of_b))),
    interval: percentileInterval(rounds),
  };
}

export const findingsTable = (findings: readonly Finding[]): Table => ({
  ...{ id: "study-findings", title: "The paper's findings", text_columns: 3 },
  caption: "each judged by the numbers of this study alone",
  header: ["finding", "in this study it", "statistic"],
  rows: findings.map(({ finding, verdict, statistic }) => [finding, verdict, statistic]),
});
