import { mulberry32 } from "./statistics/random.js";

/** z of a two-sided 95 % normal interval. */
const z95 = 1.959963984540054;

/** Wilson's score interval, 95 %: right at shares near 0 and 1, where the normal one leaves [0, 1]. */
export function wilson(num_correct: number, num_items: number): readonly [number, number] {
  if (num_items === 0) return [0, 1];
  const share = num_correct / num_items;
  const z2 = z95 ** 2 / num_items;
  const centre = (share + z2 / 2) / (1 + z2);
  const half = (z95 / (1 + z2)) * Math.sqrt((share * (1 - share)) / num_items + z2 / (4 * num_items));
  return [num_correct === 0 ? 0 : centre - half, num_correct === num_items ? 1 : centre + half];
}

/** Percentile bootstrap of the mean, 95 %. Items are drawn whole: completions of one item are not independent. */
export function bootstrap(values: readonly number[], seed = 0, resamples = 2000): readonly [number, number] {
  if (values.length === 0) return [0, 1];
  const random = mulberry32(seed);
  const means = Array.from({ length: resamples }, () => {
    let sum = 0;
    for (let i = 0; i < values.length; i++) sum += values[Math.floor(random() * values.length)]!;
    return sum / values.length;
  }).sort((a, b) => a - b);
  return [means[Math.floor(0.025 * (resamples - 1))]!, means[Math.ceil(0.975 * (resamples - 1))]!];
}

/**
 * Probability that at least one of k completions is correct, estimated without bias from n of which c were:
 * 1 - C(n - c, k) / C(n, k). Source: arXiv:2107.03374.
 */
export function passAtK(n: number, c: number, k: number): number {
  if (k > n) throw new RangeError(`pass@${k} needs at least ${k} completions, got ${n}`);
  if (n - c < k) return 1;
  let all_wrong = 1;
  for (let i = n - c + 1; i <= n; i++) all_wrong *= 1 - k / i;
  return 1 - all_wrong;
}
