import { reflection_words, type ReflectionCounting, type ReflectionPlaces } from "./reflection.js";

export const ratio_names = {
  reflective: "R / N",
  "reflective among correct": "R+ / N+",
  "reflective among wrong": "(R − R+) / (N − N+)",
  "correct among reflective": "R+ / R",
  "correct among others": "(N+ − R+) / (N − R)",
} as const;
export type RatioName = keyof typeof ratio_names;

/** Some completions. */
export interface CompletionsSeen {
  /** Of the words in each text: `texts.map(reflectionPlaces)`. */
  readonly places: readonly ReflectionPlaces[];
  /** 1 correct, 0 not; null where no accuracy was rewarded. */
  readonly correct: ArrayLike<number> | null;
  /** Sampled tokens; absent: lengths are not measured. */
  readonly lengths?: ArrayLike<number> | undefined;
}

/**
 * Reflection in some completions. N completions, N+ of them correct, R with a reflection word, R+ with both; what divides by 0
 * is left out. Source: arXiv:2504.02587, section 4.
 */
export interface ReflectionStatistics {
  /** N and R. */
  readonly completions: number;
  readonly reflective: number;
  /** N+ and R+; null where no accuracy was rewarded. */
  readonly correct: number | null;
  readonly reflective_correct: number | null;
  readonly ratios: Readonly<Partial<Record<RatioName, number>>>;
  /** Mean tokens of the completions with a reflection word, and of the others. */
  readonly length?: number;
  readonly length_others?: number;
  /** Occurrences of each word in all completions. */
  readonly counts: Readonly<Record<string, number>>;
}

export function reflectionStatistics(
  { places, correct, lengths }: CompletionsSeen,
  counting: ReflectionCounting,
): ReflectionStatistics {
  const counts: Record<string, number> = Object.fromEntries(reflection_words.map((word) => [word, 0]));
  let [reflective, reflective_correct, num_correct, tokens, reflective_tokens] = [0, 0, 0, 0, 0];
  places.forEach(({ [counting]: hits }, row) => {
    const is_correct = correct?.[row] ?? 0;
    const length = lengths?.[row] ?? 0;
    num_correct += is_correct;
    tokens += length;
    if (hits.length === 0) return;
    reflective += 1;
    reflective_correct += is_correct;
    reflective_tokens += length;
    for (const { word } of hits) counts[word]! += 1;
  });
  const completions = places.length;
  const ratio = (name: string, above: number, below: number) => (below > 0 ? { [name]: above / below } : {});
  const by_correct = correct !== null && {
    ...ratio("reflective among correct", reflective_correct, num_correct),
    ...ratio("reflective among wrong", reflective - reflective_correct, completions - num_correct),
    ...ratio("correct among reflective", reflective_correct, reflective),
    ...ratio("correct among others", num_correct - reflective_correct, completions - reflective),
  };
  return {
    ...{ completions, reflective, counts },
    correct: correct && num_correct,
    reflective_correct: correct && reflective_correct,
    ratios: { ...ratio("reflective", reflective, completions), ...by_correct },
    ...(lengths && {
      ...ratio("length", reflective_tokens, reflective),
      ...ratio("length_others", tokens - reflective_tokens, completions - reflective),
    }),
  };
}
