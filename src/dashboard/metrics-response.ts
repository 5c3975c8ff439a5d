import { flatten } from "../reports/config-file.js";
import { metrics as known_metrics } from "../reports/metrics.js";
import { stepTime } from "../reports/read/step-time.js";
import type { Run } from "../reports/read/run-folder-reader.js";
import { sectionOf } from "../reports/report/curves.js";
import type { MetricInfo, MetricsResponse, RunDetails } from "./api.js";

export interface MetricsPosition {
  readonly generation: number;
  readonly from_step: number;
  readonly from_evaluation: number;
}

/** What came after a position, by columns. */
export function metricsResponse({ metrics: tail }: Run, position: MetricsPosition): MetricsResponse {
  const is_same = position.generation === tail.generation;
  const from_step = is_same ? Math.min(position.from_step, tail.steps.length) : 0;
  const from_evaluation = is_same ? Math.min(position.from_evaluation, tail.evaluations.length) : 0;
  const points = tail.steps.slice(from_step);
  const names = new Set(points.flatMap(({ metrics }) => Object.keys(metrics)));
  const column = (name: string) =>
    points.map(({ metrics }) => (metrics[name] === undefined ? null : short(metrics[name])));
  return {
    ...{ generation: tail.generation, from_step, from_evaluation },
    steps: points.map(({ step }) => step),
    metrics: Object.fromEntries([...names].map((name) => [name, column(name)])),
    evaluations: tail.evaluations.slice(from_evaluation).map(({ values: _values, correct: _correct, ...row }) => row),
  };
}

const short = (value: number): number => Number(value.toPrecision(6));

export const metricInfos = (): readonly MetricInfo[] =>
  [...known_metrics].map(([name, { unit, formula }]) => ({ name, unit, formula, section: sectionOf(name) }));

export function runDetails(id: string, { folder, config, config_yaml, manifest, metrics }: Run): RunDetails {
  const time = stepTime(metrics.steps);
  return {
    ...{ id, folder, config_yaml },
    config: texts(config),
    manifest: texts(manifest),
    time:
      time === undefined ? null : { step_seconds: time.step_seconds, parts: time.parts, bottleneck: time.bottleneck },
  };
}

const texts = (value: object): Readonly<Record<string, string>> =>
  Object.fromEntries(
    [...flatten(value)].map(([key, leaf]) => [key, typeof leaf === "string" ? leaf : JSON.stringify(leaf)]),
  );
