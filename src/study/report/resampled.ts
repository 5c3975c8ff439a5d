import { meanOf } from "../../evaluate/statistics/averages.js";
import { crossedBootstrap, type Shares } from "../../evaluate/statistics/crossed-bootstrap.js";
import type { EvaluationPoint } from "../../reports/read/metrics-lines.js";
import { type Kind, type Measured, pointsOf } from "./measured.js";

/** The last evaluations of one entry on one split and setting. */
export interface Outcome {
  readonly seeds: readonly number[];
  /** Correct completions of each item, [seed][item]. */
  readonly correct: readonly (readonly number[])[];
  readonly completions_per_prompt: number;
  readonly num_items: number;
  /** Mean accuracy, items and seeds drawn anew: a value a round. */
  readonly rounds: Float64Array;
}

/**
 * Outcomes by entry. Left out are entries whose evaluations have kept no items, or other items than most.
 * The rounds of two entries belong together, so that their differences are paired.
 */
export function outcomesOf(entries: readonly Measured[], { split, setting }: Kind): ReadonlyMap<Measured, Outcome> {
  const found = entries.flatMap((entry) => {
    const runs = entry.runs.flatMap((run) => {
      const last = pointsOf(run, split, setting).at(-1);
      return last === undefined || last.correct === null ? [] : [{ seed: run.seed, ...withItems(last) }];
    });
    return runs.length === 0 ? [] : [{ entry, runs }];
  });
  const num_items = found[0]?.runs[0]?.correct.length ?? 0;
  const usable = found.filter(({ runs }) => runs.every(({ correct }) => correct.length === num_items));
  const shares = usable.map(({ runs }): Shares =>
    runs.map(({ correct, per_item }) => correct.map((n) => n / per_item)),
  );
  const rounds = crossedBootstrap(shares);
  return new Map(
    usable.map(({ entry, runs }, i) => [
      entry,
      {
        seeds: runs.map(({ seed }) => seed),
        correct: runs.map(({ correct }) => correct),
        completions_per_prompt: runs[0]!.per_item,
        num_items,
        rounds: rounds[i]!,
      },
    ]),
  );
}

const withItems = ({ correct, values }: EvaluationPoint) => ({
  correct: correct!,
  per_item: values["completions_per_prompt"] ?? 1,
});

export const accuracyOf = ({ correct, completions_per_prompt }: Outcome): number =>
  meanOf(correct.map((items) => meanOf(items) / completions_per_prompt));
