export function meanOf(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]!;
  return sum / values.length;
}

/** Interquartile mean: a quarter of the values is left out at each end. Source: arXiv:2108.13264. */
export function interquartileMean(values: readonly number[]): number {
  const cut = Math.floor(values.length / 4);
  const kept = [...values].sort((a, b) => a - b).slice(cut, values.length - cut);
  return meanOf(kept);
}

/** Pearson's correlation; undefined where a list does not vary. */
export const pearson = (x: readonly number[], y: readonly number[]): number | undefined => shiftedPearson(x, y)?.(0);

/** Pearson's correlation of x with y rotated by a shift; undefined where a list does not vary. */
export function shiftedPearson(x: readonly number[], y: readonly number[]): ((shift: number) => number) | undefined {
  const [from_x, from_y] = [fromMean(x), fromMean(y)];
  const scale = Math.sqrt(shiftedDot(from_x, from_x, 0) * shiftedDot(from_y, from_y, 0));
  return scale === 0 ? undefined : (shift) => shiftedDot(from_x, from_y, shift) / scale;
}

function fromMean(values: readonly number[]): Float64Array {
  const mean = meanOf(values);
  return Float64Array.from(values, (value) => value - mean);
}

function shiftedDot(x: Float64Array, y: Float64Array, shift: number): number {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += x[i]! * y[(i + shift) % y.length]!;
  return sum;
}

/** Spearman's rank correlation; equal values share their mean rank. */
export const spearman = (x: readonly number[], y: readonly number[]): number | undefined => pearson(ranks(x), ranks(y));

export function ranks(values: readonly number[]): readonly number[] {
  const order = values.map((_, i) => i).sort((a, b) => values[a]! - values[b]!);
  const result = new Array<number>(values.length);
  for (let start = 0; start < order.length;) {
    let end = start + 1;
    while (end < order.length && values[order[end]!] === values[order[start]!]) end += 1;
    for (let i = start; i < end; i++) result[order[i]!] = (start + end + 1) / 2;
    start = end;
  }
  return result;
}

/** Quantile of sorted values, linear between neighbours (numpy's default). */
export function quantileOf(sorted: ArrayLike<number>, share: number): number {
  const at = share * (sorted.length - 1);
  const [low, high] = [Math.floor(at), Math.ceil(at)];
  return sorted[low]! + (at - low) * (sorted[high]! - sorted[low]!);
}
