import type { Curve } from "../read/groups.js";
import { meanCurve } from "../read/groups.js";
import type { ReflectionPoint } from "./reflection-curves.js";
import { ratio_names, type RatioName } from "../reflection-statistics.js";
import type { Figure, FigureSection } from "./curves.js";
import type { LineSeries } from "../figures/line-figure.js";

interface ReflectionGroup {
  readonly name: string;
  readonly curves: readonly (readonly ReflectionPoint[])[];
}

/** The five ratios, a line a group; and for each group the counts of its most frequent words. */
export function reflectionFigures(groups: readonly ReflectionGroup[]): readonly FigureSection[] {
  const drawn = groups.filter(({ curves }) => curves.some((points) => points.length > 1));
  if (drawn.length === 0) return [];
  const ratios = (Object.keys(ratio_names) as RatioName[]).map((ratio): Figure => ({
    id: `reflection-${ratio.replaceAll(" ", "-")}`,
    ...{ title: ratio, unit: "share", x_label: "step", caption: `${ratio_names[ratio]}; whole words` },
    series: groups.flatMap(({ name, curves }, colour) =>
      meanSeries(name, colour, curves, ({ ratios: values }) => values[ratio]),
    ),
  }));
  const counts = groups.flatMap(({ name, curves }, i): Figure[] => {
    const words = frequentWords(curves.flat());
    if (words.length === 0) return [];
    const series = words.flatMap((word, colour) => meanSeries(word, colour, curves, (point) => point.counts[word]));
    const caption = "occurrences in the completions of a step, mean over runs; whole words";
    const id = `reflection-words-${i}`;
    return [{ id, title: `words: ${name}`, unit: "occurrences", x_label: "step", caption, series, with_legend: true }];
  });
  const shown = ratios.filter(({ series }) => series.some(({ points }) => points.some(([, value]) => value > 0)));
  return shown.length + counts.length === 0 ? [] : [{ title: "Reflection", figures: [...shown, ...counts] }];
}

function meanSeries(
  name: string,
  colour: number,
  curves: readonly (readonly ReflectionPoint[])[],
  valueOf: (point: ReflectionPoint) => number | undefined,
): LineSeries[] {
  const values = curves.map((points): Curve =>
    points.flatMap((point) => (valueOf(point) === undefined ? [] : [[point.step, valueOf(point)!] as const])),
  );
  const mean = meanCurve(values);
  if (mean.length === 0) return [];
  const band =
    values.length > 1 ? mean.map(({ step, mean, std }) => [step, mean - std, mean + std] as const) : undefined;
  return [{ name, colour, points: mean.map(({ step, mean }) => [step, mean]), band }];
}

const max_words = 6;

function frequentWords(points: readonly ReflectionPoint[]): readonly string[] {
  const totals = new Map<string, number>();
  for (const { counts } of points)
    for (const [word, count] of Object.entries(counts)) totals.set(word, (totals.get(word) ?? 0) + count);
  return [...totals]
    .filter(([, count]) => count > 0)
    .sort(([, a], [, b]) => b - a)
    .slice(0, max_words)
    .map(([word]) => word);
}
