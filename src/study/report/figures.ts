import { meanOf } from "../../evaluate/statistics/averages.js";
import { metrics } from "../../reports/metrics.js";
import { type Curve, metricCurve, type RunGroup } from "../../reports/read/groups.js";
import type { ReflectionPoint } from "../../reports/report/reflection-curves.js";
import type { Run } from "../../reports/read/run-folder-reader.js";
import { type Figure, type FigureSection, seriesOf } from "../../reports/report/curves.js";

/** What the paper draws and the report of runs does not: accuracy an epoch of training, and reflection over length. */
export function studyFigures(
  groups: readonly RunGroup<Run>[],
  reflectionOf: (folder: string) => readonly ReflectionPoint[],
): readonly FigureSection[] {
  const figures: Figure[] = [
    {
      ...{ id: "train-accuracy-by-epoch", title: "training accuracy by epoch", unit: "share", x_label: "epoch" },
      caption: metrics.get("epoch_accuracy")!.formula,
      series: seriesOf(groups, epochCurve, true),
    },
    {
      ...{ id: "reflection-over-length", title: "reflection over length", unit: "share", x_label: "tokens" },
      caption: "completions with a reflection word, steps in ten groups by their mean length",
      series: seriesOf(groups, (run) => reflectionOverLength(run, reflectionOf(run.folder)), true).filter(
        ({ is_faint }, _, all) => is_faint === true || all.length === groups.length,
      ),
    },
  ];
  const drawn = figures.filter(({ series }) => series.some(({ points }) => points.length > 1));
  return drawn.length === 0 ? [] : [{ title: "Epochs and reflection", figures: drawn }];
}

/** Each value stands at the epoch that its step completed. */
function epochCurve({ metrics: { steps } }: Run): Curve {
  const epochs = new Map(metricCurve(steps, "epoch"));
  return metricCurve(steps, "epoch_accuracy").map(([step, accuracy]) => [
    Math.floor((epochs.get(step) ?? 0) + 1e-9),
    accuracy,
  ]);
}

const num_groups = 10;

function reflectionOverLength({ metrics: { steps } }: Run, points: readonly ReflectionPoint[]): Curve {
  const lengths = new Map(metricCurve(steps, "completion_length_mean"));
  const both = points
    .flatMap(({ step, ratios: { reflective } }) =>
      lengths.has(step) && reflective !== undefined ? [[lengths.get(step)!, reflective] as const] : [],
    )
    .sort(([a], [b]) => a - b);
  if (both.every(([, ratio]) => ratio === 0)) return [];
  const size = both.length / num_groups;
  return Array.from({ length: num_groups }, (_, i) => both.slice(Math.floor(i * size), Math.floor((i + 1) * size)))
    .filter((group) => group.length > 0)
    .map((group) => [meanOf(group.map(([length]) => length)), meanOf(group.map(([, ratio]) => ratio))]);
}
