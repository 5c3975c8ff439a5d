import { Presets, SingleBar } from "cli-progress";
import { duration } from "./format.js";
import { barOptions } from "./bar-options.js";

/** Of rows that are read, split after split; on stderr, and only where a person is watching. */
export function rowBar(): Disposable & {
  readonly show: (split: string, done: number, total: number) => void;
  clear(): void;
} {
  let bar: SingleBar | undefined;
  let track: { readonly split: string; readonly start: number } | undefined;
  const clear = (): void => {
    bar?.stop();
    bar = undefined;
  };
  const show = (split: string, done: number, total: number): void => {
    if (track?.split !== split) {
      clear();
      track = { split, start: performance.now() };
    }
    const seconds = Math.max(1e-3, (performance.now() - track.start) / 1000);
    const left = duration((seconds * (total - done)) / Math.max(1, done));
    const payload = { split, rate: (done / seconds).toFixed(0), left };
    if (bar === undefined) {
      bar = new SingleBar(
        { ...barOptions, format: "{split} {bar} {value}/{total} rows  {rate} rows/s  ETA {left}" },
        Presets.shades_classic,
      );
      bar.start(total, done, payload);
    } else bar.update(done, payload);
  };
  return { show, clear, [Symbol.dispose]: clear };
}
