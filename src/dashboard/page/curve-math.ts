/** One run's values of one metric, ascending by x. */
export interface Line {
  readonly steps: readonly number[];
  readonly xs: readonly number[];
  readonly ys: readonly number[];
}

/**
 * Exponential moving average without the bias of its start, as TensorBoard's: s_t = w s_{t-1} + (1 - w) y_t, divided by
 * 1 - w^t. `weight` in [0, 1); 0 changes nothing.
 */
export function smoothed(ys: readonly number[], weight: number): readonly number[] {
  if (weight <= 0) return ys;
  let [average, scale] = [0, 1];
  return ys.map((y) => {
    average = weight * average + (1 - weight) * y;
    scale *= weight;
    return average / (1 - scale);
  });
}

export interface MeanLine extends Line {
  readonly low: readonly number[];
  readonly high: readonly number[];
}

/** At each step the mean over the lines that have it, and one sample standard deviation to both sides. */
export function meanLine(lines: readonly Line[]): MeanLine {
  const at = new Map<number, { x: number; ys: number[] }>();
  for (const { steps, xs, ys } of lines)
    steps.forEach((step, i) => {
      const here = at.get(step);
      if (here === undefined) at.set(step, { x: xs[i]!, ys: [ys[i]!] });
      else {
        here.x += (xs[i]! - here.x) / (here.ys.length + 1);
        here.ys.push(ys[i]!);
      }
    });
  const steps = [...at.keys()].sort((a, b) => a - b);
  const points = steps.map((step) => at.get(step)!);
  const means = points.map(({ ys }) => ys.reduce((sum, y) => sum + y, 0) / ys.length);
  const spreads = points.map(({ ys }, i) =>
    ys.length < 2 ? 0 : Math.sqrt(ys.reduce((sum, y) => sum + (y - means[i]!) ** 2, 0) / (ys.length - 1)),
  );
  return {
    ...{ steps, xs: points.map(({ x }) => x), ys: means },
    low: means.map((mean, i) => mean - spreads[i]!),
    high: means.map((mean, i) => mean + spreads[i]!),
  };
}

/** Columns over one ascending x, as the chart library wants them; null where a line has no value. */
export function aligned(
  columns: readonly { readonly xs: readonly number[]; readonly ys: readonly number[] }[],
): [number[], ...(number | null)[][]] {
  const xs = [...new Set(columns.flatMap((column) => column.xs))].sort((a, b) => a - b);
  const index = new Map(xs.map((x, i) => [x, i]));
  const filled = columns.map((column) => {
    const values = new Array<number | null>(xs.length).fill(null);
    column.xs.forEach((x, i) => (values[index.get(x)!] = column.ys[i]!));
    return values;
  });
  return [xs, ...filled];
}
