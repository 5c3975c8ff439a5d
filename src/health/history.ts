import type { Metrics } from "../pipeline/events.js";

/** Steps whose median a gradient norm is compared with, and how many there must be at least. */
const norm_window = 20;
const norm_least = 5;
/** The first steps, whose median a completion length is compared with. */
const length_steps = 10;

/** Metrics that compare a step with those before it. Formulas: src/reports/metrics.ts. */
export function historyMetrics(): (metrics: Metrics) => Metrics {
  const norms: number[] = [];
  const first_lengths: number[] = [];
  return ({ grad_norm, completion_length_mean: length }) => {
    const compared: Record<string, number> = {};
    if (grad_norm !== undefined) {
      const usual = norms.length < norm_least ? 0 : median(norms);
      if (usual > 0) compared["grad_norm_ratio"] = grad_norm / usual;
      if (Number.isFinite(grad_norm)) norms.push(grad_norm);
      if (norms.length > norm_window) norms.shift();
    }
    if (length !== undefined) {
      if (first_lengths.length < length_steps) first_lengths.push(length);
      else compared["completion_length_change"] = length / median(first_lengths);
    }
    return compared;
  };
}

/** The mean of the two middle values where there are two. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
