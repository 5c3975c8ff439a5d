import { join } from "node:path";
import { z } from "zod";
import type { ImageProcessorSettings } from "../../engine/engine.js";
import { UserError } from "../../errors.js";
import { type JsonObject, missingFile, parseAs, readJson } from "./checkpoint-files.js";

const PROCESSOR_FILE = "processor_config.json";
const PREPROCESSOR_FILE = "preprocessor_config.json";

/** Image processors that work as Qwen2-VL's: smart_resize, bicubic, patches in merge-block order. */
const SUPPORTED_TYPE = /^Qwen2(_5)?VLImageProcessor(Fast|Pil)?$/;
const BICUBIC = 3;
const OPENAI_CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073];
const OPENAI_CLIP_STD = [0.26862954, 0.26130258, 0.27577711];

const pixels = z.int().positive();
/** One value for every channel, or one each. */
const channels = z.union([z.number().transform((value) => [value, value, value]), z.array(z.number()).length(3)]);

/** As the reference reads it: a key left out takes Qwen2-VL's default. Keys of no concern here pass. */
const schema = z.object({
  image_processor_type: z.string().optional(),
  patch_size: pixels.default(14),
  temporal_patch_size: pixels.default(2),
  merge_size: pixels.default(2),
  min_pixels: pixels.nullish(),
  max_pixels: pixels.nullish(),
  size: z
    .object({
      shortest_edge: pixels.nullish(),
      longest_edge: pixels.nullish(),
      min_pixels: pixels.nullish(),
      max_pixels: pixels.nullish(),
    })
    .nullish(),
  resample: z.literal(BICUBIC, "only bicubic resampling (3) is supported").default(BICUBIC),
  do_resize: z.literal(true, "only true is supported").nullish(),
  do_rescale: z.boolean().nullish(),
  do_normalize: z.boolean().nullish(),
  rescale_factor: z
    .number()
    .positive()
    .default(1 / 255),
  image_mean: channels.nullish(),
  image_std: channels.nullish(),
});

/**
 * Settings from processor_config.json's `image_processor` (the layout of transformers 5), else preprocessor_config.json;
 * `min_pixels` and `max_pixels` override `size`.
 * @throws UserError FILE_NOT_FOUND, CHECKPOINT_INVALID or MODEL_UNSUPPORTED, naming the file
 */
export async function loadImageSettings(folder: string): Promise<ImageProcessorSettings> {
  const nested = (await readJson(folder, PROCESSOR_FILE))?.["image_processor"];
  if (nested !== undefined) return settingsFrom(nested, join(folder, PROCESSOR_FILE));
  const flat = await readJson(folder, PREPROCESSOR_FILE);
  if (flat === undefined)
    throw missingFile(folder, [PROCESSOR_FILE, PREPROCESSOR_FILE], "the image processor's configuration");
  return settingsFrom(flat, join(folder, PREPROCESSOR_FILE));
}

function settingsFrom(value: unknown, path: string): ImageProcessorSettings {
  checkType((value as JsonObject | null)?.["image_processor_type"], path);
  const read = parseAs(schema, value, path);
  const rescale = read.do_rescale ?? true;
  const normalize = read.do_normalize ?? true;
  const settings = {
    patch_size: read.patch_size,
    temporal_patch_size: read.temporal_patch_size,
    merge_size: read.merge_size,
    min_pixels: read.min_pixels ?? read.size?.shortest_edge ?? read.size?.min_pixels ?? 56 * 56,
    max_pixels: read.max_pixels ?? read.size?.longest_edge ?? read.size?.max_pixels ?? 28 * 28 * 1280,
    rescale_factor: rescale ? read.rescale_factor : 1,
    image_mean: normalize ? (read.image_mean ?? OPENAI_CLIP_MEAN) : [0, 0, 0],
    image_std: normalize ? (read.image_std ?? OPENAI_CLIP_STD) : [1, 1, 1],
  };
  if (settings.min_pixels > settings.max_pixels)
    throw new UserError(
      "CHECKPOINT_INVALID",
      `${path}: min_pixels ${settings.min_pixels} is over max_pixels ${settings.max_pixels}`,
      "Set min_pixels (size.shortest_edge) to at most max_pixels (size.longest_edge).",
    );
  return settings;
}

/** Before the schema, so that another family's settings are refused by its name and not by their keys. */
function checkType(type: unknown, path: string): void {
  if (type === undefined || (typeof type === "string" && SUPPORTED_TYPE.test(type))) return;
  throw new UserError(
    "MODEL_UNSUPPORTED",
    `${path}: image processor ${JSON.stringify(type)} is not supported`,
    "Use a checkpoint of the Qwen2-VL, Qwen2.5-VL or Qwen3-VL family (Qwen2VLImageProcessor).",
  );
}
