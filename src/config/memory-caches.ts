import { float32_bytes, value_bytes } from "./activation-memory.js";
import { concurrent, trainsVision } from "./memory-passes.js";
import { type MemoryPart, type MemoryQuestion, plan_phases } from "./memory-plan.js";
import type { ModelSizes } from "./model-sizes.js";

/** Of patches that are cut ahead, about: images beyond it are cut when they are needed. */
export const cut_ahead_bytes = 2 ** 29;

/** Blocks that hold a position: of each prompt once, and of every completion. What is only reserved is not resident. */
export function kvCache(sizes: ModelSizes, question: MemoryQuestion): MemoryPart {
  const { kv_width, blocks: layers } = sizes.language;
  const { kv_block_size: size, max_completion_tokens } = question;
  const { completions, prompts } = concurrent(question);
  const blocks =
    prompts * Math.ceil(question.prompts.tokens / size) + completions * Math.ceil((max_completion_tokens - 1) / size);
  const block_bytes = 2 * layers * kv_width * size * value_bytes[question.model.dtype];
  return {
    ...{ name: "kv cache", bytes: blocks * block_bytes, held_in: ["rollout"] },
    how: `${prompts} prompts x ${question.prompts.tokens} and ${completions} completions x ${max_completion_tokens} tokens take ${blocks} blocks of ${block_bytes} B`,
  };
}

/** Pixels of every image, and features of a frozen tower. A step's own images stay, whatever the budget. */
export function imageCache(sizes: ModelSizes, question: MemoryQuestion): MemoryPart {
  const { patches, images_per_prompt, num_images } = question.prompts;
  const { vision, language } = sizes;
  const features = trainsVision(question) ? 0 : language.width * value_bytes[question.model.dtype];
  const per_patch = vision === undefined ? 0 : vision.pixel_bytes + features / vision.merged_patches;
  const bytes_of = (images: number): number =>
    images_per_prompt === 0 ? 0 : Math.round(((images * patches) / images_per_prompt) * per_patch);
  const step = bytes_of(question.prompts_per_step * images_per_prompt);
  return {
    ...{ name: "image cache", held_in: plan_phases },
    bytes: Math.max(step, Math.min(question.image_cache_bytes, bytes_of(num_images))),
    how: `pixels${features === 0 ? "" : " and features"} of ${num_images} images, at most image_cache_bytes or one step's`,
  };
}

/** Pixels of the next step's images, and patches of a frozen tower's up to a limit (src/pipeline/data/images-ahead.ts). */
export function imagesAhead(sizes: ModelSizes, question: MemoryQuestion): readonly MemoryPart[] {
  const { patches } = question.prompts;
  const { vision } = sizes;
  if (question.prefetch_images !== true || vision === undefined || patches === 0) return [];
  const pixels = question.prompts_per_step * patches * vision.pixel_bytes;
  const cut = trainsVision(question) ? 0 : question.prompts_per_step * patches * vision.patch_elements * float32_bytes;
  return [
    {
      ...{ name: "images ahead", bytes: pixels + Math.min(cut, cut_ahead_bytes), held_in: plan_phases },
      ...(question.on_device === true && { on_host: true as const }),
      how: `pixels${cut === 0 ? "" : " and patches"} of one step's images, prepared beside the one before`,
    },
  ];
}
