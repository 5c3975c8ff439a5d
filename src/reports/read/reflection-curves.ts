import { basename } from "node:path";
import type { ReflectionCounting } from "../reflection.js";
import { reflectionStatistics, type ReflectionStatistics } from "../reflection-statistics.js";
import { openArrowFile } from "./arrow-file.js";
import { reasonOf, type Problem } from "./problem.js";
import type { RolloutIndex, StepSamples } from "./rollout-index.js";

/** One step's completions. */
export interface ReflectionPoint extends ReflectionStatistics {
  readonly step: number;
}

/** Both countings, and what could not be read. */
export interface ReflectionCurves extends Readonly<Record<ReflectionCounting, readonly ReflectionPoint[]>> {
  readonly problems: readonly Problem[];
}

/** For at most `max_steps` steps, evenly spread. */
export async function reflectionCurves(index: RolloutIndex, max_steps: number): Promise<ReflectionCurves> {
  const [word, substring]: [ReflectionPoint[], ReflectionPoint[]] = [[], []];
  const problems: Problem[] = [];
  const stride = Math.max(1, Math.ceil(index.steps.length / max_steps));
  for (const samples of index.steps.filter((_, i, all) => i % stride === 0 || i === all.length - 1)) {
    const path = index.fileOf(samples.step);
    try {
      await using arrow = await openArrowFile(path);
      if (!arrow.has("completion")) continue;
      const completions = await arrow.texts("completion");
      word.push(reflectionPoint(samples, completions, "word"));
      substring.push(reflectionPoint(samples, completions, "substring"));
    } catch (error) {
      problems.push({
        file: `rollouts/${basename(path)}`,
        message: `left out of the reflection curves: ${reasonOf(error)}`,
      });
    }
  }
  return { word, substring, problems };
}

export function reflectionPoint(
  { step, correct, lengths }: Pick<StepSamples, "step" | "correct"> & Partial<Pick<StepSamples, "lengths">>,
  completions: readonly string[],
  counting: ReflectionCounting,
): ReflectionPoint {
  return { step, ...reflectionStatistics({ texts: completions, correct, lengths }, counting) };
}
