import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { z } from "zod";
import { UserError } from "../../errors.js";

/** Side of a photo, pixels. */
export const photo_size = 28;
export const class_names = ["top", "trouser", "pullover", "dress", "bag", "boot"] as const;
export type ClassName = (typeof class_names)[number];

/** No two pools share a photo. */
export const pools = {
  /** Supervised warm start: 240 photos. */
  labelled: { split: "train", from: 0, to: 40 },
  /** Reinforcement learning: 34,560 photos. */
  rl: { split: "train", from: 40, to: 5800 },
  /** Choosing settings: 1,200 photos. */
  validation: { split: "train", from: 5800, to: 6000 },
  /** Reporting: 2,000 of the official test photos. */
  test: { split: "test", from: 0, to: Infinity },
} as const;
export type Pool = keyof typeof pools;

/** uint8 [photos, 28, 28] of each class. */
export type Photos = Readonly<Record<ClassName, Uint8Array>>;

export const photos_folder = fileURLToPath(new URL("../../../configs/data/fashion_mnist", import.meta.url));

const photo_bytes = photo_size * photo_size;
const index = z.object({
  files: z.array(
    z.object({
      split: z.enum(["train", "test"]),
      class: z.enum(class_names),
      file: z.string(),
      photos: z.int().positive(),
      sha256: z.string(),
    }),
  ),
});
type Entry = z.infer<typeof index>["files"][number];

/** @throws UserError DATASET_INVALID naming the file that is missing or damaged. */
export async function loadPhotos(pool: Pool, folder = photos_folder): Promise<Photos> {
  const { split, from, to } = pools[pool];
  const entries = await readIndex(join(folder, "photos.json"));
  const loaded = await Promise.all(
    class_names.map(async (name) => {
      const entry = entries.find((candidate) => candidate.split === split && candidate.class === name);
      if (entry === undefined)
        throw damaged(join(folder, "photos.json"), `it lists no ${split} photos of class ${name}`);
      const pixels = await readAtlasOnce(join(folder, entry.file), entry);
      return [name, pixels.subarray(from * photo_bytes, Math.min(to, entry.photos) * photo_bytes)] as const;
    }),
  );
  return Object.fromEntries(loaded) as Record<ClassName, Uint8Array>;
}

async function readIndex(path: string): Promise<readonly Entry[]> {
  try {
    return index.parse(JSON.parse(await readFile(path, "utf8"))).files;
  } catch (cause) {
    throw damaged(path, (cause as Error).message, cause);
  }
}

/** Immutable pixels by path: the pools of the train photos live in the same files. */
const atlases = new Map<string, Promise<Uint8Array>>();

function readAtlasOnce(path: string, entry: Entry): Promise<Uint8Array> {
  const known = atlases.get(path);
  if (known !== undefined) return known;
  const reading = readAtlas(path, entry);
  atlases.set(path, reading);
  reading.catch(() => atlases.delete(path));
  return reading;
}

/** Photos one after the other, from an image that holds them in rows. */
async function readAtlas(path: string, entry: Entry): Promise<Uint8Array> {
  const { data, info } = await sharp(path)
    .toColourspace("b-w")
    .raw()
    .toBuffer({ resolveWithObject: true })
    .catch((cause: unknown) => {
      throw damaged(path, (cause as Error).message, cause);
    });
  const columns = Math.floor(info.width / photo_size);
  const capacity = columns * Math.floor(info.height / photo_size);
  if (info.channels !== 1 || capacity < entry.photos)
    throw damaged(
      path,
      `it has ${info.channels} channels and room for ${capacity} photos; expected 1 and ${entry.photos}`,
    );
  const pixels = Buffer.alloc(entry.photos * photo_bytes);
  for (let photo = 0; photo < entry.photos; photo++) {
    const corner = Math.floor(photo / columns) * photo_size * info.width + (photo % columns) * photo_size;
    for (let y = 0; y < photo_size; y++) {
      const start = corner + y * info.width;
      data.copy(pixels, photo * photo_bytes + y * photo_size, start, start + photo_size);
    }
  }
  if (createHash("sha256").update(pixels).digest("hex") !== entry.sha256)
    throw damaged(path, "its pixels do not match the checksum in photos.json");
  return pixels;
}

const damaged = (path: string, what: string, cause?: unknown): UserError =>
  new UserError(
    "DATASET_INVALID",
    `fashion_grid: ${path} is missing or damaged: ${what}`,
    "Restore the file from the package or repository (git checkout -- configs/data/fashion_mnist).",
    { cause },
  );
