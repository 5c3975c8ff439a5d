import { formatMetric } from "../format-metric.js";
import { evaluationCurve, meanAndStd, median, metricCurve, type RunGroup, tenthOf } from "../read/groups.js";
import type { ReflectionPoint } from "./reflection-curves.js";
import { ratio_names, type RatioName } from "../reflection-statistics.js";
import type { Run } from "../read/run-folder-reader.js";
import type { StepTime } from "../read/step-time.js";
import type { Table } from "./table.js";

const percent = (share: number): string => (100 * share).toFixed(1);

/** "63.2 ± 1.4" over runs; without a deviation for one. */
const spread = (values: readonly number[], show: (value: number) => string): string => {
  if (values.length === 0) return "";
  const { mean, std } = meanAndStd(values);
  return values.length === 1 ? show(mean) : `${show(mean)} ± ${show(std)}`;
};

/** The paper's table: mean and maximum over evaluations, each averaged over the runs. */
export function evaluationTable(groups: readonly RunGroup<Run>[]): Table {
  const rows = groups.flatMap(({ name, runs }) => {
    const all = runs.flatMap(({ metrics: { evaluations } }) => evaluations);
    const kinds = new Map(all.map(({ split, setting }) => [`${split} ${setting}`, { split, setting }]));
    return [...kinds.values()].map(({ split, setting }) => {
      const curves = runs.map((run) => evaluationCurve(run.metrics.evaluations, split, setting));
      const of = (pick: (values: readonly number[]) => number | undefined): string =>
        spread(
          curves.flatMap((curve) => pick(curve.map(([, value]) => value)) ?? []),
          percent,
        );
      const before = curves.flatMap((curve) => curve.find(([step]) => step === 0)?.[1] ?? []);
      const trained = curves.map((curve) => curve.filter(([step]) => step > 0).map(([, value]) => value));
      const over = (pick: (values: readonly number[]) => number): string =>
        spread(trained.filter((values) => values.length > 0).map(pick), percent);
      const num_items = all.find((point) => point.split === split && point.setting === setting)!.num_items;
      return [
        ...[name, split, setting, String(runs.length), String(num_items)],
        ...[spread(before, percent), of((values) => values.at(-1))],
        ...[over((values) => meanAndStd(values).mean), over((values) => Math.max(...values))],
      ];
    });
  });
  return {
    ...{ id: "accuracy", title: "Accuracy, %", rows, text_columns: 3 },
    caption:
      "share of correct completions, mean ± standard deviation over runs. Mean and maximum are over the evaluations after " +
      "step 0 of each run; a maximum over test evaluations is optimistic.",
    header: ["run", "split", "setting", "runs", "items", "before", "last", "mean", "maximum"],
  };
}

/** Accuracy of the last step and of the selected one, where a run selects one. */
export function selectedTable(groups: readonly RunGroup<Run>[]): Table {
  const rows = groups.flatMap(({ name, runs }) => {
    const selecting = runs.filter(({ selected_step }) => selected_step !== null);
    const points = selecting.flatMap((run) => {
      const { evaluations } = run.metrics;
      const last = Math.max(...evaluations.map(({ step }) => step));
      return evaluations.flatMap((point) => {
        const { split, setting, accuracy } = point;
        const is_same = (other: typeof point): boolean => other.split === split && other.setting === setting;
        const selected = evaluations.find((other) => is_same(other) && other.step === run.selected_step);
        return point.step === last && selected !== undefined ? [{ split, setting, accuracy, selected }] : [];
      });
    });
    const kinds = new Map(points.map(({ split, setting }) => [`${split} ${setting}`, { split, setting }]));
    return [...kinds.values()].map(({ split, setting }) => {
      const here = points.filter((point) => point.split === split && point.setting === setting);
      const of = (pick: (point: (typeof here)[number]) => number): string => spread(here.map(pick), percent);
      const steps = selecting.map(({ selected_step }) => selected_step).join(", ");
      return [
        ...[name, split, setting, String(here.length), steps],
        ...[of(({ accuracy }) => accuracy), of(({ selected }) => selected.accuracy)],
      ];
    });
  });
  return {
    ...{ id: "selected", title: "Last and selected step, accuracy in %", rows, text_columns: 3 },
    caption:
      "the selected step is the checkpoint that checkpoint.best_by chose; on the split that chose it its accuracy is optimistic",
    header: ["run", "split", "setting", "runs", "selected steps", "last", "selected"],
  };
}

const summarised = [
  "reward_mean",
  "loss",
  "completion_length_mean",
  "truncated",
  "entropy",
  "kl_reference",
  "grad_norm",
  "rollout_tokens_per_second",
  "step_seconds",
  "peak_rss_bytes",
];

/** First tenth of the steps against the last. */
export function trainingTable(groups: readonly RunGroup<Run>[]): Table {
  const rows = groups.flatMap(({ name, runs }) =>
    summarised.flatMap((metric) => {
      const curves = runs.map((run) => metricCurve(run.metrics.steps, metric).map(([, value]) => value));
      const drawn = curves.filter((values) => values.length > 0);
      if (drawn.length === 0) return [];
      const show = (value: number): string => formatMetric(metric, value);
      return [
        [
          ...[name, metric.replaceAll("_", " ")],
          spread(
            drawn.map((values) => meanAndStd(tenthOf(values, "first")).mean),
            show,
          ),
          spread(
            drawn.map((values) => meanAndStd(tenthOf(values, "last")).mean),
            show,
          ),
          show(median(drawn.flat())),
        ],
      ];
    }),
  );
  return {
    ...{ id: "training", title: "Training", rows, text_columns: 2 },
    caption: "mean over the first and the last tenth of the steps (± standard deviation over runs), median over all",
    header: ["run", "metric", "first tenth", "last tenth", "median"],
  };
}

export function stepTimeTable(name: string, { parts, step_seconds, num_steps }: StepTime): Table {
  return {
    ...{ id: `step-time-${name}`.replace(/[^\w.-]+/g, "-"), title: `Where a step's time goes: ${name}` },
    caption: `medians over ${num_steps} steps after the first; a step takes ${step_seconds.toPrecision(3)} s`,
    header: ["part", "seconds", "share"],
    rows: parts.map((part) => [part.name, part.seconds.toPrecision(3), `${percent(part.share)} %`]),
  };
}

/** Ratios over the first and the last tenth of the steps read. */
export function reflectionTable(
  groups: readonly { readonly name: string; readonly curves: readonly (readonly ReflectionPoint[])[] }[],
): Table {
  const rows = groups.flatMap(({ name, curves }) =>
    (Object.keys(ratio_names) as RatioName[]).flatMap((ratio) => {
      const drawn = curves
        .map((points) => points.flatMap(({ ratios }) => ratios[ratio] ?? []))
        .filter((v) => v.length > 0);
      if (drawn.length === 0) return [];
      const column = (end: "first" | "last"): string =>
        spread(
          drawn.map((values) => meanAndStd(tenthOf(values, end)).mean),
          percent,
        );
      return [[name, ratio, ratio_names[ratio], column("first"), column("last")]];
    }),
  );
  return {
    ...{ id: "reflection", title: "Reflection, %", rows, text_columns: 3 },
    caption:
      "completions with one of the paper's 15 words, as whole words; N completions, N+ correct, R with a word, R+ both",
    header: ["run", "ratio", "formula", "first tenth", "last tenth"],
  };
}
