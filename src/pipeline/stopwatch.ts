/** Seconds of each part of a step: `lap(name)` closes the part that began at the last lap. */
export function stopwatch() {
  const start = performance.now();
  let last = start;
  const laps: Record<string, number> = {};
  return {
    lap(name: string): void {
      const now = performance.now();
      laps[name] = (now - last) / 1000;
      last = now;
    },
    laps: (): Readonly<Record<string, number>> => laps,
    total: (): number => (performance.now() - start) / 1000,
  };
}
