import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { namesIn } from "../files.js";
import { type ArrowFile, openArrowFile } from "../read/arrow-file.js";
import { isObject } from "../read/metrics-lines.js";
import type { Run } from "../read/run-folder-reader.js";
import { stepPlaces, stepSamples, type StepSamples } from "../read/step-samples.js";
import { rolloutFolder, rolloutName } from "../rollout-names.js";

/** A completion to look at, with its image inside the page. */
export interface ExampleSample {
  readonly group: string;
  readonly step: number;
  readonly completion: string;
  readonly answer: string;
  readonly reward: number;
  /** The parts, before weights. */
  readonly reward_breakdown: Readonly<Record<string, number>>;
  readonly is_correct: boolean | null;
  /** data: URIs. */
  readonly images: readonly string[];
}

const max_image_bytes = 100_000;
const types: Readonly<Record<string, string>> = {
  png: "image/png",
  jpg: "image/jpeg",
  gif: "image/gif",
  webp: "image/webp",
};

/** From the first step and the last: up to two that were right and two that were wrong. */
export async function examplesOf(run: Run, steps: readonly number[], group: string): Promise<readonly ExampleSample[]> {
  const chosen = new Set([...steps.slice(0, 1), ...steps.slice(-1)]);
  const examples = [...chosen].map((step) =>
    inStep(run, step, async (file) => {
      const samples = await stepSamples(file, step);
      return Promise.all(pick(samples).map((row) => example(run, group, samples, row, file)));
    }),
  );
  return (await Promise.all(examples)).flat();
}

const max_steps_back = 20;

/** The last two correct completions with a reflection word (whole words), of different steps. */
export async function reflectiveExamplesOf(
  run: Run,
  steps: readonly number[],
  group: string,
): Promise<readonly ExampleSample[]> {
  const found: ExampleSample[] = [];
  for (const step of steps.slice(-max_steps_back).reverse()) {
    if (found.length === 2) break;
    const here = await inStep(run, step, async (file) => {
      const samples = await stepSamples(file, step);
      const places = (await stepPlaces(file))?.places ?? [];
      const row = places.findIndex(({ word }, i) => word.length > 0 && samples.correct?.[i] === 1);
      return row < 0 ? [] : [await example(run, group, samples, row, file)];
    });
    found.push(...here);
  }
  return found;
}

/** Nothing of a damaged file: it is reported where its curves are read. */
async function inStep<T>(
  { folder }: Run,
  step: number,
  read: (file: ArrowFile) => Promise<readonly T[]>,
): Promise<readonly T[]> {
  try {
    await using file = await openArrowFile(join(rolloutFolder(folder), rolloutName(step)));
    return await read(file);
  } catch {
    return [];
  }
}

/** Rows of different prompts, right ones first. */
function pick({ num_rows, correct, prompt_ids }: StepSamples): readonly number[] {
  const seen = new Set<number>();
  const rows = (wanted: number | undefined): number[] => {
    const found: number[] = [];
    for (let row = 0; row < num_rows && found.length < 2; row++) {
      if ((wanted !== undefined && correct?.[row] !== wanted) || seen.has(prompt_ids[row]!)) continue;
      seen.add(prompt_ids[row]!);
      found.push(row);
    }
    return found;
  };
  return correct === null ? rows(undefined) : [...rows(1), ...rows(0)];
}

async function example(
  { folder }: Run,
  group: string,
  { step, correct }: StepSamples,
  row: number,
  file: ArrowFile,
): Promise<ExampleSample> {
  const cells = await file.row(row, ["completion", "answer", "reward", "reward_breakdown", "image_ids"]);
  const { completion, answer, reward, reward_breakdown, image_ids } = cells;
  const ids = Array.isArray(image_ids) || isObject(image_ids) ? [...(image_ids as readonly string[])] : [];
  return {
    ...{ group, step, is_correct: correct === null ? null : correct[row] === 1 },
    completion: typeof completion === "string" ? completion : "",
    answer: typeof answer === "string" ? answer : "",
    reward: Number(reward),
    reward_breakdown: isObject(reward_breakdown)
      ? Object.fromEntries(Object.entries(reward_breakdown).map(([name, value]) => [name, Number(value)]))
      : {},
    images: (await Promise.all(ids.slice(0, 4).map((id) => dataUri(folder, id)))).flat(),
  };
}

async function dataUri(folder: string, id: string): Promise<readonly string[]> {
  if (!/^[0-9a-f]+$/.test(id)) return [];
  const name = (await namesIn(join(folder, "images"))).find((file) => file.startsWith(`${id}.`));
  const type = types[name?.split(".").at(-1) ?? ""];
  if (name === undefined || type === undefined) return [];
  const bytes = await readFile(join(folder, "images", name));
  return bytes.length > max_image_bytes ? [] : [`data:${type};base64,${bytes.toString("base64")}`];
}
