import { basename } from "node:path";
import type { ReflectionCounting } from "../reflection.js";
import type { ReflectionStatistics } from "../reflection-statistics.js";
import { reasonOf, type Problem } from "./problem.js";
import type { RolloutIndex } from "./rollout-index.js";

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
  for (const { step } of index.steps.filter((_, i, all) => i % stride === 0 || i === all.length - 1)) {
    try {
      const found = await index.reflection(step);
      if (found === null) continue;
      word.push({ step, ...found.word });
      substring.push({ step, ...found.substring });
    } catch (error) {
      problems.push({
        file: `rollouts/${basename(index.fileOf(step))}`,
        message: `left out of the reflection curves: ${reasonOf(error)}`,
      });
    }
  }
  return { word, substring, problems };
}
