import { Presets, SingleBar } from "cli-progress";
import type { BenchProgress } from "../bench/bench.js";

/** A bar where a person watches, else a line for every step, both on stderr; nothing with --json. */
export function benchProgress(json: boolean): Disposable & { readonly show: (progress: BenchProgress) => void } {
  const titles = { steps: "timing steps", limits: "measuring limits" } as const;
  let bar: SingleBar | undefined;
  let shown: string | undefined;
  const clear = (): void => {
    bar?.stop();
    bar = undefined;
  };
  const show = ({ unit, done, total }: BenchProgress): void => {
    if (json) return;
    const title = titles[unit];
    if (!process.stderr.isTTY) {
      if (unit === "steps" || done === 0) process.stderr.write(`${title}: ${done} of ${total}\n`);
      return;
    }
    if (shown !== `${title} ${total}`) clear();
    shown = `${title} ${total}`;
    if (bar === undefined) {
      bar = new SingleBar(
        {
          ...{ stream: process.stderr, clearOnComplete: true, hideCursor: true, barsize: 24, linewrap: false },
          format: `${title} {bar} {value}/{total}`,
        },
        Presets.shades_classic,
      );
      bar.start(total, done);
    } else bar.update(done);
  };
  return { show, [Symbol.dispose]: clear };
}
