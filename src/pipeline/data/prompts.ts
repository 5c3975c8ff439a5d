import { type PromptBatch, promptBatch, type PromptRow } from "../../batches/prompt.js";
import type { ImageSource, Sample } from "../../batches/sample.js";
import type { DecodedImage, Engine, ImageGrid } from "../../engine/engine.js";
import { UserError } from "../../errors.js";
import { type ImageFile, MAX_IMAGE_PIXELS, type OpenedImage, openImage, readImage } from "./image.js";
import type { Processor, PromptOptions } from "./processor.js";
import type { StreamedSample } from "./stream.js";

export interface BuildPromptsOptions extends PromptOptions {
  /** A longer prompt, image tokens included, is an error. */
  readonly max_prompt_tokens: number;
  /** Width x height above which an encoded image is refused; as many pixels are decoded at once. */
  readonly max_image_pixels?: number | undefined;
  /**
   * Content hash of every image file read so far, by path. Pass the same map on every call, and a file whose image the
   * engine holds is not read again (it must not change during the run).
   */
  readonly known_images?: Map<string, string> | undefined;
  readonly signal?: AbortSignal | undefined;
}

type ImageEngine = Pick<Engine, "addImages" | "imageGrid">;

const IMAGES_AT_ONCE = 8; // files held in memory
const MAX_ASPECT_RATIO = 200; // of smart_resize

/**
 * One row per sample, in their order: images decoded (each content once) and given to the engine, the chat template
 * applied, placeholders expanded.
 * @throws UserError PROMPT_INVALID or IMAGE_INVALID naming the sample
 */
export async function buildPrompts(
  engine: ImageEngine,
  processor: Processor,
  samples: readonly StreamedSample[],
  options: BuildPromptsOptions,
): Promise<PromptBatch> {
  const images = await holdImages(engine, samples, options);
  return promptBatch(
    samples.map(({ prompt_id, sample }): PromptRow => {
      const grids = sample.images.map((source) => images.get(source)!);
      const token_ids = naming(sample, () => encodeSample(processor, sample, grids, options));
      return { prompt_id, sample_id: sample.id, token_ids, image_ids: grids.map(({ id }) => id) };
    }),
  );
}

function encodeSample(
  processor: Processor,
  { question, history, system_prompt }: Sample,
  grids: readonly ImageGrid[],
  options: BuildPromptsOptions,
): Int32Array {
  const text = processor.renderPrompt({ question, history, system_prompt, num_images: grids.length }, options);
  const ids = processor.encodePrompt(text, grids);
  if (ids.length <= options.max_prompt_tokens) return ids;
  const ofImages = grids.reduce((sum, { num_tokens }) => sum + num_tokens, 0);
  throw new UserError(
    "PROMPT_INVALID",
    `the prompt has ${ids.length} tokens (${ofImages} of images), over max_prompt_tokens ${options.max_prompt_tokens}`,
    "Raise max_prompt_tokens, lower max_pixels in the checkpoint's preprocessor settings, or remove the sample.",
  );
}

/** Messages of the processor know no sample. */
function naming<T>(sample: Sample, run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(error.code, `${ownerOf(sample)}: ${error.message}`, error.hint, { cause: error });
  }
}

const ownerOf = ({ id }: Sample): string => `sample ${JSON.stringify(id)}`;

/** Content hashes of images that samples bring with them, so that none is computed twice. */
const hashed = new WeakMap<ImageSource, string>();

/**
 * The grid of every source, after the engine holds its image.
 * @throws UserError IMAGE_INVALID or FILE_NOT_FOUND naming the sample
 */
export async function holdImages(
  engine: ImageEngine,
  samples: readonly StreamedSample[],
  {
    known_images: known = new Map<string, string>(),
    max_image_pixels = MAX_IMAGE_PIXELS,
    signal,
  }: Omit<BuildPromptsOptions, "max_prompt_tokens">,
): Promise<ReadonlyMap<ImageSource, ImageGrid>> {
  const grids = new Map<ImageSource, ImageGrid>();
  const wanted = samples.flatMap(({ sample }) => sample.images.map((source) => [source, ownerOf(sample)] as const));
  const queue = wanted.filter(([source]) => {
    const id = "path" in source ? known.get(source.path) : hashed.get(source);
    const grid = id === undefined ? undefined : engine.imageGrid(id);
    if (grid !== undefined) grids.set(source, grid);
    return grid === undefined;
  });

  for (let start = 0; start < queue.length; start += IMAGES_AT_ONCE) {
    signal?.throwIfAborted();
    const part = queue.slice(start, start + IMAGES_AT_ONCE);
    const files = await Promise.all(part.map(([source, owner]) => readImage(source, owner)));
    const missing = uniqueById(files).filter(({ id }) => engine.imageGrid(id) === undefined);
    const opened = await Promise.all(missing.map((file) => openImage(file, max_image_pixels)));
    const addedById = new Map<string, ImageGrid>();
    for (const together of withinPixels(opened, max_image_pixels))
      for (const grid of await engine.addImages(await Promise.all(together.map(decodeWithinRatio))))
        addedById.set(grid.id, grid);
    part.forEach(([source], i) => {
      const { id } = files[i]!;
      const grid = addedById.get(id) ?? engine.imageGrid(id);
      if (grid === undefined) throw new Error(`the engine does not hold image ${id}, which it was given`);
      grids.set(source, grid);
      if ("path" in source) known.set(source.path, id);
      else hashed.set(source, id);
    });
  }
  return grids;
}

const uniqueById = (files: readonly ImageFile[]): readonly ImageFile[] => [
  ...new Map(files.map((file) => [file.id, file])).values(),
];

/** Neighbours whose pixels together stay within the limit: what is decoded at once. */
function withinPixels(images: readonly OpenedImage[], limit: number): readonly (readonly OpenedImage[])[] {
  const parts: OpenedImage[][] = [];
  let num_pixels = Infinity;
  for (const image of images) {
    num_pixels += image.num_pixels;
    if (num_pixels > limit) {
      parts.push([]);
      num_pixels = image.num_pixels;
    }
    parts.at(-1)!.push(image);
  }
  return parts;
}

async function decodeWithinRatio(opened: OpenedImage): Promise<DecodedImage> {
  const image = await opened.decode();
  if (Math.max(image.height, image.width) <= MAX_ASPECT_RATIO * Math.min(image.height, image.width)) return image;
  throw new UserError(
    "IMAGE_INVALID",
    `${opened.name}: one side of the image may be at most ${MAX_ASPECT_RATIO} times the other, got ${image.height} x ${image.width} (height x width)`,
    "Crop or split the image, or remove the sample from the dataset.",
  );
}
