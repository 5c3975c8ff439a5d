import { type Options, Presets, SingleBar } from "cli-progress";
import type { EvaluationResult } from "../evaluate/result.js";
import type { StepEvent, TrainEvent } from "../pipeline/events.js";
import { formatMetric } from "../reports/metrics.js";
import { duration, percent } from "./format.js";

/** The metrics of a step's line, in order; the others are in metrics.jsonl. */
const shown: Readonly<Record<string, string>> = {
  loss: "loss",
  reward_mean: "reward",
  "reward.accuracy": "accuracy",
  completion_length_mean: "length",
  truncated: "truncated",
  equal_reward_groups: "equal groups",
  kl_reference: "KL",
  clip_fraction: "clipped",
  entropy: "entropy",
  grad_norm: "grad norm",
  step_seconds: "time",
};

/** One line for each event that people want to keep; undefined for those that only move a bar. */
export function line(event: TrainEvent): string | undefined {
  switch (event.type) {
    case "started": {
      const from = event.step > 0 ? `resumed after step ${event.step} of ${event.steps}` : `${event.steps} steps`;
      const trained = `${event.num_trainable_parameters.toLocaleString("en")} of ${event.num_parameters.toLocaleString("en")} parameters trained`;
      return `${from}, ${trained}${event.run_folder === null ? "" : `, everything goes to ${event.run_folder}`}`;
    }
    case "progress":
      return undefined;
    case "step":
      return `step ${event.step}/${event.steps}  ${Object.entries(shown)
        .filter(([name]) => event.metrics[name] !== undefined)
        .map(
          ([name, label]) =>
            `${label} ${name === "reward.accuracy" ? percent(event.metrics[name]!) : formatMetric(name, event.metrics[name]!)}`,
        )
        .join("  ")}`;
    case "evaluated":
      return event.results.map((result) => `${event.split} at step ${event.step}  ${resultLine(result)}`).join("\n");
    case "checkpoint":
      return `saved ${event.path}`;
    case "note":
      return `note: ${event.message}`;
    case "done":
      return `done after ${event.step} steps${event.model_path === null ? "" : `; the model is ${event.model_path}`}`;
    default:
      return event satisfies never;
  }
}

export function resultLine(result: EvaluationResult): string {
  const [low, high] = result.interval;
  const more = Object.entries(result.pass_at)
    .filter(([k]) => k !== "1")
    .map(([k, value]) => `  pass@${k} ${percent(value)}`);
  return (
    `${result.setting}: accuracy ${percent(result.accuracy)} (95 % interval ${percent(low)} to ${percent(high)}, ` +
    `${result.num_items} items)${more.join("")}  length ${result.mean_completion_length.toFixed(1)} tokens  ` +
    `truncated ${percent(result.truncated)}`
  );
}

/** Without the lists that say right or wrong item by item. */
export const jsonLine = (value: unknown): string =>
  JSON.stringify(value, (key, inner: unknown) => (key === "correct" ? undefined : inner));

export interface Presenter extends Disposable {
  (event: TrainEvent): void;
}

/** Prints events: JSON lines, or text with a progress bar where a person is watching. */
export function presenter({ json }: { readonly json: boolean }): Presenter {
  if (json) {
    const print = (event: TrainEvent): void => console.log(jsonLine(event));
    return Object.assign(print, { [Symbol.dispose]: () => {} });
  }
  const bar = process.stderr.isTTY ? progressBar() : undefined;
  const eta = stepClock();
  const print = (event: TrainEvent): void => {
    if (event.type === "progress") {
      bar?.show(event.step, event.phase, event.done, event.total, event.unit);
      return;
    }
    const text = line(event);
    if (text === undefined) return;
    bar?.clear();
    console.log(event.type === "step" ? `${text}  ${eta(event)}` : text);
  };
  return Object.assign(print, { [Symbol.dispose]: () => bar?.clear() });
}

/** Time left, from the mean time of the steps so far. */
function stepClock(): (event: StepEvent) => string {
  const start = performance.now();
  let first: number | undefined;
  return ({ step, steps }) => {
    first ??= step - 1;
    const seconds_per_step = (performance.now() - start) / 1000 / (step - first);
    return `ETA ${duration(seconds_per_step * (steps - step))}`;
  };
}

function progressBar() {
  const options: Options = {
    format: "{title} {bar} {value}/{total} {unit}  {rate}/s  ETA {left}",
    stream: process.stderr,
    clearOnComplete: true,
    hideCursor: true,
    barsize: 24,
    fps: 8,
    linewrap: false,
  };
  let current: { readonly title: string; readonly bar: SingleBar; readonly start: number } | undefined;
  const clear = (): void => {
    current?.bar.stop();
    current = undefined;
  };
  const show = (step: number, phase: string, done: number, total: number, unit: string): void => {
    const title = `step ${step} ${phase}`;
    if (current?.title !== title) {
      clear();
      current = { title, bar: new SingleBar(options, Presets.shades_classic), start: performance.now() };
      current.bar.start(total, done, { title, unit, rate: "-", left: "-" });
    }
    const rate = done / Math.max(1e-3, (performance.now() - current.start) / 1000);
    const left = rate > 0 ? duration((total - done) / rate) : "-";
    current.bar.update(done, { title, unit, rate: rate >= 10 ? rate.toFixed(0) : rate.toFixed(1), left });
  };
  return { show, clear };
}
