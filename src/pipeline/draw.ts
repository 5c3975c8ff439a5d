import { readFile } from "node:fs/promises";
import { flatValues, stringLists } from "../batches/columns.js";
import type { PromptBatch } from "../batches/prompt.js";
import type { RolloutBatch } from "../batches/rollout.js";
import type { Sample } from "../batches/sample.js";
import type { Engine } from "../engine/engine.js";
import type { Ranks } from "../ranks/ranks.js";
import type { ImageFile } from "../reports/image-files.js";
import type { RowText } from "../reports/rollout-files.js";
import type { Processor, PromptOptions } from "./data/processor.js";
import type { ImagesAhead } from "./data/images-ahead.js";
import { buildPrompts } from "./data/prompts.js";
import type { PromptStream, StreamedSample } from "./data/stream.js";
import { promptsOfAll, type RankOf } from "./shares.js";

/** The prompts of one step, and the samples they were made of. */
export interface Drawn {
  readonly prompts: PromptBatch;
  readonly samples: readonly StreamedSample[];
  /** Which rank samples, scores and learns from a prompt. */
  readonly rankOf: RankOf;
  /** Samples of the stream handed out so far, these included. */
  readonly stream_end: number;
  sample(prompt_id: number): Sample;
  /** As the chat template renders it, one placeholder per image. */
  promptText(prompt_id: number): string;
  readonly images: readonly ImageFile[];
}

export interface DrawOptions extends PromptOptions {
  readonly ranks: Ranks;
  readonly max_prompt_tokens: number;
  readonly max_image_pixels?: number | undefined;
  readonly known_images: Map<string, string>;
  readonly signal?: AbortSignal | undefined;
  /** Images of the next `prompts_per_step` samples are prepared while the engine works on these. */
  readonly ahead?: Ahead | undefined;
}

export interface Ahead {
  readonly images: ImagesAhead;
  readonly prompts_per_step: number;
  readonly optimizer_steps_per_step: number;
}

/** Draws `count` samples and makes prompts of them; undefined if the stream has fewer left. */
export async function draw(
  engine: Engine,
  processor: Processor,
  stream: PromptStream,
  count: number,
  options: DrawOptions,
): Promise<Drawn | undefined> {
  const { ahead } = options;
  await ahead?.images.deliver();
  const samples = await stream.next(count);
  if (samples.length < count) return undefined;
  const stream_end = stream.cursor.drawn;
  const { ranks } = options;
  const dealt = await deal(ranks, engine, count);
  const rank_of = new Map(samples.map(({ prompt_id }, place) => [prompt_id, dealt[place]!]));
  const rankOf: RankOf = (prompt_id) => rank_of.get(prompt_id)!;
  const own = samples.filter(({ prompt_id }) => rankOf(prompt_id) === ranks.rank);
  const prompts = await promptsOfAll(
    ranks,
    samples.map(({ prompt_id }) => prompt_id),
    rankOf,
    () => buildPrompts(engine, processor, own, options),
  );
  ahead?.images.begin(() => upcoming(ranks, engine, stream, ahead));
  const by_id = new Map(samples.map(({ prompt_id, sample }) => [prompt_id, sample]));
  const sample = (prompt_id: number): Sample => {
    const found = by_id.get(prompt_id);
    if (found === undefined) throw new Error(`prompt ${prompt_id} is not of this step`);
    return found;
  };
  const rendered = new Map<number, string>();
  const promptText = (prompt_id: number): string => {
    const known = rendered.get(prompt_id);
    if (known !== undefined) return known;
    const { question, history, system_prompt, images } = sample(prompt_id);
    const text = processor.renderPrompt({ question, history, system_prompt, num_images: images.length }, options);
    rendered.set(prompt_id, text);
    return text;
  };
  return { prompts, samples, rankOf, stream_end, sample, promptText, images: imageFiles(prompts, samples) };
}

/** In turn, in the order of the update, so that each minibatch has about as many prompts of every rank. By place in the step. */
async function deal(ranks: Ranks, engine: Engine, count: number, ahead = 0): Promise<readonly number[]> {
  const rank_of = new Array<number>(count).fill(0);
  if (ranks.world_size > 1)
    (await engine.updateOrder(count, ahead)).forEach((group, turn) => (rank_of[group] = turn % ranks.world_size));
  return rank_of;
}

/** This rank's of the samples that the next step is going to draw; fewer if it draws others after all. */
async function upcoming(
  ranks: Ranks,
  engine: Engine,
  stream: PromptStream,
  { prompts_per_step, optimizer_steps_per_step }: Ahead,
): Promise<readonly StreamedSample[]> {
  const dealt = deal(ranks, engine, prompts_per_step, optimizer_steps_per_step); // asked before this step's updates
  const [rank_of, samples] = await Promise.all([dealt, stream.upcoming(prompts_per_step)]);
  return samples.filter((_, place) => rank_of[place] === ranks.rank);
}

/** Each image of the batch once, under the engine's id. */
function imageFiles(prompts: PromptBatch, samples: readonly StreamedSample[]): readonly ImageFile[] {
  const ids = stringLists(prompts, "image_ids");
  const files = new Map<string, ImageFile>();
  samples.forEach(({ sample }, row) =>
    sample.images.forEach((source, i) => {
      const id = ids[row]![i]!;
      files.set(id, { id, read: async () => ("path" in source ? readFile(source.path) : source.bytes) });
    }),
  );
  return [...files.values()];
}

/** What people read beside a rollout's columns, row by row. */
export function rowTexts(drawn: Drawn, rollouts: RolloutBatch, completions: readonly string[]): readonly RowText[] {
  return Array.from(flatValues<BigInt64Array>(rollouts, "prompt_id"), (id, row) => ({
    prompt: drawn.promptText(Number(id)),
    completion: completions[row]!,
    answer: drawn.sample(Number(id)).answer,
  }));
}
