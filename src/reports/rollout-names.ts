import { join } from "node:path";
import { namesIn } from "./files.js";

const pattern = /^step-(\d{6,})\.arrow$/;

/** Of the file with a step's rollouts, in a run's folder `rollouts`. */
export const rolloutName = (step: number): string => `step-${String(step).padStart(6, "0")}.arrow`;

/** The step whose rollouts a file of that name holds; undefined for other files. */
export function rolloutStep(name: string): number | undefined {
  const found = pattern.exec(name);
  return found === null ? undefined : Number(found[1]);
}

export const rolloutFolder = (run_folder: string): string => join(run_folder, "rollouts");

/** Steps whose rollouts a run keeps, ascending. */
export async function rolloutSteps(run_folder: string): Promise<readonly number[]> {
  const names = await namesIn(rolloutFolder(run_folder)).catch(() => [] as readonly string[]);
  return names.flatMap((name) => rolloutStep(name) ?? []).sort((a, b) => a - b);
}
