const heights = [..."▁▂▃▄▅▆▇█"];

/** The last values as one character each, from the lowest to the highest of them. */
export function sparkline(values: readonly number[], width = 16): string {
  const shown = values.slice(-width);
  const [low, high] = [Math.min(...shown), Math.max(...shown)];
  if (high === low) return heights[3]!.repeat(shown.length);
  return shown.map((value) => heights[Math.round(((value - low) / (high - low)) * (heights.length - 1))]).join("");
}
