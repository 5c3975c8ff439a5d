import type { Problem } from "../read/problem.js";
import type { ReflectionCounting } from "../reflection.js";
import type { ReflectionStatistics } from "../reflection-statistics.js";
import { rolloutName } from "../rollout-names.js";
import type { ReadStep } from "./read-steps.js";

/** One step's completions. */
export interface ReflectionPoint extends ReflectionStatistics {
  readonly step: number;
}

/** Both countings, and what could not be read. */
export interface ReflectionCurves extends Readonly<Record<ReflectionCounting, readonly ReflectionPoint[]>> {
  readonly problems: readonly Problem[];
}

/** For at most `max_steps` steps, evenly spread. */
export function reflectionCurves(steps: readonly ReadStep[], max_steps: number): ReflectionCurves {
  const readable = steps.filter(({ is_readable }) => is_readable);
  const stride = Math.max(1, Math.ceil(readable.length / max_steps));
  const chosen = readable.filter((_, i, all) => i % stride === 0 || i === all.length - 1);
  const curve = (counting: ReflectionCounting): readonly ReflectionPoint[] =>
    chosen.flatMap(({ step, reflection }) => (reflection === null ? [] : [{ step, ...reflection[counting] }]));
  return {
    ...{ word: curve("word"), substring: curve("substring") },
    problems: steps.flatMap(({ step, problem, is_readable }) =>
      problem === undefined ? [] : [problemOf(step, problem, is_readable)],
    ),
  };
}

const problemOf = (step: number, reason: string, is_readable: boolean): Problem => ({
  file: `rollouts/${rolloutName(step)}`,
  message: `left out${is_readable ? " of the reflection curves" : ""}: ${reason}`,
});
