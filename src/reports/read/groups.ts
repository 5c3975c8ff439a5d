import { flatten } from "../config-file.js";
import type { EvaluationPoint, StepPoint } from "./metrics-lines.js";
import type { JsonObject } from "./run-folder-reader.js";

/** Runs of one config, which differ in their seed alone. */
export interface RunGroup<R> {
  readonly name: string;
  readonly runs: readonly R[];
}

/** Keys that make no other experiment of a run. */
const ignored = new Set(["seed", "run_folder", "threads", "checkpoint.every_steps", "checkpoint.keep_last"]);

/** Paths of a seed's own folder, as a warm start's, are the same for all seeds. */
const withoutSeed = (value: string): string => value.replace(/seed[-_]?\d+/g, "seed");

const valuesOf = (config: JsonObject): ReadonlyMap<string, string> =>
  new Map(
    [...flatten(config)]
      .filter(([key]) => key !== "" && !ignored.has(key))
      .map(([key, value]) => [key, typeof value === "string" ? withoutSeed(value) : JSON.stringify(value)]),
  );

/**
 * Runs whose configs agree but for the seed belong together; a run without a config stands alone. A group has the
 * name that its runs share, or is named by what sets its config apart from the others.
 */
export function groupRuns<R extends { readonly name: string; readonly config: JsonObject }>(
  runs: readonly R[],
): readonly RunGroup<R>[] {
  const groups = new Map<string, R[]>();
  for (const run of runs) {
    const values = valuesOf(run.config);
    const key = values.size === 0 ? `run ${run.name}` : JSON.stringify([...values].sort());
    groups.set(key, [...(groups.get(key) ?? []), run]);
  }
  const all = [...groups.values()];
  const names = all.map((members) => commonName(members.map(({ name }) => name)));
  const differing = differingValues(all.map(([first]) => first!.config)).map(inShort);
  return all.map((members, i) => {
    const is_unique = names.indexOf(names[i]!) === names.lastIndexOf(names[i]!) && names[i] !== "";
    const by_config = [names[i], differing[i]].filter(Boolean).join(": ");
    return { name: is_unique ? names[i]! : by_config || members[0]!.name, runs: members };
  });
}

/** Of each config the keys whose value is not the same in all, with their values; absent ones as "-". */
export function differingValues(configs: readonly JsonObject[]): readonly ReadonlyMap<string, string>[] {
  const values = configs.map(valuesOf);
  const keys = [...new Set(values.flatMap((one) => [...one.keys()]))].sort();
  const differing = keys.filter((key) => new Set(values.map((one) => one.get(key))).size > 1);
  return values.map((one) => new Map(differing.map((key) => [key, one.get(key) ?? "-"])));
}

/**
 * What the names of runs have in common, without the seed: `grpo` for `grpo/seed-0` and `grpo/seed-1`, `demo/rl` for
 * `demo/seed-0/rl` and `demo/seed-1/rl`.
 */
function commonName(names: readonly string[]): string {
  if (names.length === 1) return names[0]!;
  const seedless = new Set(names.map((name) => name.replace(/(^|\/)seed[-_]?\d+(?=\/|$)/, "").replace(/^\//, "")));
  const [only = ""] = seedless;
  if (seedless.size === 1 && only !== "") return only;
  return commonPrefix(names).replace(/[^\p{L}\p{N}]*(seed)?[^\p{L}\p{N}]*$/u, "");
}

const max_short_length = 60;

/** `learning_rate 1, name dapo`; empty if that would be long. */
function inShort(differing: ReadonlyMap<string, string>): string {
  const short = [...differing].map(([key, value]) => `${key.split(".").at(-1)!} ${value}`).join(", ");
  return short.length <= max_short_length ? short : "";
}

const commonPrefix = (names: readonly string[]): string =>
  names.reduce((a, b) => {
    let length = 0;
    while (length < a.length && a[length] === b[length]) length += 1;
    return a.slice(0, length);
  });

/** A curve of one run. */
export type Curve = readonly (readonly [step: number, value: number])[];

export const metricCurve = (steps: readonly StepPoint[], name: string): Curve =>
  steps.flatMap(({ step, metrics }) => (metrics[name] === undefined ? [] : [[step, metrics[name]] as const]));

export const evaluationCurve = (points: readonly EvaluationPoint[], split: string, setting: string): Curve =>
  points.filter((p) => p.split === split && p.setting === setting).map(({ step, accuracy }) => [step, accuracy]);

export interface MeanPoint {
  readonly step: number;
  readonly mean: number;
  /** Sample standard deviation over the runs; 0 for one. */
  readonly std: number;
  readonly num_runs: number;
}

/** At each step the mean over the runs that have it. */
export function meanCurve(curves: readonly Curve[]): readonly MeanPoint[] {
  const at = new Map<number, number[]>();
  for (const curve of curves)
    for (const [step, value] of curve) {
      const values = at.get(step);
      if (values === undefined) at.set(step, [value]);
      else values.push(value);
    }
  return [...at]
    .sort(([a], [b]) => a - b)
    .map(([step, values]) => ({ step, ...meanAndStd(values), num_runs: values.length }));
}

/** Mean and sample standard deviation; the latter is 0 for fewer than two values. */
export function meanAndStd(values: readonly number[]): { readonly mean: number; readonly std: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, std: values.length < 2 ? 0 : Math.sqrt(squares / (values.length - 1)) };
}

/** The first or the last tenth of a curve's values, at least one. */
export function tenthOf(values: readonly number[], end: "first" | "last"): readonly number[] {
  const count = Math.max(1, Math.round(values.length / 10));
  return end === "last" ? values.slice(-count) : values.slice(0, count);
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
