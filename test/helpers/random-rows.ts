import type { PromptRow } from "../../src/batches/prompt.js";
import type { DecodedImage, Engine } from "../../src/engine/engine.js";
import { below, type Random } from "./mutate.js";
import type { Row } from "./trajectories.js";

export const words = (random: Random, count: number) => Array.from({ length: count }, () => below(random, 300));

/** Three to five prompts with none to two images each. */
export async function randomPrompts(
  random: Random,
  engine: Engine,
  images: readonly DecodedImage[],
): Promise<PromptRow[]> {
  const grids = await engine.addImages(images);
  return Array.from({ length: 3 + below(random, 3) }, (_, row) => {
    const shown = Array.from({ length: below(random, 3) }, () => below(random, images.length));
    const token_ids = [
      ...words(random, 1 + below(random, 6)),
      ...shown.flatMap((image) => [
        ...Array.from({ length: grids[image]!.num_tokens }, () => engine.model.image_token_id),
        ...words(random, below(random, 3)), // images may touch
      ]),
      ...words(random, 1 + below(random, 8)),
    ];
    return {
      prompt_id: row,
      sample_id: `${row}`,
      token_ids: Int32Array.from(token_ids),
      image_ids: shown.map((image) => images[image]!.id),
    };
  });
}

/** One to four completions of each prompt, of one to twelve tokens. */
export const randomRows = (random: Random, prompts: readonly PromptRow[]): Row[] =>
  prompts.flatMap(({ prompt_id, token_ids, image_ids }) =>
    Array.from({ length: 1 + below(random, 4) }, (_, sample_index): Row => ({
      ...{ prompt_id, sample_index, prompt: token_ids, image_ids: [...image_ids] },
      completion: Int32Array.from(words(random, 1 + below(random, 12))),
    })),
  );
