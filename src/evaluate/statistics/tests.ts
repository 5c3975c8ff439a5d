import { meanOf } from "./averages.js";
import { fTail, logGamma } from "./distributions.js";

/** Probability of exactly k of n. */
const binomialMass = (k: number, n: number, p: number): number => {
  if (p === 0 || p === 1) return k === n * p ? 1 : 0;
  const ways = logGamma(n + 1) - logGamma(k + 1) - logGamma(n - k + 1);
  return Math.exp(ways + k * Math.log(p) + (n - k) * Math.log1p(-p));
};

/** Exact two-sided binomial test: the probability of all counts that are no more likely than k. */
export function binomialTest(k: number, n: number, p = 0.5): number {
  const limit = binomialMass(k, n, p) * (1 + 1e-7);
  let sum = 0;
  for (let i = 0; i <= n; i++) {
    const mass = binomialMass(i, n, p);
    if (mass <= limit) sum += mass;
  }
  return Math.min(1, sum);
}

/** McNemar's exact test: `only_a` items that only A answers right, `only_b` that only B does. */
export const mcnemar = (only_a: number, only_b: number): number =>
  only_a + only_b === 0 ? 1 : binomialTest(only_a, only_a + only_b);

/**
 * Exact two-sided sign-flip test of paired differences, given as whole numbers (a common denominator taken out): the share of
 * all 2^n sign patterns whose sum is at least as far from 0. The sums' distribution is found by convolution. With
 * differences of -1, 0 and 1 it is McNemar's exact test.
 */
export function pairedPermutation(differences: readonly number[]): number {
  if (!differences.every(Number.isSafeInteger)) throw new RangeError("differences must be whole numbers");
  const sizes = differences.map(Math.abs).filter((size) => size > 0);
  const divisor = sizes.reduce(greatestDivisor, 0);
  const reach = sizes.reduce((sum, size) => sum + size, 0) / (divisor || 1);
  let [from, to] = [new Float64Array(2 * reach + 1), new Float64Array(2 * reach + 1)];
  from[reach] = 1;
  let done = 0;
  for (const size of sizes.map((one) => one / divisor)) {
    to.fill(0, reach - done - size, reach + done + size + 1);
    for (let at = reach - done; at <= reach + done; at++) {
      const half = from[at]! / 2;
      if (half === 0) continue;
      to[at - size]! += half;
      to[at + size]! += half;
    }
    done += size;
    [from, to] = [to, from];
  }
  const observed = Math.abs(differences.reduce((sum, difference) => sum + difference, 0)) / (divisor || 1);
  if (observed === 0) return 1;
  let tail = 0;
  for (let at = 2 * reach; at >= reach + observed; at--) tail += from[at]!;
  return Math.min(1, 2 * tail);
}

const greatestDivisor = (a: number, b: number): number => (b === 0 ? a : greatestDivisor(b, a % b));

/** Holm's step-down adjustment: p values that may be compared with the level of the whole family. */
export function holm(p_values: readonly number[]): readonly number[] {
  const order = p_values.map((_, i) => i).sort((a, b) => p_values[a]! - p_values[b]!);
  const adjusted = new Array<number>(p_values.length);
  let highest = 0;
  order.forEach((index, rank) => {
    highest = Math.max(highest, Math.min(1, (p_values.length - rank) * p_values[index]!));
    adjusted[index] = highest;
  });
  return adjusted;
}

export interface Anova {
  readonly f: number;
  readonly p: number;
  /** Share of the variance that lies between the groups. */
  readonly eta_squared: number;
}

/** One-way analysis of variance; undefined with fewer than two groups, or no group of two values. */
export function anova(groups: readonly (readonly number[])[]): Anova | undefined {
  const all = groups.flat();
  const [df_between, df_within] = [groups.length - 1, all.length - groups.length];
  if (df_between < 1 || df_within < 1) return undefined;
  const grand = meanOf(all);
  const between = groups.reduce((sum, group) => sum + group.length * (meanOf(group) - grand) ** 2, 0);
  const within = groups.reduce(
    (sum, group) => sum + group.reduce((s, value) => s + (value - meanOf(group)) ** 2, 0),
    0,
  );
  if (between + within === 0) return { f: 0, p: 1, eta_squared: 0 };
  const f = between / df_between / (within / df_within);
  return { f, p: within === 0 ? 0 : fTail(f, df_between, df_within), eta_squared: between / (between + within) };
}
