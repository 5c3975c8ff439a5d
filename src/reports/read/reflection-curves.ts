import { basename } from "node:path";
import { countReflection, isReflective, reflection_words, type ReflectionCounting } from "../reflection.js";
import { openArrowFile } from "./arrow-file.js";
import { reasonOf, type Problem } from "./problem.js";
import type { RolloutIndex, StepSamples } from "./rollout-index.js";

/**
 * Reflection in one step's completions. N completions, N+ of them correct, R with a reflection word, R+ with both; a ratio
 * whose denominator is 0 is left out. Source: arXiv:2504.02587, section 4.
 */
export interface ReflectionPoint {
  readonly step: number;
  readonly ratios: Readonly<Partial<Record<RatioName, number>>>;
  /** Occurrences in all completions of the step. */
  readonly counts: Readonly<Record<string, number>>;
}

export const ratio_names = {
  reflective: "R / N",
  "reflective among correct": "R+ / N+",
  "reflective among wrong": "(R − R+) / (N − N+)",
  "correct among reflective": "R+ / R",
  "correct among others": "(N+ − R+) / (N − R)",
} as const;
export type RatioName = keyof typeof ratio_names;

/** For at most `max_steps` steps, evenly spread. */
export async function reflectionCurve(
  index: RolloutIndex,
  counting: ReflectionCounting,
  max_steps: number,
): Promise<{ readonly points: readonly ReflectionPoint[]; readonly problems: readonly Problem[] }> {
  const points: ReflectionPoint[] = [];
  const problems: Problem[] = [];
  const stride = Math.max(1, Math.ceil(index.steps.length / max_steps));
  for (const samples of index.steps.filter((_, i, all) => i % stride === 0 || i === all.length - 1)) {
    const path = index.fileOf(samples.step);
    try {
      await using arrow = await openArrowFile(path);
      if (arrow.has("completion")) points.push(reflectionPoint(samples, await arrow.texts("completion"), counting));
    } catch (error) {
      problems.push({
        file: `rollouts/${basename(path)}`,
        message: `left out of the reflection curves: ${reasonOf(error)}`,
      });
    }
  }
  return { points, problems };
}

export function reflectionPoint(
  { step, num_rows, correct }: Pick<StepSamples, "step" | "num_rows" | "correct">,
  completions: readonly string[],
  counting: ReflectionCounting,
): ReflectionPoint {
  const counts: Record<string, number> = Object.fromEntries(reflection_words.map((word) => [word, 0]));
  let [reflective, correct_reflective, num_correct] = [0, 0, 0];
  completions.forEach((text, row) => {
    const is_correct = correct?.[row] ?? 0;
    num_correct += is_correct;
    if (!isReflective(text, counting)) return;
    reflective += 1;
    correct_reflective += is_correct;
    for (const [word, count] of Object.entries(countReflection(text, counting))) counts[word]! += count;
  });
  const ratios: Partial<Record<RatioName, number>> = {};
  const put = (name: RatioName, above: number, below: number): void => {
    if (below > 0) ratios[name] = above / below;
  };
  put("reflective", reflective, num_rows);
  if (correct !== null) {
    put("reflective among correct", correct_reflective, num_correct);
    put("reflective among wrong", reflective - correct_reflective, num_rows - num_correct);
    put("correct among reflective", correct_reflective, reflective);
    put("correct among others", num_correct - correct_reflective, num_rows - reflective);
  }
  return { step, ratios, counts };
}
