import { promptBatch, type PromptBatch } from "../batches/prompt.js";
import type { DecodedImage, ImageGrid } from "../engine/engine.js";
import { UserError } from "../errors.js";
import type { Processor } from "../pipeline/data/processor.js";

/** A seeded stream of whole numbers below 2^32 (xorshift, 32 bits). */
function numbers(seed: number): () => number {
  let state = Math.imul(seed + 1, 0x9e3779b1) >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

/** An RGB picture: two colour ramps and a little noise, none the same. */
export function syntheticImage(id: string, side: number, seed: number): DecodedImage {
  const next = numbers(seed);
  const [red, green, blue] = [next() % 256, next() % 256, next() % 256];
  const rgb = new Uint8Array(side * side * 3);
  for (let y = 0, i = 0; y < side; y++)
    for (let x = 0; x < side; x++, i += 3) {
      const noise = next() % 16;
      rgb[i] = (red + (x * 255) / side + noise) & 255;
      rgb[i + 1] = (green + (y * 255) / side + noise) & 255;
      rgb[i + 2] = (blue + noise) & 255;
    }
  return { id, rgb, height: side, width: side };
}

const QUESTION = "Describe every object in the picture, then answer: which one is largest, and why?";

export interface PromptShape {
  /** Image tokens included; undefined takes the question's own length. */
  readonly prompt_tokens: number | undefined;
  readonly images: readonly ImageGrid[];
}

/**
 * Token ids of a prompt: chat template, images and a question, filled up with ordinary words to the length asked for.
 * @throws UserError CONFIG_INVALID if template and images alone are longer
 */
export function syntheticPrompt(
  processor: Processor,
  { prompt_tokens, images }: PromptShape,
  seed: number,
): Int32Array {
  const render = (question: string): Int32Array =>
    processor.encodePrompt(processor.renderPrompt({ question, num_images: images.length }), images);
  if (prompt_tokens === undefined) return render(QUESTION);
  const least = render("a");
  if (prompt_tokens < least.length)
    throw new UserError(
      "CONFIG_INVALID",
      `a prompt of ${prompt_tokens} tokens is too short: chat template and images take ${least.length}`,
      `Ask for at least ${least.length} tokens, or for fewer or smaller images.`,
    );
  const words = processor.encode(` ${QUESTION}`);
  const next = numbers(seed);
  const filling = Int32Array.from({ length: prompt_tokens - least.length }, () => words[next() % words.length]!);
  // After the images and before the template's end, where the question stands.
  const at = Math.max(least.lastIndexOf(processor.image_token_id) + 2, least.length - 8, 1);
  const ids = new Int32Array(prompt_tokens);
  ids.set(least.subarray(0, at));
  ids.set(filling, at);
  ids.set(least.subarray(at), at + filling.length);
  return ids;
}

export function syntheticBatch(
  processor: Processor,
  first_id: number,
  grids: readonly (readonly ImageGrid[])[],
  prompt_tokens: number | undefined,
): PromptBatch {
  return promptBatch(
    grids.map((images, i) => ({
      prompt_id: first_id + i,
      sample_id: `bench-${first_id + i}`,
      token_ids: syntheticPrompt(processor, { prompt_tokens, images }, first_id + i),
      image_ids: images.map(({ id }) => id),
    })),
  );
}
