import { Presets, SingleBar } from "cli-progress";
import { duration, gib } from "./format.js";
import { barOptions } from "./bar-options.js";

/** Of a file that is read or written. Nothing shows before two seconds have passed. */
export interface LoadingBar extends Disposable {
  /** Bytes. */
  readonly show: (done: number, total: number) => void;
  clear(): void;
}

const quiet_seconds = 2;
const seconds_between_lines = 5;

/** A bar where a person is watching, else a line every few seconds; both on stderr. */
export function loadingBar(title: string, stream: NodeJS.WriteStream = process.stderr): LoadingBar {
  let bar: SingleBar | undefined;
  let [start, shown, last] = [performance.now(), -Infinity, 0];
  const clear = (): void => {
    bar?.stop();
    bar = undefined;
  };
  const show = (done: number, total: number): void => {
    const now = performance.now();
    if (done < last) start = now; // another file
    last = done;
    const seconds = (now - start) / 1000;
    if (seconds < quiet_seconds && bar === undefined) return;
    const left = duration((seconds * (total - done)) / Math.max(1, done));
    if (stream.isTTY) {
      const payload = { title, size: `${gib(done)} of ${gib(total)}`, left };
      if (bar === undefined) {
        bar = new SingleBar(
          { ...barOptions, stream, format: "{title} {bar} {size}  ETA {left}" },
          Presets.shades_classic,
        );
        bar.start(total, done, payload);
      } else bar.update(done, payload);
    } else if (now - shown >= 1000 * seconds_between_lines) {
      shown = now;
      stream.write(`${title}: ${gib(done)} of ${gib(total)}, ETA ${left}\n`);
    }
  };
  return { show, clear, [Symbol.dispose]: clear };
}
