import { join } from "node:path";
import { openArrowFile } from "../read/arrow-file.js";
import { reasonOf } from "../read/problem.js";
import { stepPlaces, type StepReflection, stepReflection, stepSamples } from "../read/step-samples.js";
import { rolloutFolder, rolloutName } from "../rollout-names.js";
import { reflectiveSamples } from "./reflective-samples.js";

/** Some rollout files of one run, read at once: what a thread is given. */
export interface StepsTask {
  /** The run's name. */
  readonly run: string;
  readonly folder: string;
  readonly steps: readonly number[];
}

/** What a report keeps of one step's rollouts. */
export interface ReadStep {
  readonly step: number;
  /** Why the file, or the reflection in it, is left out. */
  readonly problem?: string;
  /** Whether its samples could be read, whatever its completions are. */
  readonly is_readable: boolean;
  /** Null where no completions are kept, or they cannot be read. */
  readonly reflection: StepReflection | null;
}

export interface ReadSteps {
  /** Files that have gone meanwhile are missing. */
  readonly steps: readonly ReadStep[];
  /** JSON Lines: the correct completions that reflect, by step and row. */
  readonly reflective: string;
  readonly num_reflective: number;
}

export async function readSteps({ run, folder, steps }: StepsTask): Promise<ReadSteps> {
  const read = (await Promise.all(steps.map((step) => readStep(run, folder, step)))).filter((one) => one !== undefined);
  const lines = read.flatMap((one) => one.lines);
  return {
    steps: read.map(({ lines: _, ...step }) => step),
    reflective: lines.join(""),
    num_reflective: lines.length,
  };
}

type StepLines = ReadStep & { readonly lines: readonly string[] };

/** Never fails for what the file holds; undefined if there is none. */
async function readStep(run: string, folder: string, step: number): Promise<StepLines | undefined> {
  const nothing: StepLines = { step, is_readable: false, reflection: null, lines: [] };
  let is_readable = false;
  try {
    await using file = await openArrowFile(join(rolloutFolder(folder), rolloutName(step)));
    const samples = await stepSamples(file, step);
    is_readable = true;
    const found = await stepPlaces(file);
    if (found === null) return { ...nothing, is_readable };
    const reflection = stepReflection(found, samples);
    // Prompts and answers may be damaged where the curves can be drawn.
    const reflective = await reflectiveSamples(run, file, samples, found).catch(() => []);
    return { step, is_readable, reflection, lines: reflective.map((sample) => `${JSON.stringify(sample)}\n`) };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    return { ...nothing, is_readable, problem: reasonOf(error) };
  }
}
