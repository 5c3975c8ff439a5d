import { isMajorityRight } from "./majority.js";
import type { EvaluationResult, EvaluationSample, LengthBucket, VisualGain } from "./result.js";
import { bootstrap, passAtK, wilson } from "./statistics.js";

export interface Sampled {
  /** Of one setting and control, by item and sample; as many of each item. */
  readonly samples: readonly EvaluationSample[];
  /** Answer classes of each item. */
  readonly classes: readonly (readonly number[])[];
}

type Named = Pick<EvaluationResult, "setting" | "control" | "completions_per_prompt">;

export function summary(named: Named, { samples, classes }: Sampled, seed: number): EvaluationResult {
  const n = named.completions_per_prompt;
  const correct = countCorrect(samples, n);
  const shares = correct.map((count) => count / n);
  const pass_at: Record<number, number> = {};
  const majority_at: Record<number, number> = {};
  for (const k of passCounts(n)) {
    pass_at[k] = mean(correct.map((count) => passAtK(n, count, k)));
    majority_at[k] = mean(classes.map((item) => Number(isMajorityRight(item, k))));
  }
  return {
    ...named,
    num_items: correct.length,
    accuracy: mean(shares),
    interval: n === 1 ? wilson(mean(shares) * shares.length, shares.length) : bootstrap(shares, seed),
    pass_at,
    majority_at,
    by_length: lengthBuckets(samples),
    mean_completion_length: mean(samples.map(({ completion_length }) => completion_length)),
    truncated: mean(samples.map(({ finish_reason }) => Number(finish_reason === "length"))),
    correct,
  };
}

/** Cut at the nearest-rank quartiles of the lengths; a bucket that nothing falls into is left out. */
export function lengthBuckets(
  samples: readonly Pick<EvaluationSample, "completion_length" | "correct">[],
): readonly LengthBucket[] {
  const lengths = samples.map(({ completion_length }) => completion_length).sort((a, b) => a - b);
  const quartiles = [0.25, 0.5, 0.75, 1].map((share) => lengths[Math.ceil(share * lengths.length) - 1]);
  const bounds = [...new Set(quartiles)].filter((bound) => bound !== undefined);
  return bounds.map((max_length, i) => {
    const held = samples.filter(
      ({ completion_length }) => completion_length <= max_length && completion_length > (bounds[i - 1] ?? -1),
    );
    return { max_length, num_completions: held.length, accuracy: mean(held.map(({ correct }) => Number(correct))) };
  });
}

/** `own` and `controlled`: samples of one setting; items that the control leaves out are left out. */
export function visualGain(
  own: readonly EvaluationSample[],
  controlled: readonly EvaluationSample[],
  { setting, control, completions_per_prompt: n }: Named & { readonly control: VisualGain["control"] },
  seed: number,
): VisualGain {
  const items = new Set(controlled.map(({ item }) => item));
  const with_control = countCorrect(controlled, n);
  const differences = countCorrect(
    own.filter(({ item }) => items.has(item)),
    n,
  ).map((count, i) => (count - with_control[i]!) / n);
  return {
    ...{ setting, control, num_items: differences.length },
    gain: mean(differences),
    interval: bootstrap(differences, seed),
  };
}

/** The k of pass@k and maj@k: powers of two, and all. */
export function passCounts(completions_per_prompt: number): readonly number[] {
  const counts: number[] = [];
  for (let k = 1; k < completions_per_prompt; k *= 2) counts.push(k);
  return [...counts, completions_per_prompt];
}

const countCorrect = (samples: readonly EvaluationSample[], n: number): readonly number[] =>
  Array.from({ length: samples.length / n }, (_, item) =>
    samples.slice(item * n, (item + 1) * n).reduce((sum, { correct }) => sum + Number(correct), 0),
  );

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
