import { createHash } from "node:crypto";
import type { Sample } from "../batches/sample.js";
import type { Dataset, OpenOptions } from "../datasets/dataset.js";
import { BadRow, type RowProblem } from "../datasets/reading/bad-row.js";
import { type DatasetConfig, openDataset } from "../datasets/registry.js";
import { smartResize } from "../engine/smart-resize.js";
import { UserError } from "../errors.js";
import { openImage, readImage } from "./data/image.js";
import type { Processor, PromptOptions } from "./data/processor.js";
import { type Counts, type Tally, tally } from "./data-tally.js";

export interface CheckOptions extends Pick<OpenOptions, "base_folder" | "hub"> {
  /** Of the model; absent: tokens are not counted. */
  readonly processor?: Processor | undefined;
  readonly prompt: PromptOptions;
  /** A longer prompt is a bad row. */
  readonly max_prompt_tokens: number;
  readonly max_image_pixels: number;
  readonly signal?: AbortSignal | undefined;
  readonly on_progress?: (split: string, done: number, total: number) => void;
}

export interface SplitReport extends Counts {
  readonly split: string;
  /** Bad ones included. */
  readonly num_rows: number;
  readonly bad: readonly RowProblem[];
  /** Rows whose question and images another row of the split has already. */
  readonly repeated: readonly Twin[];
}

/** Two rows with the same question and images. */
export interface Twin {
  readonly first: string;
  readonly second: string;
}

export interface DataReport {
  readonly splits: readonly SplitReport[];
  /** Rows of a later split that an earlier one has. */
  readonly shared: readonly (Twin & { readonly splits: readonly [string, string] })[];
}

/** Reads every row of every split, images and all. @throws UserError INTERRUPTED */
export async function checkData(
  datasets: Readonly<Record<string, DatasetConfig>>,
  options: CheckOptions,
): Promise<DataReport> {
  const seen = new Map<string, { readonly split: string; readonly place: string }>();
  const shared: (Twin & { splits: [string, string] })[] = [];
  const splits: SplitReport[] = [];
  for (const [split, config] of Object.entries(datasets)) {
    const rows = await checkSplit(split, config, options);
    const own = new Map<string, string>();
    const repeated: Twin[] = [];
    for (const { key, place } of rows.keys) {
      const before = seen.get(key);
      if (before !== undefined && before.split !== split)
        shared.push({ first: before.place, second: place, splits: [before.split, split] });
      const twin = own.get(key);
      if (twin !== undefined) repeated.push({ first: twin, second: place });
      else own.set(key, place);
      if (before === undefined) seen.set(key, { split, place });
    }
    splits.push({ ...rows.report, repeated });
  }
  return { splits, shared };
}

interface Checked {
  readonly report: Omit<SplitReport, "repeated">;
  /** Content hashes of the good rows. */
  readonly keys: readonly { readonly key: string; readonly place: string }[];
}

async function checkSplit(split: string, config: DatasetConfig, options: CheckOptions): Promise<Checked> {
  const bad: RowProblem[] = [];
  const { base_folder, hub, signal } = options;
  let dataset: Dataset | undefined;
  try {
    dataset = await openDataset(config, { base_folder, hub, on_bad_row: (problem) => bad.push(problem) });
  } catch (error) {
    if (!(error instanceof UserError) || error.code === "INTERRUPTED") throw error;
    bad.push({ place: split, what: error.message });
  }
  const num_rows = (dataset?.length ?? 0) + bad.length;
  const keys: { key: string; place: string }[] = [];
  const ids = new Map<string, string>();
  const counts = tally();
  for (let index = 0; index < (dataset?.length ?? 0); index++) {
    if (signal?.aborted === true)
      throw new UserError("INTERRUPTED", `interrupted after ${index} rows of ${split}`, "Run it again.");
    let place = dataset!.place?.(index);
    try {
      const sample = await dataset!.get(index);
      place ??= `${split}: sample ${JSON.stringify(sample.id)}`;
      const twin = ids.get(sample.id);
      if (twin !== undefined)
        throw new BadRow(`id ${JSON.stringify(sample.id)} is already used at ${twin}; ids must be unique`);
      ids.set(sample.id, place);
      keys.push({ key: await checkRow(sample, place, counts, options), place });
    } catch (error) {
      if (!(error instanceof UserError || error instanceof BadRow)) throw error;
      place ??= `${split}: row ${index}`;
      bad.push({ place, what: withoutPlace(error.message, place) });
    }
    options.on_progress?.(split, index + 1, dataset!.length);
  }
  return { keys, report: { split, num_rows, bad, ...counts.result() } };
}

const withoutPlace = (message: string, place: string): string =>
  message.startsWith(`${place}: `) ? message.slice(place.length + 2) : message;

/** Counts a good row, and returns the hash of its question and images. @throws UserError or BadRow saying what is wrong */
async function checkRow(sample: Sample, place: string, counts: Tally, options: CheckOptions): Promise<string> {
  const { processor, prompt, max_prompt_tokens, max_image_pixels } = options;
  const { question, history, system_prompt, solution } = sample;
  const hash = createHash("sha256").update(JSON.stringify([history ?? [], system_prompt ?? null, question]));
  const images: { width: number; height: number; num_tokens: number }[] = [];
  for (const source of sample.images) {
    const file = await readImage(source, `sample ${JSON.stringify(sample.id)}`);
    hash.update(file.id);
    const { width, height } = await (await openImage(file, max_image_pixels)).decode();
    images.push({ width, height, num_tokens: processor === undefined ? 0 : tokensOf(processor, width, height) });
  }
  const text = processor?.renderPrompt({ question, history, system_prompt, num_images: images.length }, prompt);
  const num_tokens = text === undefined ? undefined : processor!.encodePrompt(text, images).length;
  if (num_tokens !== undefined && num_tokens > max_prompt_tokens)
    throw new BadRow(`the prompt has ${num_tokens} tokens, over max_prompt_tokens ${max_prompt_tokens}`);
  counts.add({
    ...{ place, images, has_solution: solution !== undefined },
    characters: [...(history ?? []), { content: question }].reduce((sum, { content }) => sum + content.length, 0),
    tokens:
      num_tokens === undefined
        ? undefined
        : {
            prompt: num_tokens,
            image: images.reduce((sum, image) => sum + image.num_tokens, 0),
            solution: solution === undefined ? undefined : processor!.encode(solution).length + 1,
          },
  });
  return hash.digest("base64");
}

function tokensOf({ image_processor }: Processor, width: number, height: number): number {
  const { patch_size, merge_size, min_pixels, max_pixels } = image_processor;
  const resized = smartResize({ height, width, factor: patch_size * merge_size, min_pixels, max_pixels });
  return (resized.height * resized.width) / (patch_size * merge_size) ** 2;
}
