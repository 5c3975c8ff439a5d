import type { MetricInfo, RunSummary } from "../api.js";
import type { ChartData, ChartSeries } from "./chart.js";
import { aligned, type Line, meanLine, smoothed } from "./curve-math.js";
import type { RunMetrics, Store } from "./store.js";

/** How curves are drawn. */
export interface CurveSettings {
  smoothing: number;
  x: "step" | "prompts_seen" | "hours";
  is_grouped: boolean;
  is_log: boolean;
  filter: string;
}

/** What one chart shows. */
export interface Topic {
  readonly key: string;
  readonly info: MetricInfo;
  readonly is_evaluation: boolean;
  lineOf(metrics: RunMetrics): Line;
}

const first_section = "Accuracy and reward";
const uncharted = new Set(["epoch", "prompts_seen", "optimizer_step"]);

/** Evaluations first, then the metrics in the order in which the server describes them, then those it does not know. */
export function topicsOf(store: Store): readonly Topic[] {
  const all = store.shownRuns().flatMap(({ id }) => store.metricsOf(id) ?? []);
  const kinds = new Map(
    all.flatMap(({ evaluations }) => evaluations.map((row) => [`${row.split}, ${row.setting}`, row] as const)),
  );
  const evaluations = [...kinds].map(([name, { split, setting }]): Topic => {
    const formula = "mean over items of the share of correct completions (pass@1)";
    const info = { name: `accuracy: ${name}`, unit: "share", formula, section: first_section };
    return {
      key: `evaluation ${name}`,
      info,
      is_evaluation: true,
      lineOf: (metrics) => evaluationLine(metrics, split, setting),
    };
  });
  const names = new Set(all.flatMap(({ metrics }) => [...metrics.keys()]));
  const described = [...store.infos.keys()].filter((name) => names.has(name));
  const others = [...names].filter((name) => !store.infos.has(name));
  const rewards = others.filter((name) => name.startsWith("reward."));
  const ordered = [...rewards, ...described, ...others.filter((name) => !name.startsWith("reward."))];
  const metrics = ordered.flatMap((name): Topic[] => {
    if (uncharted.has(name)) return [];
    const unknown = {
      name,
      unit: "",
      formula: "",
      section: name.startsWith("reward.") ? first_section : "Other metrics",
    };
    const info = store.infos.get(name) ?? unknown;
    return [{ key: name, info, is_evaluation: false, lineOf: (of) => metricLine(of, name) }];
  });
  const order = [first_section, "Completions", "Learning"];
  const rank = ({ info }: Topic): number => (order.includes(info.section) ? order.indexOf(info.section) : order.length);
  return [...evaluations, ...metrics].sort((a, b) => rank(a) - rank(b));
}

function metricLine({ steps, metrics }: RunMetrics, name: string): Line {
  const values = metrics.get(name) ?? [];
  const kept = steps.flatMap((step, i) => (typeof values[i] === "number" ? [[step, values[i]] as const] : []));
  return { steps: kept.map(([step]) => step), xs: kept.map(([step]) => step), ys: kept.map(([, value]) => value) };
}

function evaluationLine({ evaluations }: RunMetrics, split: string, setting: string): Line {
  const kept = evaluations.filter((row) => row.split === split && row.setting === setting);
  const steps = kept.map(({ step }) => step);
  return { steps, xs: steps, ys: kept.map(({ accuracy }) => accuracy) };
}

/** The same line over prompts or hours of stepping instead of steps. */
function over(line: Line, { steps, metrics }: RunMetrics, x: CurveSettings["x"]): Line {
  if (x === "step") return line;
  let hours = 0;
  const places = new Map(
    steps.map((step, i) => {
      hours += (metrics.get("step_seconds")?.[i] ?? 0) / 3600;
      return [step, x === "hours" ? hours : (metrics.get("prompts_seen")?.[i] ?? step)] as const;
    }),
  );
  return { ...line, xs: line.steps.map((step) => places.get(step) ?? 0) };
}

export function chartData(topic: Topic, store: Store, { smoothing, x, is_grouped, is_log }: CurveSettings): ChartData {
  const runs = store.shownRuns();
  const lines = runs.flatMap((run) => {
    const metrics = store.metricsOf(run.id);
    const line = metrics && over(topic.lineOf(metrics), metrics, x);
    return line === undefined || line.ys.length === 0 ? [] : [{ run, line: is_log ? positive(line) : line }];
  });
  const weight = topic.is_evaluation ? 0 : smoothing;
  const kind = topic.is_evaluation ? "dots" : "line";
  const drawn: (Pick<ChartSeries, "name" | "colour" | "kind"> & Pick<Line, "xs" | "ys">)[] = [];
  const bands: [number, number, number][] = [];
  for (const [group, members] of Map.groupBy(lines, ({ run }) => (is_grouped ? run.group : -1))) {
    const smooth = members.map(({ run, line }) => ({
      run,
      raw: line,
      line: { ...line, ys: smoothed(line.ys, weight) },
    }));
    const is_mean = group >= 0 && members.length > 1;
    for (const { run, raw, line } of smooth) {
      const colour = is_grouped ? run.group : colourOf(run, store);
      if (weight > 0 && !is_mean) drawn.push({ name: run.name, colour, kind: "faint", xs: raw.xs, ys: raw.ys });
      drawn.push({ name: run.name, colour, kind: is_mean ? "faint" : kind, xs: line.xs, ys: line.ys });
    }
    if (!is_mean) continue;
    const { xs, ys, high, low } = meanLine(smooth.map(({ line }) => line));
    const { group_name: name } = members[0]!.run;
    bands.push([drawn.length, drawn.length + 1, group]);
    drawn.push({ name, colour: group, kind: "edge", xs, ys: high }, { name, colour: group, kind: "edge", xs, ys: low });
    drawn.push({ name, colour: group, kind, xs, ys });
  }
  const [xs, ...columns] = aligned(drawn);
  return {
    xs,
    bands,
    series: drawn.map(({ name, colour, kind: of }, i) => ({ name, colour, kind: of, ys: columns[i]! })),
  };
}

const positive = (line: Line): Line => ({ ...line, ys: line.ys.map((y) => (y > 0 ? y : NaN)) });

/** By the place in the whole list, so that ticking a run changes no other's colour. */
export const colourOf = ({ id }: RunSummary, store: Store): number => [...store.runs.keys()].indexOf(id);
