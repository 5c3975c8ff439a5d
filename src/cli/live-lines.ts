import { MultiBar, Presets, type SingleBar } from "cli-progress";
import { barOptions } from "./bar-options.js";

/** Lines that stay at the foot of the terminal, the first of them with a bar; redrawn in place. */
export interface LiveLines {
  /** `before` and `after` stand left and right of the bar. */
  show(bar: { done: number; total: number; before: string; after: string }, below: readonly string[]): void;
  readonly clear: () => void;
}

export function liveLines(): LiveLines {
  let screen: MultiBar | undefined;
  let lines: SingleBar[] = [];

  const clear = (): void => {
    screen?.stop();
    [screen, lines] = [undefined, []];
  };
  return {
    show({ done, total, before, after }, below) {
      if (lines.length !== 1 + below.length) {
        clear();
        screen = new MultiBar(barOptions, Presets.shades_classic);
        const bar = screen.create(total, done, { before, after }, { format: "{before} {bar} {after}" });
        lines = [bar, ...below.map((text) => screen!.create(1, 0, { text }, { format: "{text}" }))];
      }
      const width = (process.stderr.columns ?? 80) - 1;
      const room = Math.max(0, width - before.length - barOptions.barsize - 2);
      lines[0]!.setTotal(total);
      lines[0]!.update(done, { before, after: fitted(after, room) });
      below.forEach((text, i) => lines[i + 1]!.update(0, { text: fitted(text, width) }));
    },
    clear,
  };
}

/** One line of at most so many characters. */
export function fitted(text: string, width: number): string {
  const line = [...text.replace(/\p{Cc}+/gu, " ")];
  return line.length <= width ? line.join("") : `${line.slice(0, Math.max(0, width - 1)).join("")}…`;
}
