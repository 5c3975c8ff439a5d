import type { ProgressEvent, StepEvent } from "../pipeline/events.js";
import { formatMetric } from "../reports/format-metric.js";
import { duration, percent } from "./format.js";
import { liveLines } from "./live-lines.js";
import { sparkline } from "./sparkline.js";

/**
 * What a person watches: a bar of the run's steps, or of an evaluation's completions, with rate and time left; below it how
 * the run has gone, and a completion of the last step.
 */
export interface ProgressBar {
  started(step: number, steps: number): void;
  step(event: StepEvent): void;
  progress(event: ProgressEvent): void;
  /** Makes room for a line of text; the bar comes back with the next event. */
  clear(): void;
}

interface Track {
  readonly title: string;
  readonly unit: string;
  readonly from: number;
  readonly total: number;
  readonly start: number;
}

export function progressBar(): ProgressBar {
  const lines = liveLines();
  const history = stepHistory();
  let run: Track | undefined;
  let evaluation: Track | undefined;
  let finished = 0;

  const show = ({ title, unit, from, total, start }: Track, done: number, detail: string): void => {
    const rate = (done - from) / Math.max(1e-3, (performance.now() - start) / 1000);
    const speed = rate > 0 ? [`${rate >= 10 ? rate.toFixed(0) : rate.toPrecision(2)} ${unit}/s`] : [];
    const left = rate > 0 ? duration((total - done) / rate) : "-";
    const after = [`${done}/${total} ${unit}`, ...speed, `ETA ${left}`, detail].join("  ");
    lines.show({ done, total, before: title, after }, history.lines());
  };
  const track = (title: string, unit: string, from: number, total: number): Track => {
    return { title, unit, from, total, start: performance.now() };
  };

  return {
    started(step, steps) {
      finished = step;
      run = track("training", "steps", step, steps);
    },
    step(event) {
      finished = event.step;
      evaluation = undefined;
      history.add(event);
      if (run !== undefined) show(run, finished, "");
    },
    progress({ phase, done, total, unit }) {
      if (phase === "evaluate") {
        if (evaluation?.total !== total || done <= 1) evaluation = track("evaluating", unit, 0, total);
        show(evaluation, done, "");
        return;
      }
      evaluation = undefined;
      if (run !== undefined) show(run, finished, total > 1 ? `${phase} ${done}/${total} ${unit}` : phase);
    },
    clear: lines.clear,
  };
}

/** Shown by their last value and a sparkline, where a step has them. */
const watched = ["reward.accuracy", "reward_mean", "completion_length_mean", "loss"] as const;
const labels = { "reward.accuracy": "accuracy", reward_mean: "reward", completion_length_mean: "length", loss: "loss" };
const max_watched = 2;

function stepHistory() {
  const values = new Map<(typeof watched)[number], number[]>();
  let sample: StepEvent["sample"];
  return {
    add(event: StepEvent): void {
      sample = event.sample;
      const names = watched.filter((name) => event.metrics[name] !== undefined);
      // where accuracy is rewarded, the weighted reward says little more
      const kept = names.filter((name) => name !== "reward_mean" || !names.includes("reward.accuracy"));
      for (const name of kept.slice(0, max_watched))
        values.set(name, [...(values.get(name) ?? []), event.metrics[name]!].slice(-64));
    },
    lines(): readonly string[] {
      if (values.size === 0) return [];
      const curves = [...values].map(([name, all]) => {
        const last = name === "reward.accuracy" ? percent(all.at(-1)!) : formatMetric(name, all.at(-1)!);
        return `${labels[name]} ${sparkline(all)} ${last}`;
      });
      const said = sample && [`reward ${sample.reward.toPrecision(3)}, answer ${sample.answer}: ${sample.completion}`];
      return [curves.join("   "), ...(said ?? [])];
    },
  };
}
