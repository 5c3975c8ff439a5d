/** Lanczos' approximation, g = 7: relative error below 1e-14. */
const lanczos = [
  0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
  12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
] as const;

export function logGamma(x: number): number {
  if (x < 0.5) return Math.log(Math.PI / Math.sin(Math.PI * x)) - logGamma(1 - x);
  const shifted = x - 1 + 7.5;
  const sum = lanczos.reduce((total, coefficient, i) => (i === 0 ? coefficient : total + coefficient / (x - 1 + i)), 0);
  return 0.5 * Math.log(2 * Math.PI) + (x - 0.5) * Math.log(shifted) - shifted + Math.log(sum);
}

const epsilon = 1e-16;
const tiny = 1e-300;

/** Regularized incomplete beta function I_x(a, b), by its continued fraction (modified Lentz). */
export function incompleteBeta(x: number, a: number, b: number): number {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  if (x > (a + 1) / (a + b + 2)) return 1 - incompleteBeta(1 - x, b, a);
  const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x)) / a;
  const term = (i: number): number => {
    const m = Math.floor(i / 2);
    if (i === 0) return 1;
    if (i % 2 === 0) return (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    return (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
  };
  let [fraction, c, d] = [1, 1, 0];
  for (let i = 0; i < 10_000; i++) {
    const numerator = term(i);
    d = 1 / (1 + numerator * d || tiny);
    c = 1 + numerator / c || tiny;
    fraction *= c * d;
    if (i > 0 && Math.abs(1 - c * d) < epsilon) break;
  }
  return front * (fraction - 1);
}

/** Upper tail of the standard normal distribution, by the series or the continued fraction of the incomplete gamma. */
function normalTail(z: number): number {
  const x = (z * z) / 2;
  const scale = Math.exp(-x) / Math.sqrt(Math.PI);
  if (x < 2) {
    let [term, sum] = [2, 2];
    for (let n = 1; Math.abs(term) > epsilon * sum; n++) sum += term *= x / (n + 0.5);
    return 0.5 - 0.5 * scale * Math.sqrt(x) * sum;
  }
  let b = x + 0.5;
  let [c, d] = [1 / tiny, 1 / b];
  let fraction = d;
  for (let i = 1; i < 10_000; i++) {
    const a = -i * (i - 0.5);
    b += 2;
    d = 1 / (a * d + b);
    c = b + a / c;
    fraction *= c * d;
    if (Math.abs(c * d - 1) < epsilon) break;
  }
  return 0.5 * scale * Math.sqrt(x) * fraction;
}

export const normalCdf = (z: number): number => (z < 0 ? normalTail(-z) : 1 - normalTail(z));

/** Student's t with `df` degrees of freedom. */
export const tCdf = (t: number, df: number): number => {
  const tail = 0.5 * incompleteBeta(df / (df + t * t), df / 2, 0.5);
  return t < 0 ? tail : 1 - tail;
};

/** P(F >= f) with (df1, df2) degrees of freedom. */
export const fTail = (f: number, df1: number, df2: number): number =>
  f <= 0 ? 1 : incompleteBeta(df2 / (df2 + df1 * f), df2 / 2, df1 / 2);

export const normalQuantile = (p: number): number => quantile(p, normalCdf);
export const tQuantile = (p: number, df: number): number => quantile(p, (t) => tCdf(t, df));

/** Inverts a symmetric distribution function by bisection, to the last bits. */
function quantile(p: number, cdf: (x: number) => number): number {
  if (!(p > 0 && p < 1)) throw new RangeError(`a quantile needs a share between 0 and 1, got ${p}`);
  if (p > 0.5) return -quantile(1 - p, cdf);
  let [low, high] = [-1, 0];
  while (cdf(low) > p) low *= 2;
  for (let i = 0; i < 200 && high - low > epsilon * Math.abs(low); i++) {
    const middle = (low + high) / 2;
    if (cdf(middle) < p) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}
