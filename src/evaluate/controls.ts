import sharp from "sharp";
import type { ImageSource, Sample } from "../batches/sample.js";
import { UserError } from "../errors.js";
import { readImage } from "../pipeline/data/image.js";
import { permutation } from "../pipeline/data/permutation.js";
import type { IndexedSamples } from "../pipeline/data/stream.js";
import type { Control } from "./result.js";

/** Items to evaluate, and each one as a control shows it. */
export interface Variant {
  readonly control: Control;
  readonly items: readonly number[];
  readonly get: (item: number) => Promise<Sample>;
}

/** Gray of the blank images, of 255. */
const gray = 128;

/**
 * The items as they are, then under each control. A control keeps each item's number of images: `blank` makes each gray, of
 * its own size; `shuffled` takes those of the item that follows in an order keyed by the seed, again from its first if it
 * has fewer, so that no item keeps its own.
 * @throws UserError DATASET_INVALID if a control has nothing to replace
 */
export async function variants(
  samples: IndexedSamples,
  num_items: number,
  controls: readonly Exclude<Control, "none">[],
  seed: number,
): Promise<readonly Variant[]> {
  const all = Array.from({ length: num_items }, (_, item) => item);
  const own: Variant = { control: "none", items: all, get: async (item) => samples.get(item) };
  if (controls.length === 0) return [own];
  const items: number[] = [];
  for (const item of all) if ((await samples.get(item)).images.length > 0) items.push(item);
  if (items.length === 0)
    throw new UserError(
      "DATASET_INVALID",
      `no item has an image, so the control ${controls[0]!} has nothing to replace`,
      "Evaluate without controls, or choose a dataset with images.",
    );
  return [own, ...controls.map((control) => ({ control, items, get: replace(control, samples, items, seed) }))];
}

function replace(
  control: Exclude<Control, "none">,
  samples: IndexedSamples,
  items: readonly number[],
  seed: number,
): Variant["get"] {
  if (control === "blank")
    return async (item) => {
      const sample = await samples.get(item);
      const images: ImageSource[] = [];
      for (const image of sample.images) images.push(await blank(image, sample.id));
      return { ...sample, images };
    };
  const donors = derangement(items, seed);
  return async (item) => {
    const [sample, donor] = [await samples.get(item), await samples.get(donors.get(item)!)];
    return { ...sample, images: sample.images.map((_, i) => donor.images[i % donor.images.length]!) };
  };
}

/** Each item's donor, which is another item: the next one in a cycle through a permutation. */
export function derangement(items: readonly number[], seed: number): ReadonlyMap<number, number> {
  if (items.length < 2)
    throw new UserError(
      "DATASET_INVALID",
      "the control shuffled needs two items with images, got 1",
      "Evaluate more items, or use the control blank.",
    );
  const place = permutation(items.length, seed, 0);
  const order = items.map((_, i) => items[place[i]!]!);
  return new Map(order.map((item, i) => [item, order[(i + 1) % order.length]!]));
}

async function blank(source: ImageSource, sample_id: string): Promise<ImageSource> {
  const { bytes, name } = await readImage(source, `sample ${JSON.stringify(sample_id)}`);
  const { width, height } = await sharp(bytes, { limitInputPixels: false }).metadata();
  const background = { r: gray, g: gray, b: gray };
  const image = sharp({ create: { width, height, channels: 3, background }, limitInputPixels: false });
  return { bytes: await image.png().toBuffer(), name: `blank in place of ${name}` };
}
