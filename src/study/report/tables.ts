import { interquartileMean } from "../../evaluate/statistics/averages.js";
import { percentileInterval, stratifiedInterval } from "../../evaluate/statistics/crossed-bootstrap.js";
import { meanAndStd } from "../../reports/read/groups.js";
import type { Table } from "../../reports/report/table.js";
import type { StudyConfig } from "../schema.js";
import type { Comparison } from "./comparisons.js";
import { type Kind, kindsOf, type Measured, pointsOf } from "./measured.js";
import type { Outcome } from "./resampled.js";

const points = (share: number): string => (100 * share).toFixed(1);
const between = ([low, high]: readonly [number, number]): string => `${points(low)} to ${points(high)}`;
const spread = (values: readonly number[]): string => {
  if (values.length === 0) return "";
  const { mean, std } = meanAndStd(values);
  return values.length === 1 ? points(mean) : `${points(mean)} ± ${points(std)}`;
};

/** The paper's Table 3. Source: arXiv:2504.02587. */
export function accuracyTable(
  entries: readonly Measured[],
  outcomesAt: (cell: string, kind: Kind) => ReadonlyMap<Measured, Outcome>,
): Table {
  const rows = kindsOf(entries).flatMap((kind) =>
    entries.flatMap((entry) => {
      const curves = entry.runs
        .map((run) => pointsOf(run, kind.split, kind.setting))
        .filter((curve) => curve.length > 0)
        .map((curve) => curve.map(({ accuracy }) => accuracy));
      if (curves.length === 0) return [];
      const outcome = outcomesAt(entry.cell, kind).get(entry);
      const num_items = pointsOf(entry.runs[0]!, kind.split, kind.setting)[0]?.num_items ?? 0;
      return [
        [
          ...[kind.split, kind.setting, entry.name, String(curves.length), String(num_items)],
          spread(curves.map((curve) => meanAndStd(curve).mean)),
          spread(curves.map((curve) => Math.max(...curve))),
          spread(curves.map((curve) => curve.at(-1)!)),
          outcome === undefined ? "" : between(percentileInterval(outcome.rounds)),
        ],
      ];
    }),
  );
  return {
    ...{ id: "study-accuracy", title: "Accuracy of the study's entries, %", rows, text_columns: 3 },
    caption:
      "mean and maximum over the evaluations of a run, and its last one; each averaged over seeds, ± standard deviation " +
      "over seeds. Interval: 95 % of the last accuracy, items and seeds drawn anew; from a few seeds it comes out too narrow. " +
      "A maximum over test evaluations is optimistic.",
    header: ["split", "setting", "entry", "seeds", "items", "mean", "maximum", "last", "95 % interval"],
  };
}

export function comparisonTable(
  comparisons: readonly Comparison[],
  setting: string,
  { alpha }: StudyConfig["report"],
): Table {
  const p = (value: number): string => (value < 0.001 ? value.toExponential(1) : value.toFixed(3));
  return {
    ...{ id: "study-comparisons", title: `Differences of the last accuracies, points (${setting})`, text_columns: 3 },
    caption:
      `first minus second entry on the same items and seeds. p: exact paired sign-flip test over items (McNemar's, for one seed ` +
      `and one completion); p Holm: corrected over this table's ${comparisons.length} tests. Interval: 95 %, items and seeds ` +
      `drawn anew. Better or worse: p Holm below ${alpha} and the interval does not hold 0. Detectable: the difference that ` +
      "these items would show with the study's power, before the correction.",
    header: [
      "first",
      "second",
      "split",
      "seeds",
      "difference",
      "95 % interval",
      "p",
      "p Holm",
      "detectable",
      "first is",
    ],
    rows: comparisons.map((one) => [
      ...[one.a.name, one.b.name, one.split, String(one.num_seeds)],
      ...[points(one.difference), between(one.interval), p(one.p), p(one.p_holm), points(one.detectable), one.verdict],
    ]),
  };
}

/** One number for each entry: over splits and seeds, extremes left out. */
export function aggregateTable(entries: readonly Measured[], setting: string): Table {
  const rows = entries.flatMap((entry) => {
    const splits = kindsOf([entry]).flatMap((kind) => (kind.setting === setting ? [kind.split] : []));
    const tasks = splits.map((split) =>
      entry.runs.flatMap((run) => pointsOf(run, split, setting).at(-1)?.accuracy ?? []),
    );
    if (tasks.flat().length === 0) return [];
    const interval = stratifiedInterval(tasks, interquartileMean);
    return [
      [
        ...[entry.name, String(tasks.length), String(entry.runs.length)],
        ...[points(interquartileMean(tasks.flat())), between(interval), points(meanAndStd(tasks.flat()).mean)],
      ],
    ];
  });
  return {
    ...{ id: "study-aggregate", title: `Interquartile mean of the last accuracies, % (${setting})`, rows },
    caption:
      "over splits and seeds, a quarter of the scores left out at each end; 95 % interval: seeds drawn anew within each split",
    header: ["entry", "splits", "seeds", "IQM", "95 % interval", "mean"],
  };
}

const sum = (values: readonly (number | undefined)[]): number =>
  values.reduce<number>((total, value) => total + (value ?? 0), 0);

/** What each entry took: equal rows make a fair comparison. */
export function costTable(entries: readonly Measured[], secondsOf: (entry: Measured) => readonly number[]): Table {
  const rows = entries.flatMap((entry) => {
    if (entry.kind === "start_of") return [];
    const totals = entry.runs.map(({ run: { metrics } }) => {
      const of = (name: string) => sum(metrics.steps.map((point) => point.metrics[name]));
      const sampled = sum(
        metrics.steps.map(({ metrics: m }) => (m["rollout_tokens_per_second"] ?? 0) * (m["rollout_seconds"] ?? 0)),
      );
      return { steps: metrics.steps.length, sampled, learned: of("completion_tokens"), seconds: of("step_seconds") };
    });
    const mean = (pick: (total: (typeof totals)[number]) => number): number => sum(totals.map(pick)) / totals.length;
    const whole = secondsOf(entry);
    return [
      [
        ...[entry.name, String(Math.round(mean(({ steps }) => steps))), thousands(mean(({ sampled }) => sampled))],
        ...[thousands(mean(({ learned }) => learned)), mean(({ seconds }) => seconds).toFixed(0)],
        (sum(whole) / Math.max(1, whole.length)).toFixed(0),
      ],
    ];
  });
  return {
    ...{ id: "study-cost", title: "What a run of each entry took", rows },
    caption:
      "means over seeds. Tokens of completions, in thousands: sampled, and learned from. Seconds of all steps; then of the whole " +
      "process, evaluations and start included. What the entry starts from comes on top.",
    header: ["entry", "steps", "sampled, k tokens", "learned from, k tokens", "steps, s", "process, s"],
  };
}

const thousands = (count: number): string => (count / 1000).toFixed(0);
