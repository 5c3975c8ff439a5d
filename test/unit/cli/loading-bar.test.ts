import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { loadingBar } from "../../../src/cli/loading-bar.js";

beforeEach(() => void vi.useFakeTimers({ toFake: ["performance"] }));
afterEach(() => void vi.useRealTimers());

const GIB = 2 ** 30;

/** What a bar writes that hears, at so many seconds, of so many GiB out of 60. */
function linesAfter(heard: readonly (readonly [seconds: number, done: number])[]): readonly string[] {
  const lines: string[] = [];
  const stream = { isTTY: false, write: (text: string) => lines.push(text) };
  using bar = loadingBar("loading m", stream as unknown as NodeJS.WriteStream);
  let now = 0;
  for (const [seconds, done] of heard) {
    vi.advanceTimersByTime(1000 * (seconds - now));
    now = seconds;
    bar.show(done * GIB, 60 * GIB);
  }
  return lines;
}

test("what is quick is silent", () => {
  expect(linesAfter([0.5, 1, 1.9].map((x) => [x, x] as const))).toEqual([]);
});

test("without a terminal, a line every five seconds after the first two", () => {
  expect(linesAfter([1, 3, 4, 7, 8.5].map((x) => [x, x] as const))).toEqual([
    "loading m: 3.00 GiB of 60.00 GiB, ETA 0:57\n",
    "loading m: 8.50 GiB of 60.00 GiB, ETA 0:52\n",
  ]);
});

test("a second file starts anew", () => {
  const lines = linesAfter([
    [3, 60],
    [4, 1],
    [5.5, 2],
    [9, 5],
  ]);
  expect(lines).toEqual([
    "loading m: 60.00 GiB of 60.00 GiB, ETA 0:00\n",
    "loading m: 5.00 GiB of 60.00 GiB, ETA 0:55\n",
  ]);
});
