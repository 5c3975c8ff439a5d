import type { Metrics } from "../pipeline/events.js";

/** Steps whose median a gradient norm is compared with, and how many there must be at least. */
const norm_window = 20;
const norm_least = 5;
/** The first steps, whose median a completion length is compared with. */
const length_steps = 10;

/** Metrics that follow from a step and those before it. Formulas: src/reports/metrics.ts. */
export function historyMetrics(): (metrics: Metrics) => Metrics {
  const norms: number[] = [];
  const first_lengths: number[] = [];
  const epochAccuracy = accuracyByEpoch();
  return (metrics) => {
    const { grad_norm, completion_length_mean: length } = metrics;
    const compared: Record<string, number> = { ...epochAccuracy(metrics) };
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

/** Over the steps since the last one that completed an epoch, told by the next one that does. */
function accuracyByEpoch(): (metrics: Metrics) => Metrics {
  let [correct, completions, last_epoch] = [0, 0, 0];
  return ({ epoch, completions: num_completions, correct_completions }) => {
    if (epoch === undefined || num_completions === undefined || correct_completions === undefined) return {};
    correct += correct_completions;
    completions += num_completions;
    const is_complete = wholeEpochs(epoch) > wholeEpochs(last_epoch);
    last_epoch = epoch;
    if (!is_complete) return {};
    const epoch_accuracy = correct / completions;
    [correct, completions] = [0, 0];
    return { epoch_accuracy };
  };
}

const wholeEpochs = (epoch: number): number => Math.floor(epoch + 1e-9);

/** The mean of the two middle values where there are two. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
