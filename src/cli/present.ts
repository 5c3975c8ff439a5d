import type { EvaluationResult } from "../evaluate/result.js";
import type { DoneEvent, StepEvent, TrainEvent } from "../pipeline/events.js";
import { formatMetric } from "../reports/format-metric.js";
import { duration, percent } from "./format.js";
import { progressBar } from "./progress-bar.js";

/** The metrics of a step's line, in order; the others are in metrics.jsonl. */
const shown: Readonly<Record<string, string>> = {
  loss: "loss",
  reward_mean: "reward",
  "reward.accuracy": "accuracy",
  completion_length_mean: "length",
  truncated: "truncated",
  equal_reward_groups: "equal groups",
  prompts_replaced: "replaced",
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
    case "alarm":
      return event.state === "cleared"
        ? `alarm over: ${event.name}: ${event.message}`
        : `ALARM ${event.name}: ${event.message}\n  usually: ${event.meaning}\n  to do: ${event.remedy}`;
    case "evaluated":
      return event.results.map((result) => `${event.split} at step ${event.step}  ${resultLine(result)}`).join("\n");
    case "checkpoint":
      return `saved ${event.path}`;
    case "note":
      return `note: ${event.message}`;
    case "done": {
      const best =
        event.best === undefined
          ? ""
          : `\nbest: step ${event.best.step} (${percent(event.best.score)}), ${event.best.model_path}`;
      const adapter = event.adapter_path === null ? "" : `; the adapter is ${event.adapter_path}`;
      return `done after ${event.step} steps${event.model_path === null ? "" : `; the model is ${event.model_path}`}${adapter}${best}${testLines(event)}`;
    }
    default:
      return event satisfies never;
  }
}

/** "test, greedy: accuracy 77.3 % at the last step 120, 78.1 % at the selected step 80 (chosen on validation)" */
const testLines = ({ test_scores = [], selected_on }: DoneEvent): string =>
  test_scores
    .map(({ split, setting, last, selected }) => {
      const chosen =
        selected === undefined
          ? ""
          : `, ${percent(selected.accuracy)} at the selected step ${selected.step} (chosen on ${selected_on})`;
      return `\n${split}, ${setting}: accuracy ${percent(last.accuracy)} at the last step ${last.step}${chosen}`;
    })
    .join("");

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
  const pace = stepPace();
  const print = (event: TrainEvent): void => {
    if (event.type === "progress") bar?.progress(event);
    if (event.type === "started") {
      pace.started(event.step);
      bar?.started(event.step, event.steps);
    }
    if (event.type === "step") bar?.step(event);
    const eta = event.type === "step" ? pace.eta(event) : "";
    const text = eta === undefined ? undefined : line(event);
    if (text === undefined) return;
    bar?.clear();
    console.log(eta === "" ? text : `${text}  ${eta}`);
  };
  return Object.assign(print, { [Symbol.dispose]: () => bar?.clear() });
}

const seconds_between_lines = 2;

/** Time left, from the mean time of the steps since the run began; undefined for steps that come too fast to read. */
function stepPace() {
  let [start, first, shown] = [0, 0, -Infinity];
  return {
    started(step: number): void {
      [start, first, shown] = [performance.now(), step, -Infinity];
    },
    eta({ step, steps }: StepEvent): string | undefined {
      const now = performance.now();
      const few = step - first <= 3 || step === steps;
      if (!few && now - shown < 1000 * seconds_between_lines) return undefined;
      shown = now;
      return `ETA ${duration(((now - start) / 1000 / (step - first)) * (steps - step))}`;
    },
  };
}
