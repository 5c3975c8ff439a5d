import { quantileOf } from "./averages.js";
import { mulberry32 } from "./random.js";

/** Share of correct completions, [seed][item]; every seed has the same items. */
export type Shares = readonly (readonly number[])[];

/**
 * Resampled mean accuracies of several models on the same items, items and seeds both drawn anew: each round draws the
 * items once for all models and seeds, and the seeds once for all models that have as many. The difference of two
 * models' rounds is therefore a paired one. Returns for each model a value a round.
 */
export function crossedBootstrap(models: readonly Shares[], seed = 0, rounds = 2000): readonly Float64Array[] {
  const num_items = models[0]?.[0]?.length ?? 0;
  const most_seeds = Math.max(0, ...models.map((shares) => shares.length));
  const random = mulberry32(seed);
  const random_seeds = mulberry32(seed + 1); // the same seeds are drawn on every split, however many items it has
  const rows = models.map((shares) => shares.map((items) => Float64Array.from(items)));
  const results = models.map(() => new Float64Array(rounds));
  const counts = new Float64Array(num_items);
  const draws = new Float64Array(most_seeds);
  for (let round = 0; round < rounds; round++) {
    counts.fill(0);
    for (let i = 0; i < num_items; i++) counts[Math.floor(random() * num_items)]! += 1;
    for (let i = 0; i < most_seeds; i++) draws[i] = random_seeds();
    rows.forEach((seeds, model) => {
      const means = seeds.map((items) => dot(items, counts) / num_items);
      let sum = 0;
      for (let i = 0; i < seeds.length; i++) sum += means[Math.floor(draws[i]! * seeds.length)]!;
      results[model]![round] = sum / seeds.length;
    });
  }
  return results;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

/** 95 % percentile interval of resampled values. */
export function percentileInterval(values: ArrayLike<number>): readonly [low: number, high: number] {
  const sorted = Float64Array.from(values).sort();
  return [quantileOf(sorted, 0.025), quantileOf(sorted, 0.975)];
}

/**
 * 95 % interval of a statistic of a table of scores, [task][run]: runs are drawn anew within each task (rliable's stratified
 * bootstrap). Source: arXiv:2108.13264, section 4.1.
 */
export function stratifiedInterval(
  tasks: readonly (readonly number[])[],
  statistic: (values: readonly number[]) => number,
  seed = 0,
  rounds = 2000,
): readonly [low: number, high: number] {
  const random = mulberry32(seed);
  const draw = (runs: readonly number[]): number[] => runs.map(() => runs[Math.floor(random() * runs.length)]!);
  return percentileInterval(Array.from({ length: rounds }, () => statistic(tasks.flatMap(draw))));
}
