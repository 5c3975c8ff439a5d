import { type Options, Presets, SingleBar } from "cli-progress";
import type { ProgressEvent } from "../pipeline/events.js";
import { duration } from "./format.js";

/** A bar that a person watches: the run's steps, or an evaluation's completions, with rate and time left. */
export interface ProgressBar {
  started(step: number, steps: number): void;
  step(step: number): void;
  progress(event: ProgressEvent): void;
  /** Makes room for a line of text; the bar comes back with the next event. */
  clear(): void;
}

/** Of every bar. */
export const barOptions: Options = {
  stream: process.stderr,
  clearOnComplete: true,
  hideCursor: true,
  barsize: 24,
  fps: 8,
  linewrap: false,
};

const options: Options = {
  ...barOptions,
  format: "{title} {bar} {value}/{total} {unit}  {rate}  ETA {left}  {detail}",
};

interface Track {
  readonly title: string;
  readonly unit: string;
  readonly from: number;
  readonly total: number;
  readonly start: number;
}

export function progressBar(): ProgressBar {
  let bar: SingleBar | undefined;
  let run: Track | undefined;
  let evaluation: Track | undefined;
  let finished = 0;

  const clear = (): void => {
    bar?.stop();
    bar = undefined;
  };
  const show = ({ title, unit, from, total, start }: Track, done: number, detail: string): void => {
    const rate = (done - from) / Math.max(1e-3, (performance.now() - start) / 1000);
    const payload = {
      ...{ title, unit, detail },
      rate: rate > 0 ? `${rate >= 10 ? rate.toFixed(0) : rate.toPrecision(2)} ${unit}/s` : "",
      left: rate > 0 ? duration((total - done) / rate) : "-",
    };
    if (bar === undefined) {
      bar = new SingleBar(options, Presets.shades_classic);
      bar.start(total, done, payload);
    } else bar.update(done, payload);
  };
  const track = (title: string, unit: string, from: number, total: number): Track => {
    clear();
    return { title, unit, from, total, start: performance.now() };
  };

  return {
    started(step, steps) {
      finished = step;
      run = track("training", "steps", step, steps);
    },
    step(step) {
      finished = step;
      evaluation = undefined;
      if (run !== undefined) show(run, step, "");
    },
    progress({ phase, done, total, unit }) {
      if (phase === "evaluate") {
        if (evaluation?.total !== total || done <= 1) evaluation = track("evaluating", unit, 0, total);
        show(evaluation, done, "");
        return;
      }
      if (evaluation !== undefined) clear();
      evaluation = undefined;
      if (run !== undefined) show(run, finished, total > 1 ? `${phase} ${done}/${total} ${unit}` : phase);
    },
    clear,
  };
}
