import type { LineFigure, LineSeries } from "../figures/line-figure.js";
import { metrics } from "../metrics.js";
import { type Curve, evaluationCurve, meanCurve, metricCurve, type RunGroup } from "../read/groups.js";
import type { Run } from "../read/run-folder-reader.js";

export interface Figure extends LineFigure {
  /** File name without ending. */
  readonly id: string;
  readonly caption: string;
}

export interface FigureSection {
  readonly title: string;
  readonly figures: readonly Figure[];
}

/** What stands where; a metric that is not named here comes last. */
const sections: readonly (readonly [title: string, pattern: RegExp])[] = [
  ["Accuracy and reward", /^(epoch_accuracy|reward|advantage|equal_reward|solve_)/],
  ["Completions", /^(completion_length|truncated|repetition|prompt_length|completions|correct_completions|masked)/],
  [
    "Learning",
    /^(loss|policy_loss|kl_|clip_fraction|dual_clip|entropy|ratio_|grad_norm|learning_rate|optimizer_step|clamped|skipped|importance_|effective_)/,
  ],
  ["Reflection", /^reflection_/],
  ["Sampler against trainer", /^rollout_mismatch/],
  ["Time and memory", /(_seconds|_per_second|_bytes|_tokens)$/],
  ["Other metrics", /^/],
];

/** Heading under which a metric is shown. */
export const sectionOf = (name: string): string => sections.find(([, pattern]) => pattern.test(name))![0];

/** Counters that say where a run stands, not how it goes. */
const uncharted = new Set(["epoch", "prompts_seen", "optimizer_step"]);

/** Title of a metric's figure: its name in words. */
export const titleOf = (name: string): string =>
  name.startsWith("reward.") ? `reward: ${name.slice(7)}` : name.replaceAll("_", " ");

/** A line a group: the mean over its runs, which stand behind it, in a band of one standard deviation. */
export function seriesOf(
  groups: readonly RunGroup<Run>[],
  curveOf: (run: Run) => Curve,
  with_dots = false,
): LineSeries[] {
  return groups.flatMap(({ name, runs }, colour): LineSeries[] => {
    const curves = runs.map(curveOf).filter((curve) => curve.length > 0);
    if (curves.length === 0) return [];
    const [only] = curves;
    if (curves.length === 1) return [{ name, colour, points: only!, with_dots }];
    const mean = meanCurve(curves).filter(({ num_runs }) => num_runs > 1);
    const faint = curves.map((points, i): LineSeries => ({ name: `${name} ${i}`, colour, points, is_faint: true }));
    const band = mean.map(({ step, mean, std }) => [step, mean - std, mean + std] as const);
    return [...faint, { name, colour, points: mean.map(({ step, mean }) => [step, mean]), band, with_dots }];
  });
}

export function evaluationFigures(groups: readonly RunGroup<Run>[]): readonly Figure[] {
  const points = groups.flatMap(({ runs }) => runs.flatMap(({ metrics: { evaluations } }) => evaluations));
  const kinds = new Map(points.map(({ split, setting }) => [`${split} ${setting}`, { split, setting }]));
  return [...kinds.values()].map(({ split, setting }) => ({
    id: `accuracy-${split}-${setting}`.replace(/[^\w.-]+/g, "-"),
    title: `accuracy on ${split}, ${setting}`,
    ...{ unit: "share", x_label: "step" },
    caption: "mean over items of the share of correct completions (pass@1)",
    series: seriesOf(groups, (run) => evaluationCurve(run.metrics.evaluations, split, setting), true),
  }));
}

export function metricSections(groups: readonly RunGroup<Run>[]): readonly FigureSection[] {
  const runs = groups.flatMap((group) => group.runs);
  const names = new Set(runs.flatMap((run) => run.metrics.steps.flatMap(({ metrics }) => Object.keys(metrics))));
  const known = [...metrics.keys()];
  const order = (name: string): number =>
    known.includes(name) ? known.indexOf(name) : name.startsWith("reward.") ? 3 : 1000;
  const titles = sections.map(([title]) => title).filter((title) => title !== "Reflection"); // reflection-figures.ts
  return titles.flatMap((title) => {
    const here = [...names].filter((name) => sectionOf(name) === title && !uncharted.has(name));
    const figures = here.sort((a, b) => order(a) - order(b)).map((name) => metricFigure(groups, name));
    const drawn = figures.filter(({ series }) => series.some(({ points }) => points.length > 1));
    return drawn.length === 0 ? [] : [{ title, figures: drawn }];
  });
}

function metricFigure(groups: readonly RunGroup<Run>[], name: string): Figure {
  const { unit = "", formula = "" } = metrics.get(name) ?? (name.startsWith("reward.") ? reward_part : {});
  const series = seriesOf(groups, (run) => metricCurve(run.metrics.steps, name), name === "epoch_accuracy");
  return { id: name.replace(/[^\w.-]+/g, "-"), title: titleOf(name), unit, x_label: "step", caption: formula, series };
}

const reward_part = { unit: "reward", formula: "mean over N of this reward before its weight" };
